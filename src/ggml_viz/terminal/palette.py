"""The colour of a kind of work, the same in every face: Okabe and Ito's, as near as 256 colours come."""

from __future__ import annotations

from ggml_viz.model.kinds import ATTENTION, ELEMENTS, MATRIX, MOVEMENT, OTHER, kind_of

_STYLES = {MATRIX: "38;5;32", ATTENTION: "38;5;208", ELEMENTS: "38;5;36", MOVEMENT: "38;5;175", OTHER: "38;5;245"}


def op_style(op: str) -> str:
    """The style of an op's bar: matrix products blue, attention orange, elements green, movement purple, other grey."""
    return _STYLES[kind_of(op)]
