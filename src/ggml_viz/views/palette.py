"""The colours that mean something, the same in every face: Okabe and Ito's, which all kinds of eyes tell apart.

Each has a tone for light and one for dark backgrounds, and the nearest that a terminal of 256 colours has. Red is for
findings and for nothing else; waiting is never a colour of its own, but a third of its kind's strength.
"""

from __future__ import annotations

from typing import NamedTuple

from ggml_viz.model.kinds import ATTENTION, ELEMENTS, MATRIX, MOVEMENT, OTHER
from ggml_viz.model.memory import COMPUTE, KV, USAGES, WEIGHTS
from ggml_viz.model.phases import DECODE, MIXED, PHASES, PREFILL


class Colour(NamedTuple):
    """A colour.

    Attributes:
        light: On a light background: `#rrggbb`.
        dark: On a dark one.
        terminal: Its number among a terminal's 256.
    """

    light: str
    dark: str
    terminal: int


_BLUE = Colour("#0072B2", "#3D9BE0", 32)
_ORANGE = Colour("#E69F00", "#F0AE2E", 208)
_GREEN = Colour("#009E73", "#1FBF94", 36)
_PURPLE = Colour("#CC79A7", "#D98BB6", 175)
_GREY = Colour("#999999", "#A3A3A3", 245)
_SKY = Colour("#56B4E9", "#7CC8F2", 74)
_VERMILION = Colour("#D55E00", "#E8803A", 166)
_YELLOW = Colour("#F0E442", "#F0E442", 227)

KIND_COLOURS = {MATRIX: _BLUE, ATTENTION: _ORANGE, ELEMENTS: _GREEN, MOVEMENT: _PURPLE, OTHER: _GREY}
PHASE_COLOURS = {PREFILL: _SKY, DECODE: _VERMILION, MIXED: _YELLOW, PHASES[-1]: _GREY}
USAGE_COLOURS = {WEIGHTS: _BLUE, KV: _ORANGE, COMPUTE: _GREEN, USAGES[-1]: _GREY}

HEAT = Colour("#E69F00", "#F0AE2E", 208)
"""The hot end of a scale of time or bytes; the cold end is the background."""
