"""Programs for Linux with the C library musl, on this machine.

Wheels for musl that have a ggml are of no use here: they are packed in a way that Debian's musl does not know yet.
"""

from __future__ import annotations

import platform
from pathlib import Path

from tests.support import runtimes
from tests.support.tiny import Tiny, compile_with_ggml

HERE = platform.machine()


def compile(target: Path, *arguments: str | Path, cpu: str = HERE) -> Path:
    """Compiles C sources into `target`."""
    return runtimes.compile_for(_target(cpu), target, "-dynamic", *arguments)


def _target(cpu: str) -> str:
    return f"{cpu}-linux-musl"


def clock(folder: Path, cpu: str = HERE) -> Path:
    """A program that reads the clock by the core library that it is told: a test of every name the library wants."""
    return compile(folder / "clock", runtimes.PROGRAMS / "clock.c", cpu=cpu)


def tiny(folder: Path) -> Tiny:
    """The small program, with a plugin that has ggml in it."""
    kernels = {"x86_64": "x86", "aarch64": "arm"}[HERE]
    # As gcc makes libraries: what others could replace is not inlined.
    options = ("-fPIC", "-shared", "-fsemantic-interposition")
    plugin = compile_with_ggml(_target(HERE), kernels, "graph.so", runtimes.PROGRAMS / "tiny_graph.c", options=options)
    return Tiny(compile(folder / "tiny", runtimes.PROGRAMS / "tiny.c"), plugin)
