"""Reads what inspection needs of a program or library of macOS: what it is linked with, and whether it lets others in.

The file is not trusted: every offset and count is checked against the file's size, and whatever does not fit is a
`MachOError`.
"""

from __future__ import annotations

import plistlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

MACHINES = {0x0100_0007: "x86_64", 0x0100_000C: "arm64"}

_MOST_BYTES = 256 << 20
_MOST = 1 << 16
_MOST_CPUS = 40
_FAT, _FAT_64, _THIN = 0xCAFE_BABE, 0xCAFE_BABF, 0xFEED_FACF
_SEGMENT, _SYMTAB, _CODE_SIGNATURE, _RPATH = 0x19, 0x2, 0x1D, 0x8000_001C
_LIBRARIES = frozenset({0xC, 0x20, 0x8000_0018, 0x8000_001F, 0x8000_0023})

_SIGNATURE, _DIRECTORY, _ENTITLEMENTS = 0xFADE_0CC0, 0xFADE_0C02, 0xFADE_7171
_RESTRICTED, _KNOWN_LIBRARIES_ONLY, _HARDENED = 0x800, 0x2000, 0x1_0000  # flags of a signature
_ALLOWS_VARIABLES = "com.apple.security.cs.allow-dyld-environment-variables"
_ALLOWS_LIBRARIES = "com.apple.security.cs.disable-library-validation"


class MachOError(ValueError):
    """Not a program of macOS with 64 bits, or one whose tables do not fit into it."""


@dataclass(frozen=True)
class MachO:
    """What such a file says of itself.

    Attributes:
        machine: The CPU, by a name in MACHINES; `unknown (n)` for others.
        libraries: What it is linked with, as it names it.
        search: Folders that stand for `@rpath` in that.
        called: Functions and objects of other libraries that it refers to.
        closed: By its signature the system keeps foreign libraries out of it.
    """

    machine: str
    libraries: tuple[str, ...]
    search: tuple[str, ...]
    called: frozenset[str]
    closed: bool


def is_macho(path: Path) -> bool:
    """Whether the file begins as programs of macOS do."""
    with path.open("rb") as file:
        begin = file.read(8)
    if begin[:4] == struct.pack("<I", _THIN):
        return True
    # A compiled class of Java begins like a file for several CPUs, but in place of their number has its version.
    magic, count = struct.unpack(">II", begin) if len(begin) == 8 else (0, 0)
    return magic in (_FAT, _FAT_64) and count < _MOST_CPUS


def read_macho(path: Path, machine: str) -> MachO:
    """Reads a file.

    Args:
        path: The file.
        machine: Of a file for several CPUs the part for this one, or else the first.

    Raises:
        MachOError: It is none, or damaged.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES)
    return _read(_part(data, machine))


def _part(data: bytes, machine: str) -> bytes:
    magic, count = _unpack(">II", data, 0)
    if magic not in (_FAT, _FAT_64):
        return data
    form = ">IIIII" if magic == _FAT else ">IIQQII"
    parts = [_unpack(form, data, 8 + i * struct.calcsize(form)) for i in range(min(count, _MOST_CPUS))]
    if not parts:
        raise MachOError("it is for no CPU")
    _, _, offset, size, *_ = next((part for part in parts if MACHINES.get(part[0]) == machine), parts[0])
    return data[offset : offset + size]


def _read(data: bytes) -> MachO:
    magic, cpu, count, size = _unpack("<II8xII", data, 0)
    if magic != _THIN:
        raise MachOError("it does not begin as one")
    libraries, search, called, closed = [], [], frozenset[str](), False
    for kind, at, length in _commands(data, count, 32 + size):
        if kind in _LIBRARIES:
            libraries.append(_text(data, at + _unpack("<I", data, at + 8)[0], at + length))
        elif kind == _RPATH:
            search.append(_text(data, at + _unpack("<I", data, at + 8)[0], at + length))
        elif kind == _SYMTAB:
            called = frozenset(_undefined(data, *_unpack("<IIII", data, at + 8)))
        elif kind == _SEGMENT:
            closed |= data[at + 8 : at + 24].rstrip(b"\0") == b"__RESTRICT"
        elif kind == _CODE_SIGNATURE:
            closed |= _is_closed(data[slice(*_range(data, *_unpack("<II", data, at + 8)))])
    name = MACHINES.get(cpu, f"unknown ({cpu:#x})")
    return MachO(name, tuple(libraries), tuple(search), called, closed)


def _commands(data: bytes, count: int, end: int) -> Iterator[tuple[int, int, int]]:
    at = 32
    for _ in range(min(count, _MOST)):
        kind, length = _unpack("<II", data, at)
        if length < 8 or at + length > end:
            raise MachOError("a load command is longer than all of them")
        yield kind, at, length
        at += length


def _undefined(data: bytes, symbols: int, count: int, names: int, names_bytes: int) -> Iterator[str]:
    start, stop = _range(data, symbols, 16 * count)
    begin, end = _range(data, names, names_bytes)
    for name, kind, _, _, _ in struct.iter_unpack("<IBBHQ", data[start:stop]):
        # Of another library, and not for a debugger.
        if kind & 0xEE == 0 and kind & 0x01:
            yield _text(data, begin + name, end).removeprefix("_")


def _is_closed(signature: bytes) -> bool:
    """Whether the system ignores what DYLD_INSERT_LIBRARIES says to this program, or ends it for what it says."""
    magic, _, count = _unpack(">III", signature, 0)
    if magic != _SIGNATURE:
        raise MachOError("its signature does not begin as one")
    flags, allowed = 0, frozenset[str]()
    for i in range(min(count, 100)):
        (offset,) = _unpack(">4xI", signature, 12 + 8 * i)
        magic, length = _unpack(">II", signature, offset)
        if magic == _DIRECTORY:
            flags |= _unpack(">I", signature, offset + 12)[0]
        elif magic == _ENTITLEMENTS:
            allowed = _entitlements(signature[offset + 8 : offset + length])
    if flags & _RESTRICTED:
        return True
    if flags & _HARDENED:
        return not {_ALLOWS_VARIABLES, _ALLOWS_LIBRARIES} <= allowed
    return bool(flags & _KNOWN_LIBRARIES_ONLY)


def _entitlements(text: bytes) -> frozenset[str]:
    try:
        said = plistlib.loads(text)
    except (ValueError, ExpatError, plistlib.InvalidFileException):
        raise MachOError("what it is entitled to cannot be read") from None
    return frozenset(name for name, value in said.items() if value is True) if isinstance(said, dict) else frozenset()


def _range(data: bytes, offset: int, length: int) -> tuple[int, int]:
    if offset + length > len(data):
        raise MachOError("a table lies outside of the file")
    return offset, offset + length


def _text(data: bytes, begin: int, end: int) -> str:
    stop = data.find(b"\0", begin, end)
    if stop < 0:
        raise MachOError("a name does not end")
    return data[begin:stop].decode(errors="replace")


def _unpack(form: str, data: bytes, at: int) -> tuple[Any, ...]:
    try:
        return struct.unpack_from(form, data, at)
    except struct.error:
        raise MachOError("it ends too early") from None
