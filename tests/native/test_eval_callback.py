"""Timing each node by itself leaves a program's own evaluation callback as it was: asked, told, and able to cancel."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from tests.native import compiling
from tests.native.test_agent import SANITIZERS, with_openmp
from tests.support import runtimes

from ggml_viz.model.trace import Trace
from ggml_viz.native import KIND_NODE

SOURCE = Path(__file__).parent / "eval_callback.c"
RUNS = 3
AT_ONCE = 2
NODES = {"MUL_MAT": 3, "ADD": 3}
# It cancels in the first run alone: at the third node that computes anything or not.
CANCELLED = {"MUL_MAT": 3 * RUNS - 2, "ADD": 3 * RUNS - 2}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("eval")


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize("mode", ["none", "never", "some", "all", "cancel", "change"])
def test_the_programs_own_callback(mode: str, sanitizer: str, build: Path, tmp_path: Path) -> None:
    libraries = with_openmp()
    headers = f"-I{runtimes.ggml_headers()}"
    links = (*libraries, "-Wl,--allow-shlib-undefined")
    program = compiling.program(build, SOURCE, (), sanitizer, (headers, *links))
    trace = tmp_path / "trace.ggmlviz"
    agent = compiling.agent(build, sanitizer)
    environment = {
        **os.environ,
        **compiling.ENVIRONMENT,
        "LD_LIBRARY_PATH": str(libraries[0].parent),
        "OMP_WAIT_POLICY": "passive",
    }
    recorded = {
        "LD_PRELOAD": ":".join(map(str, agent)),
        "GGML_VIZ_OUTPUT": str(trace),
        "GGML_VIZ_PER_NODE_SYNC": "1",
    }
    bare = {"LD_PRELOAD": ":".join(map(str, agent[:-1]))}
    said = []
    for more in (bare, recorded):
        ended = subprocess.run(
            [*compiling.start_command(sanitizer), program, mode, str(RUNS)],
            env={**environment, **more},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=100,
        )
        assert ended.returncode == 0, f"ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr[-8000:]}"
        said.append(ended.stdout)
    assert said[0] == said[1]
    assert said[0].count("status 0\n") == RUNS * AT_ONCE

    (process,) = Trace.open(trace).watched
    seen: Counter[str] = Counter()
    for records, _ in process.nodes():
        runs = dict(zip(process.runs.number.tolist(), process.runs.graph.tolist(), strict=True))
        for record in records[records["kind"] == KIND_NODE]:
            assert record["work"] > 0
            seen[process.graphs[runs[int(record["run"])]].op(int(record["node"]))] += 1
    expected = CANCELLED if mode == "cancel" else {op: count * RUNS for op, count in NODES.items()}
    assert seen == {op: count * AT_ONCE for op, count in expected.items()}
