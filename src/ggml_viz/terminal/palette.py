"""The colour of a kind of work, as a terminal has it."""

from __future__ import annotations

from ggml_viz.model.kinds import kind_of
from ggml_viz.views.palette import KIND_COLOURS


def op_style(op: str) -> str:
    """The style of an op's bar: matrix products blue, attention orange, elements green, movement purple, other grey."""
    return f"38;5;{KIND_COLOURS[kind_of(op)].terminal}"
