"""Colours: of the picture language, as Dear ImGui packs them, and of the windows around."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from imgui_bundle import hello_imgui, imgui, implot

from ggml_viz.model.kinds import KINDS
from ggml_viz.model.phases import PHASES
from ggml_viz.views.palette import HEAT, KIND_COLOURS, PHASE_COLOURS, USAGE_COLOURS, Colour

# How strong waiting is drawn, of the colour of its kind.
_WAITING = 0.35
_RED = Colour("#C0392B", "#FF6B5E", 196)


@dataclass(frozen=True)
class Theme:
    """The colours for light or for dark.

    Attributes:
        is_dark: Which.
    """

    is_dark: bool

    def rgb(self, colour: Colour) -> tuple[int, int, int]:
        """Red, green and blue of a colour, 0 to 255."""
        return _parsed(colour.dark if self.is_dark else colour.light)

    @property
    def background(self) -> tuple[int, int, int]:
        """Of panels."""
        return (24, 26, 30) if self.is_dark else (252, 252, 252)

    @property
    def ink(self) -> tuple[int, int, int]:
        """Of text."""
        return (226, 228, 232) if self.is_dark else (28, 30, 34)

    @property
    def faint(self) -> tuple[int, int, int]:
        """Of text that explains."""
        return (150, 155, 164) if self.is_dark else (98, 102, 110)

    @property
    def line(self) -> tuple[int, int, int]:
        """Of rules and frames."""
        return (58, 62, 70) if self.is_dark else (212, 214, 218)

    @property
    def finding(self) -> tuple[int, int, int]:
        """Of findings and errors, and of nothing else."""
        return self.rgb(_RED)

    def mixed(self, colour: tuple[int, int, int], share: float) -> tuple[int, int, int]:
        """A colour over the background, so strong."""
        return tuple(round(a * share + b * (1 - share)) for a, b in zip(colour, self.background, strict=True))  # type: ignore[return-value]

    @cached_property
    def kinds(self) -> list[tuple[int, int, int]]:
        """Of kinds of work, in the order of KINDS."""
        return [self.rgb(KIND_COLOURS[kind]) for kind in KINDS]

    @cached_property
    def waits(self) -> list[tuple[int, int, int]]:
        """Of waiting in them."""
        return [self.mixed(colour, _WAITING) for colour in self.kinds]

    @cached_property
    def phases(self) -> list[tuple[int, int, int]]:
        """Of phases, in the order of PHASES."""
        return [self.rgb(PHASE_COLOURS[phase]) for phase in PHASES]

    @cached_property
    def usages(self) -> dict[str, tuple[int, int, int]]:
        """Of what memory is used for."""
        return {usage: self.rgb(colour) for usage, colour in USAGE_COLOURS.items()}

    @cached_property
    def packed_kinds(self) -> npt.NDArray[np.uint32]:
        """Work of each kind, then waiting in it, packed: [2, kinds]."""
        return np.array([[packed(c) for c in self.kinds], [packed(c) for c in self.waits]], np.uint32)

    def heat(self, share: float) -> tuple[int, int, int]:
        """A colour from cold (0) to hot (1)."""
        return self.mixed(self.rgb(HEAT), 0.06 + 0.94 * min(max(share, 0.0), 1.0))

    def apply(self) -> None:
        """Has Dear ImGui and ImPlot draw in these colours."""
        base = hello_imgui.ImGuiTheme_.darcula_darker if self.is_dark else hello_imgui.ImGuiTheme_.white_is_white
        hello_imgui.apply_theme(base)
        style = imgui.get_style()
        style.window_rounding = style.child_rounding = 0.0
        style.frame_rounding = style.grab_rounding = style.tab_rounding = 3.0
        style.window_border_size, style.frame_border_size = 1.0, 0.0 if self.is_dark else 1.0
        style.cell_padding = imgui.ImVec2(6.0, 3.0)
        colours = {
            imgui.Col_.text: self.ink,
            imgui.Col_.text_disabled: self.faint,
            imgui.Col_.window_bg: self.background,
            imgui.Col_.child_bg: self.background,
            imgui.Col_.popup_bg: self.mixed(self.line, 0.3),
            imgui.Col_.border: self.line,
            imgui.Col_.separator: self.line,
            imgui.Col_.table_border_strong: self.line,
            imgui.Col_.table_border_light: self.line,
            imgui.Col_.table_header_bg: self.mixed(self.line, 0.4),
            imgui.Col_.docking_empty_bg: self.background,
        }
        for which, colour in colours.items():
            style.set_color_(which, vec4(colour))
        (implot.style_colors_dark if self.is_dark else implot.style_colors_light)()
        plots = implot.get_style()
        for plot_colour, colour in (
            (implot.Col_.frame_bg, self.background),
            (implot.Col_.plot_bg, self.background),
            (implot.Col_.plot_border, self.line),
        ):
            plots.set_color_(plot_colour, vec4(colour))


@functools.lru_cache(256)
def packed(colour: tuple[int, int, int], alpha: int = 255) -> int:
    """A colour as ImGui packs it: ABGR."""
    red, green, blue = colour
    return alpha << 24 | blue << 16 | green << 8 | red


def vec4(colour: tuple[int, int, int], alpha: float = 1.0) -> Any:
    """A colour as an ImVec4."""
    return imgui.ImVec4(colour[0] / 255, colour[1] / 255, colour[2] / 255, alpha)


def ink_on(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever can be read on a colour better (relative luminance as in WCAG 2)."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in colour)
    )
    return (255, 255, 255) if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.179 else (0, 0, 0)


def system_is_dark() -> bool:
    """Whether the desktop around prefers dark; where it does not tell, yes."""
    import os

    return not os.environ.get("GTK_THEME", "").lower().endswith(("-light", ":light"))


def _parsed(text: str) -> tuple[int, int, int]:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
