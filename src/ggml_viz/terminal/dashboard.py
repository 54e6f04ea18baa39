"""The terminal dashboard's toolkit: keys come in, and of the lines that `screen` draws, those that changed go out.

The whole screen is one widget without layout, and textual is left to do what a terminal needs: over ssh, an unchanged
line costs nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from ggml_viz import native
from ggml_viz.capture import control
from ggml_viz.capture.terminal import INTERRUPTED
from ggml_viz.errors import UserError
from ggml_viz.terminal.glance import Glance, Observer, Watched
from ggml_viz.terminal.screen import GROUPS, KEYS, ORDERS, Choice, choices, screen, scrolled
from ggml_viz.terminal.text import Page
from ggml_viz.trace.definitions import DETAIL_NAMES

# How often the screen is drawn anew at the most, without a key.
REFRESH_S = 0.5
_SAID_S = 4.0
_PAGE = 8


class _Lines(Widget):
    """The screen."""

    DEFAULT_CSS = "_Lines { width: 100%; height: 100%; }"

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []
        self._strips: dict[int, Strip] = {}

    def show(self, lines: list[str]) -> None:
        """Shows these lines; only what is not there already is drawn."""
        for y in range(max(len(lines), len(self._lines))):
            old = self._lines[y] if y < len(self._lines) else ""
            if old != (lines[y] if y < len(lines) else ""):
                self._strips.pop(y, None)
                self.refresh(Region(0, y, self.size.width, 1))
        self._lines = lines

    def render_line(self, y: int) -> Strip:
        """One line."""
        if y not in self._strips:
            text = Text.from_ansi(self._lines[y] if y < len(self._lines) else "")
            self._strips[y] = Strip(text.render(self.app.console, end=""))
        return self._strips[y].adjust_cell_length(self.size.width)


class _Screen(App[int]):
    """What is common to both screens."""

    CSS = "Screen { background: ansi_default; color: ansi_default; }"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", priority=True),
        Binding("ctrl+c", "interrupt", priority=True),
    ]

    def __init__(self, page: Page) -> None:
        super().__init__(ansi_color=True)
        self.page = page
        self.lines = _Lines()

    def compose(self) -> ComposeResult:
        """One widget."""
        yield self.lines

    def on_resize(self) -> None:
        """Draws for the new size."""
        self.call_after_refresh(self.draw)

    def draw(self) -> None:
        """Draws what is to be seen."""
        raise NotImplementedError

    def action_leave(self) -> None:
        """Ends it."""
        self.exit(0)

    def action_interrupt(self) -> None:
        """Ends it, and says that it was interrupted."""
        self.exit(INTERRUPTED)


class Chooser(_Screen):
    """A list of processes.

    Args:
        page: How it is to look.
        entries: Of each its number, what it does, its command.

    Attributes:
        chosen: Which of them; None: none.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)"),
        Binding("down,j", "move(1)"),
        Binding("enter", "choose"),
        Binding("escape", "leave"),
    ]

    def __init__(self, page: Page, entries: Sequence[tuple[int, str, str]]) -> None:
        super().__init__(page)
        self._entries = entries
        self._at = 0
        self.chosen: int | None = None

    def draw(self) -> None:
        """Draws the list."""
        self.page.width = self.size.width
        self.lines.show(choices(self.page, self._entries, self._at, self.size.height))

    def action_move(self, by: int) -> None:
        """Goes up or down."""
        self._at = max(min(self._at + by, len(self._entries) - 1), 0)
        self.draw()

    def action_choose(self) -> None:
        """Takes the one that is marked."""
        self.chosen = self._entries[self._at][0]
        self.exit(0)


class Dashboard(_Screen):
    """A running process.

    Args:
        page: How it is to look.
        watched: The process.
        segment: Its segment, by which it is steered.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause"),
        Binding("d", "detail"),
        Binding("o", "order"),
        Binding("r", "group"),
        Binding("f", "instead('findings')"),
        Binding("question_mark", "instead('help')"),
        Binding("escape", "instead('')"),
        Binding("up,k", "scroll(-1)"),
        Binding("down,j", "scroll(1)"),
        Binding("pageup", f"scroll({-_PAGE})"),
        Binding("pagedown", f"scroll({_PAGE})"),
        Binding("home", "scroll(-100000)"),
        Binding("end", "scroll(100000)"),
    ]

    def __init__(self, page: Page, watched: Watched, segment: Path) -> None:
        super().__init__(page)
        self._observer = Observer(watched)
        self._segment = segment
        self._glance: Glance | None = None
        self._choice = Choice()
        self._most = 0
        self._said = ("", 0.0)

    def on_mount(self) -> None:
        """Begins to look."""
        self.run_worker(self._follow(), exit_on_error=True)

    async def _follow(self) -> None:
        while self._glance is None or not self._glance.ended:
            due = time.monotonic() + REFRESH_S
            self._glance = await asyncio.to_thread(self._observer.look)
            self.draw()
            await asyncio.sleep(max(due - time.monotonic(), REFRESH_S / 5))

    def draw(self) -> None:
        """Draws what was seen last."""
        if self._glance is None or self.size.width < 1:
            return
        self.page.width = self.size.width
        said, until = self._said
        if time.monotonic() >= until:
            said = ""
            self._said = "", 0.0
        lines, self._most = screen(self.page, self._glance, self._choice, self.size.height, said or KEYS)
        self.lines.show(lines)

    def action_pause(self) -> None:
        """Pauses the recording, or resumes it."""

        def turn() -> str:
            paused = native.segment_describe(self._segment).control & native.CONTROL_PAUSED
            return control.resume(self._segment) if paused else control.pause(self._segment)

        self._steer(turn)

    def action_detail(self) -> None:
        """Records less of it, and after the least everything again."""

        def turn() -> str:
            level = native.segment_describe(self._segment).control & native.CONTROL_DETAIL_MASK
            return control.set_detail(self._segment, DETAIL_NAMES[(level or len(DETAIL_NAMES)) - 1])

        self._steer(turn)

    def action_order(self) -> None:
        """Takes the next order."""
        following = ORDERS[(ORDERS.index(self._choice.order) + 1) % len(ORDERS)]
        self._choose(order=following, scroll=0, instead="")

    def action_group(self) -> None:
        """Shows ops, roles or layers."""
        following = GROUPS[(GROUPS.index(self._choice.group) + 1) % len(GROUPS)]
        self._choose(group=following, scroll=0, instead="")

    def action_instead(self, what: str) -> None:
        """Shows help or findings in place of the rows, or the rows again."""
        self._choose(instead="" if what == self._choice.instead else what, scroll=0)

    def action_scroll(self, by: int) -> None:
        """Scrolls."""
        self._choice = scrolled(self._choice, by, self._most)
        self.draw()

    def _choose(self, **what: str | int) -> None:
        self._choice = replace(self._choice, **what)  # type: ignore[arg-type]
        self.draw()

    def _steer(self, turn: Callable[[], str]) -> None:
        try:
            said = f"The process {turn()}."
        except UserError as error:
            said = f"{error.message}. {error.hint or ''}"
        except OSError:
            said = "The process has ended."
        self._said = said, time.monotonic() + _SAID_S
        self.draw()
