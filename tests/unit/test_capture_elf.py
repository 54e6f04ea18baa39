"""ELF files: real ones of this machine, made ones, and hostile ones."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ggml_viz import native
from ggml_viz.capture.elf import Elf, ElfError, defined_symbols, read_elf


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that calls a function of its own through the dynamic linker, and a program that uses it."""
    folder = tmp_path_factory.mktemp("elf")
    (folder / "library.c").write_text(
        "int ggml_inner(void) { return 1; } int ggml_outer(void) { return ggml_inner(); }"
    )
    (folder / "program.c").write_text("int ggml_outer(void); int main(void) { return ggml_outer() - 1; }")
    _compile(folder, "-shared", "-fPIC", "-O0", "-o", "libuser.so", "library.c")
    _compile(folder, "-o", "program", "program.c", "-L.", "-luser", "-Wl,-rpath,$ORIGIN")
    _compile(folder, "-static", "-o", "static", "program.c", "library.c")
    return folder


def _compile(folder: Path, *arguments: str) -> None:
    subprocess.run(["cc", *arguments], cwd=folder, check=True)


def test_program_and_library_tell_how_they_are_linked(libraries: Path) -> None:
    program = read_elf(libraries / "program")
    assert program.bits == 64
    assert program.interpreter is not None
    assert "ld-linux" in program.interpreter
    assert "libuser.so" in program.needed
    assert program.search == ("$ORIGIN",)
    assert "ggml_outer" in program.called
    library = read_elf(libraries / "libuser.so")
    assert library.interpreter is None
    assert library.dynamic
    assert "ggml_inner" in library.called


def test_static_program_has_no_dynamic_linker(libraries: Path) -> None:
    program = read_elf(libraries / "static")
    assert program.interpreter is None
    assert not program.called
    assert defined_symbols(libraries / "static", "ggml_") == {"ggml_inner", "ggml_outer"}


def test_stripping_removes_the_static_symbols_only(libraries: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped.so"
    subprocess.run(["strip", "-o", stripped, libraries / "libuser.so"], check=True)
    assert defined_symbols(libraries / "libuser.so", "ggml_") == {"ggml_inner", "ggml_outer"}
    assert defined_symbols(stripped, "ggml_") == set()
    assert "ggml_inner" in read_elf(stripped).called


def test_agent_needs_no_library_but_libc() -> None:
    needed = read_elf(native.agent_path()).needed
    assert {name.split(".so")[0] for name in needed} <= {
        "libc",
        "libdl",
        "libpthread",
        "librt",
        "ld-linux-x86-64",
        "ld-linux-aarch64",
    }


def test_old_symbol_versions_only() -> None:
    """The libraries run with glibc 2.17: what they import asks for no newer version."""
    for path in (native.agent_path(), native.core_path()):
        versions = set()
        for word in path.read_bytes().split(b"\0"):
            if word.startswith(b"GLIBC_2."):
                versions.add(tuple(map(int, word[6:].split(b"."))))
        assert versions
        assert max(versions) <= (2, 17)


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\n", b"MZ" + bytes(100), bytes(64)])
def test_what_is_no_elf_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ElfError):
        read_elf(path)


def test_other_classes_and_machines_are_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\x7fELF\x01\x01\x01" + bytes(9) + struct.pack("<HH", 2, 0x28) + bytes(40))
    assert read_elf(path) == Elf("arm", 32)
    path.write_bytes(b"\x7fELF\x02\x02\x01" + bytes(9) + struct.pack(">HH", 2, 0x16) + bytes(40))
    assert read_elf(path) == Elf("s390x", 64)


@pytest.mark.parametrize("which", ["program", "libuser.so"])
def test_damaged_files_never_end_in_anything_but_an_elf_error(libraries: Path, tmp_path: Path, which: str) -> None:
    whole = (libraries / which).read_bytes()
    chance = random.Random(1)
    path = tmp_path / "damaged"
    refused = 0
    for _ in range(1500):
        damaged = bytearray(whole)
        kind = chance.randrange(3)
        if kind == 0:
            del damaged[chance.randrange(len(damaged)) :]
        else:
            # The head and the program headers steer everything else.
            reach = 0x400 if kind == 1 else len(damaged)
            for _ in range(chance.randrange(1, 30)):
                damaged[chance.randrange(min(reach, len(damaged)))] = chance.choice(
                    [0, 1, 0x7F, 0xFF, chance.randrange(256)]
                )
        path.write_bytes(damaged)
        for read in (read_elf, lambda at: defined_symbols(at, "ggml_")):
            try:
                read(path)
            except ElfError:
                refused += 1
    assert refused > 500


def test_sizes_that_do_not_fit_allocate_nothing(tmp_path: Path) -> None:
    """A program header that claims most of the address space."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    dynamic = struct.pack("<IIQQQQQQ", 2, 4, 0, 0, 0, 2**63 - 1, 2**63 - 1, 8)
    path = tmp_path / "file"
    path.write_bytes(head + dynamic)
    with pytest.raises(ElfError):
        read_elf(path)


def test_this_python_is_read() -> None:
    elf = read_elf(Path(sys.executable).resolve())
    assert elf.interpreter
    assert elf.called
