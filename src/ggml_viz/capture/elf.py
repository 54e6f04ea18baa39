"""Reads what inspection needs of an ELF file: how it is linked, and which functions it calls or defines.

Only 64-bit little-endian files are read beyond their head. The file is not trusted: every offset and count is checked
against the file's size, and whatever does not fit is an `ElfError`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MACHINES = {0x03: "i386", 0x28: "arm", 0x3E: "x86_64", 0xB7: "aarch64", 0xF3: "riscv64", 0x15: "ppc64", 0x16: "s390x"}

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_SHT_SYMTAB = 2
_DT_NEEDED, _DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ = 1, 2, 5, 6, 7, 8
_DT_STRSZ, _DT_RPATH, _DT_JMPREL, _DT_RUNPATH = 10, 15, 23, 29
_SYMBOL_BYTES, _RELA_BYTES, _DYNAMIC_BYTES = 24, 24, 16
_MOST_BYTES = 256 << 20  # of one table


class ElfError(ValueError):
    """Not an ELF file, or one whose tables do not fit into it."""


@dataclass(frozen=True)
class Elf:
    """What an ELF file says of itself.

    Attributes:
        machine: As `platform.machine()` names it; `unknown (n)` for others.
        bits: 32 or 64.
        interpreter: The dynamic linker it asks for; None: statically linked, or a library.
        dynamic: It has a dynamic section.
        needed: Names of the libraries it is linked with.
        search: Folders where these are looked for first, `$ORIGIN` not yet replaced.
        called: Functions and objects of any library, its own included, that it reaches through the dynamic linker.
    """

    machine: str
    bits: int
    interpreter: str | None = None
    dynamic: bool = False
    needed: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    called: frozenset[str] = frozenset()

    @property
    def uses_musl(self) -> bool:
        """Whether it is a program for the C library musl."""
        return "ld-musl" in (self.interpreter or "")


def is_elf(path: Path) -> bool:
    """Whether the file begins as ELF files do."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def read_elf(path: Path) -> Elf:
    """Reads an ELF file.

    Raises:
        ElfError: It is none, or is damaged.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return _Reader(file).elf()


def defined_symbols(path: Path, prefix: str) -> set[str]:
    """Functions whose names start with `prefix` in the symbol table that stripping removes.

    Raises:
        ElfError: The file is no ELF file, or is damaged.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return set(_Reader(file).static_symbols(prefix.encode()))


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        head = self._bytes(0, 20)
        if head[:4] != b"\x7fELF":
            raise ElfError("not an ELF file")
        self._bits = {1: 32, 2: 64}.get(head[4], 0)
        if not self._bits or head[5] not in (1, 2):
            raise ElfError("an ELF file of no known class")
        self._little = head[5] == 1
        (number,) = struct.unpack_from("<H" if self._little else ">H", head, 18)
        self._machine = MACHINES.get(number, f"unknown ({number})")

    def elf(self) -> Elf:
        if self._bits != 64 or not self._little:
            return Elf(self._machine, self._bits)
        interpreter, dynamic = None, None
        self._loads: list[tuple[int, int, int]] = []  # address, offset, bytes in the file
        for kind, offset, address, size in self._segments():
            if kind == _PT_LOAD:
                self._loads.append((address, offset, size))
            elif kind == _PT_INTERP:
                interpreter = self._bytes(offset, size).split(b"\0")[0].decode(errors="replace")
            elif kind == _PT_DYNAMIC:
                dynamic = self._bytes(offset, size)
        if dynamic is None:
            return Elf(self._machine, self._bits, interpreter)
        tags = list(_dynamic_entries(dynamic))
        last = dict(tags)
        names = self._at(last[_DT_STRTAB], last.get(_DT_STRSZ, 0)) if _DT_STRTAB in last else b""
        search = next((_string(names, last[tag]) for tag in (_DT_RUNPATH, _DT_RPATH) if tag in last), "")
        return Elf(
            self._machine,
            self._bits,
            interpreter,
            dynamic=True,
            needed=tuple(_string(names, value) for tag, value in tags if tag == _DT_NEEDED),
            search=tuple(folder for folder in search.split(":") if folder),
            called=frozenset(self._called(last, names)),
        )

    def static_symbols(self, prefix: bytes) -> Iterator[str]:
        if self._bits != 64 or not self._little:
            return
        sections = self._sections()
        for kind, offset, size, link in sections:
            if kind != _SHT_SYMTAB or link >= len(sections):
                continue
            names = self._bytes(sections[link][1], sections[link][2])
            table = self._bytes(offset, size - size % _SYMBOL_BYTES)
            for name_at, info, _other, section, _value, _size in struct.iter_unpack("<IBBHQQ", table):
                if info & 15 == 2 and section and names.startswith(prefix, name_at):  # a function, defined here
                    yield _string(names, name_at)

    def _segments(self) -> Iterator[tuple[int, int, int, int]]:
        head = self._bytes(0, 64)
        (table,) = struct.unpack_from("<Q", head, 32)
        entry, count = struct.unpack_from("<HH", head, 54)
        if entry < 56:
            raise ElfError("program headers of a strange size")
        data = self._bytes(table, entry * count)
        for i in range(count):
            kind, _flags, offset, address, _physical, size = struct.unpack_from("<IIQQQQ", data, i * entry)
            yield kind, offset, address, size

    def _sections(self) -> list[tuple[int, int, int, int]]:
        head = self._bytes(0, 64)
        (table,) = struct.unpack_from("<Q", head, 40)
        entry, count = struct.unpack_from("<HH", head, 58)
        if not table or not count:
            return []
        if entry < 64:
            raise ElfError("section headers of a strange size")
        data = self._bytes(table, entry * count)
        sections = []
        for i in range(count):
            _name, kind, _flags, _address, offset, size, link = struct.unpack_from("<IIQQQQI", data, i * entry)
            sections.append((kind, offset, size, link))
        return sections

    def _called(self, tags: dict[int, int], names: bytes) -> Iterator[str]:
        symbols = tags.get(_DT_SYMTAB, 0)
        for table, size in ((_DT_JMPREL, _DT_PLTRELSZ), (_DT_RELA, _DT_RELASZ)):
            if table not in tags or not symbols:
                continue
            entries = self._at(tags[table], tags.get(size, 0) // _RELA_BYTES * _RELA_BYTES)
            wanted = {info >> 32 for _offset, info, _addend in struct.iter_unpack("<QQq", entries)}
            wanted.discard(0)
            if not wanted:
                continue
            data = self._at(symbols, (max(wanted) + 1) * _SYMBOL_BYTES)
            for index in wanted:
                yield _string(names, struct.unpack_from("<I", data, index * _SYMBOL_BYTES)[0])

    def _at(self, address: int, size: int) -> bytes:
        """The bytes that are at `address` when the file is loaded."""
        for start, offset, held in self._loads:
            if start <= address and address + size <= start + held:
                return self._bytes(offset + address - start, size)
        raise ElfError("a table lies outside of what is loaded")

    def _bytes(self, offset: int, size: int) -> bytes:
        if offset + size > self._size or size > _MOST_BYTES:
            raise ElfError("it ends too early")
        self._file.seek(offset)
        data = self._file.read(size)
        if len(data) != size:
            raise ElfError("it ends too early")
        return data


def _dynamic_entries(data: bytes) -> Iterator[tuple[int, int]]:
    for tag, value in struct.iter_unpack("<qQ", data[: len(data) - len(data) % _DYNAMIC_BYTES]):
        if tag == 0:
            return
        yield tag, value


def _string(names: bytes, offset: int) -> str:
    end = names.find(b"\0", offset)
    if offset >= len(names) or end < 0:
        raise ElfError("a name lies outside of the names")
    return names[offset:end].decode(errors="replace")
