"""Unsigned numbers in as few bytes as they take: LEB128, as in trace files and in protobuf."""

from __future__ import annotations


def encode_varint(value: int) -> bytes:
    """Encodes a number that is not negative."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
