"""What kind of work an op is, told from its name; faces give each kind a colour."""

from __future__ import annotations

MATRIX, ATTENTION, ELEMENTS, MOVEMENT, OTHER = KINDS = (
    "matrix products",
    "attention",
    "elements and norms",
    "moving data",
    "other",
)

_BY_WORD = (
    (("FLASH_ATTN", "SOFT_MAX", "ROPE", "DIAG_MASK", "SSM", "RWKV", "GATED_LINEAR", "DELTA_NET"), ATTENTION),
    (("MUL_MAT", "OUT_PROD", "CONV", "IM2COL"), MATRIX),
    (("CPY", "CONT", "DUP", "GET_ROWS", "SET", "CONCAT", "REPEAT", "PAD", "ROLL", "ACC"), MOVEMENT),
    (("NORM", "MUL", "ADD", "SUB", "DIV", "SCALE", "SQR", "SQRT", "CLAMP", "LU", "SIGMOID", "TANH", "EXP"), ELEMENTS),
)


def kind_of(op: str) -> str:
    """The kind of an op or of a fused group, one of KINDS."""
    return next((kind for words, kind in _BY_WORD if any(word in op for word in words)), OTHER)


def kind_index(op: str) -> int:
    """The same as an index in KINDS."""
    return KINDS.index(kind_of(op))
