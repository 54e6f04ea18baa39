"""Runs a program under the counting shim (shim.c)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.support import runtimes

SOURCE = Path(__file__).with_name("shim.c")


@dataclass(frozen=True)
class Truth:
    """What one copy of ggml computed.

    Attributes:
        ggml: The object that computed it.
        version: What this ggml calls itself.
        runs: Outermost computations of graphs.
        graphs: Graphs given to a backend, by backend.
        nodes: Nodes that a backend had to execute, by backend and op; without those that could not be counted.
    """

    ggml: Path
    version: str
    runs: int
    graphs: dict[str, int]
    nodes: dict[str, Counter[str]]


def library() -> Path:
    """The shim, compiled against ggml's public headers."""

    def make(folder: Path) -> None:
        flags = ("-std=gnu11", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE")
        include = f"-I{runtimes.ggml_headers()}"
        runtimes.call("cc", *flags, include, SOURCE, "-o", folder / "shim.so", "-ldl", "-lpthread")

    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    return runtimes.once(f"shim-{digest}", make) / "shim.so"


def count(
    program: runtimes.Program, output: Path, layout: str = "", shim: Path | None = None
) -> tuple[runtimes.Said, list[Truth]]:
    """Runs a program and counts what ggml computes in it, by copy of ggml.

    Args:
        program: The program.
        output: A file to hold the counts.
        layout: Where a ggml too old to say so has a graph's nodes (shim.c).
        shim: The shim, compiled for another CPU; None: for this machine.
    """
    environment = {"LD_PRELOAD": str(shim or library()), "GGML_TRUTH": str(output), "GGML_TRUTH_LAYOUT": layout}
    said = program.run(env=environment).said
    return said, [
        Truth(
            ggml=Path(copy["ggml"]),
            version=copy["version"],
            runs=copy["runs"],
            graphs={name: backend["graphs"] for name, backend in copy["backends"].items()},
            nodes={name: Counter(backend["ops"]) for name, backend in copy["backends"].items() if backend["ops"]},
        )
        for copy in (json.loads(output.read_text()) if output.exists() else [])
    ]
