"""Reads what inspection needs of a program or library of Windows: for which CPU it is, and what it imports.

The file is not trusted: every offset and count is checked against the file's size, and whatever does not fit is a
`PeError`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MACHINES = {0x014C: "x86", 0x8664: "x86_64", 0xAA64: "arm64"}

_MOST_BYTES = 256 << 20
_MOST = 1 << 16
_IMPORTS = 1
_BY_NUMBER = 1 << 63


class PeError(ValueError):
    """Not a program of Windows, or one whose tables do not fit into it."""


@dataclass(frozen=True)
class Pe:
    """What such a file says of itself.

    Attributes:
        machine: The CPU, by a name in MACHINES; `unknown (n)` for others.
        imports: Names of functions by the library that they are imported from; of 64-bit files.
    """

    machine: str
    imports: dict[str, frozenset[str]]


def is_pe(path: Path) -> bool:
    """Whether the file begins as programs of Windows do."""
    with path.open("rb") as file:
        return file.read(2) == b"MZ"


def read_pe(path: Path) -> Pe:
    """Reads a file.

    Raises:
        PeError: It is none, or damaged.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES)
    if data[:2] != b"MZ":
        raise PeError("it does not begin as one")
    (head,) = _unpack("<I", data, 0x3C)
    signature, machine, sections, size = _unpack("<4sHH12xH2x", data, head)
    if signature != b"PE\0\0":
        raise PeError("it is a program for DOS")
    name = MACHINES.get(machine, f"unknown ({machine:#x})")
    optional = head + 24
    if _unpack("<H", data, optional)[0] != 0x20B:
        return Pe(name, {})
    table = [_unpack("<8xIIII", data, optional + size + 40 * index) for index in range(sections)]
    image = _Image(data, table)
    (directories,) = _unpack("<I", data, optional + 108)
    where = _unpack("<I", data, optional + 112 + 8 * _IMPORTS)[0] if directories > _IMPORTS else 0
    return Pe(name, dict(_imports(image, where)) if where else {})


@dataclass(frozen=True)
class _Image:
    """A file, and for each section its size and address in memory, and its size and offset in the file."""

    data: bytes
    sections: list[tuple[int, ...]]

    def offset(self, address: int) -> int:
        for _size, start, held, offset in self.sections:
            if start <= address < start + held:
                return offset + address - start
        raise PeError("a table lies outside of what is loaded")

    def text(self, address: int) -> str:
        begin = self.offset(address)
        end = self.data.find(b"\0", begin, begin + 4096)
        if end < 0:
            raise PeError("a name does not end")
        return self.data[begin:end].decode(errors="replace")


def _imports(image: _Image, where: int) -> Iterator[tuple[str, frozenset[str]]]:
    at = image.offset(where)
    for _ in range(_MOST):
        names, library, slots = _unpack("<I8xII", image.data, at)
        if not library:
            return
        yield image.text(library), frozenset(_names(image, names or slots))
        at += 20
    raise PeError("it imports from too many libraries")


def _names(image: _Image, where: int) -> Iterator[str]:
    at = image.offset(where)
    for _ in range(_MOST):
        (entry,) = _unpack("<Q", image.data, at)
        if not entry:
            return
        if not entry & _BY_NUMBER:
            yield image.text((entry & 0x7FFF_FFFF) + 2)
        at += 8
    raise PeError("it imports too many functions")


def _unpack(form: str, data: bytes, at: int) -> tuple[Any, ...]:
    try:
        return struct.unpack_from(form, data, at)
    except struct.error:
        raise PeError("it ends too early") from None
