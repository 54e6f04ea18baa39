"""What is given on the command line of `ggml-viz run` takes effect in the program."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.integration.conftest import GGML_VIZ, report
from tests.support.tiny import Tiny

from ggml_viz.model.trace import Trace

RUNS = 5


@pytest.mark.parametrize(
    ("options", "nodes"),
    [((), RUNS * Tiny.NODES), (("--ops", "NOTHING"), 0), (("--backends", "none"), 0), (("--detail", "graph"), 0)],
)
def test_flags(options: tuple[str, ...], nodes: int, tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    command = [str(GGML_VIZ), "run", "--quiet", "-o", str(trace), *options, "--", *tiny("load", f"run:{RUNS}")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    made = report(trace)
    assert made["graphs"]["runs"] == RUNS
    assert sum(op["count"] for op in made["ops"]) == nodes


def test_no_children(tiny: Tiny, tmp_path: Path) -> None:
    """What it forks is recorded all the same."""
    trace = tmp_path / "t.ggmlviz"
    steps = ("load", "run:2", "fork", "run:3", "exec", "load", "run:4")
    command = [str(GGML_VIZ), "run", "--quiet", "-o", str(trace), "--no-children", "--", *tiny(*steps, threads=1)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    assert sorted(len(p.runs) for p in Trace.open(trace).watched) == [3, 5]


def test_what_the_agent_says_is_logged(tiny: Tiny, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [str(GGML_VIZ), "run", "--log-level", "info", "--log-file", str(log), "--ops", "MUL_MAT"]
    command += ["-o", str(tmp_path / "t.ggmlviz"), "--", *tiny("load", "run:10000")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    assert "on request" in log.read_text()
    assert "MUL_MAT" in log.read_text()
