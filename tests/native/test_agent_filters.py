"""Filters under sanitizers, in a program that uses ggml from many threads: what is left out is counted to the node."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from tests.native import compiling
from tests.native.test_agent import SANITIZERS, SOURCE, with_openmp
from tests.support import runtimes

from ggml_viz.model.trace import Trace
from ggml_viz.native import KIND_NODE


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("filters")


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({"OPS": "MUL_MAT"}, 1 / 2),
        ({"NODES": "node_0,*e_[45],n?*_5"}, 1 / 3),
        ({"OPS": "ADD", "NODES": "*5"}, 1 / 6),
        ({"BACKENDS": "GPU"}, 0),
        ({"BACKENDS": "CPU", "TOKENS": "1-"}, 1),
    ],
    ids=str,
)
def test_counts_are_exact(settings: dict[str, str], share: float, sanitizer: str, build: Path, tmp_path: Path) -> None:
    libraries = with_openmp()
    program = compiling.program(build, SOURCE, (), sanitizer, (f"-I{runtimes.ggml_headers()}",))
    trace = tmp_path / "trace.ggmlviz"
    environment = {
        **os.environ,
        **compiling.ENVIRONMENT,
        **{f"GGML_VIZ_{key}": value for key, value in settings.items()},
        "LD_PRELOAD": ":".join(map(str, compiling.agent(build, sanitizer))),
        "LD_LIBRARY_PATH": str(libraries[0].parent),
        "OMP_WAIT_POLICY": "passive",
        "GGML_VIZ_OUTPUT": str(trace),
    }
    ended = subprocess.run(
        [*compiling.start_command(sanitizer), program, "threads", "40", *libraries],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=100,
    )
    assert ended.returncode == 0, f"ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr[-8000:]}"
    runs, nodes, threads, _ = map(int, ended.stdout.split())

    (process,) = Trace.open(trace).watched
    assert len(process.runs) == runs
    recorded: Counter[tuple[int, int]] = Counter()
    for records, _ in process.nodes():
        for node in records[records["kind"] == KIND_NODE]:
            recorded[int(node["run"]), int(node["detail"])] += 1
    expected = round(nodes * share)
    assert len(recorded) == (runs * threads if expected else 0)
    assert set(recorded.values()) <= {expected}
    left_out = runs * threads * (nodes - expected) + (runs if expected == 0 else 0)
    assert process.file.counters is not None
    assert process.file.counters.skipped == left_out
