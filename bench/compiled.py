"""Compiles the C benchmarks, as the native libraries are compiled, and runs them."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import hatch_build

HERE = Path(__file__).parent
_TARGET = hatch_build.target()
_FLAGS = (*hatch_build.FLAGS, *_TARGET.flags)
_PROGRAM_FLAGS = tuple(flag for flag in _FLAGS if flag not in ("-shared", "-Wl,-z,defs"))


def rounds_of(name: str) -> list[list[float]]:
    """Compiles `name`.c with the agent and runs it; returns the numbers in each line that it prints."""
    sources = hatch_build.sources(("agent", *hatch_build.SHARED_PARTS), _TARGET.system)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / name
        flags = (*_PROGRAM_FLAGS, f"-I{hatch_build.NATIVE}")
        files = (HERE / f"{name}.c", *sources)
        command = [*hatch_build.compiler(_TARGET), *flags, *files, *_TARGET.libraries]
        subprocess.run([*command, "-o", program], check=True)
        output = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [[float(word) for word in line.split()] for line in output.splitlines()]


def empty_library(folder: Path) -> Path:
    """A library with nothing in it, to preload where nothing is to be recorded."""
    source, library = folder / "empty.c", folder / "empty.so"
    source.write_text("typedef int nothing;\n")
    subprocess.run([*hatch_build.compiler(_TARGET), *_FLAGS, source, "-o", library], check=True)
    return library
