"""The colour of a kind of work, the same in every face: Okabe and Ito's, as near as 256 colours come."""

from __future__ import annotations

_MATRIX, _ATTENTION, _ELEMENTS, _MOVEMENT, _OTHER = "38;5;32", "38;5;208", "38;5;36", "38;5;175", "38;5;245"

_BY_WORD = (
    (("FLASH_ATTN", "SOFT_MAX", "ROPE", "DIAG_MASK", "SSM", "RWKV", "GATED_LINEAR", "DELTA_NET"), _ATTENTION),
    (("MUL_MAT", "OUT_PROD", "CONV", "IM2COL"), _MATRIX),
    (("CPY", "CONT", "DUP", "GET_ROWS", "SET", "CONCAT", "REPEAT", "PAD", "ROLL", "ACC"), _MOVEMENT),
    (("NORM", "MUL", "ADD", "SUB", "DIV", "SCALE", "SQR", "SQRT", "CLAMP", "LU", "SIGMOID", "TANH", "EXP"), _ELEMENTS),
)


def op_style(op: str) -> str:
    """The style of an op's bar: matrix products blue, attention orange, elements green, movement purple, other grey."""
    for words, style in _BY_WORD:
        if any(word in op for word in words):
            return style
    return _OTHER
