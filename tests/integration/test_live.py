"""`ggml-viz ps` and `ctl` on programs that run."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.integration.conftest import GGML_VIZ
from tests.integration.test_attach import TIMEOUT_S, attach, runs_and_nodes
from tests.integration.test_safe import started
from tests.support.tiny import Tiny


def ggml_viz(*arguments: str | int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(GGML_VIZ), *map(str, arguments)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def ctl(pid: int, *arguments: str) -> str:
    done = ggml_viz("ctl", pid, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def watched(pid: int) -> dict[str, Any] | None:
    """What `ps --json` says of a process."""
    done = ggml_viz("ps", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert listed["schema"] == 1
    found: dict[int, dict[str, Any]] = {process["pid"]: process for process in listed["processes"]}
    return found.get(pid)


def state_of(pid: int) -> str | None:
    process = watched(pid)
    return process and process["state"]


def test_a_recorded_program_is_listed_until_it_ends(tiny: Tiny, tmp_path: Path) -> None:
    command = tiny("load", "input")
    with started([str(GGML_VIZ), "run", "-q", "-o", str(tmp_path / "t"), "--", *command]) as (run, pid):
        time.sleep(0.3)
        first = watched(pid)
        assert first is not None
        assert (first["state"], first["recorder"], first["method"]) == ("recording", run.pid, "preload")
        assert first["command"].split() == command
        assert first["ggml"][0][1].endswith("libggml-base.so.0")
        assert 0 < first["watched_s"] < TIMEOUT_S
        time.sleep(0.1)
        second = watched(pid)
        assert second is not None
        assert second["records"] > first["records"]
        text = ggml_viz("ps").stdout
        assert f"recording by {run.pid}" in text
        assert str(pid) in text
        run.communicate("\n", TIMEOUT_S)
    assert watched(pid) is None


def test_an_attached_program_is_idle_afterwards(tiny: Tiny, tmp_path: Path) -> None:
    with started(tiny("load", "input")) as (_, pid):
        assert watched(pid) is None
        assert attach(pid, "--duration", "0.2", "-q", "-o", tmp_path / "t").returncode == 0
        process = watched(pid)
        assert process is not None
        assert (process["state"], process["method"], process["recorder"]) == ("idle", "attach", None)
        done = ggml_viz("ctl", pid, "resume")
        assert done.returncode == 1
        assert f"ggml-viz attach {pid}" in done.stderr


def test_pause_and_resume(tiny: Tiny, tmp_path: Path) -> None:
    with started([str(GGML_VIZ), "run", "-q", "-o", str(tmp_path / "t"), "--", *tiny("load", "input")]) as (run, pid):
        time.sleep(0.2)
        for asked, state in (("pause", "paused"), ("resume", "recording"), ("stop", "idle")):
            assert f"process {pid} is" in ctl(pid, asked)
            assert state_of(pid) == state
            time.sleep(0.1)
            before = watched(pid)
            time.sleep(0.2)
            after = watched(pid)
            assert before is not None
            assert after is not None
            assert (after["records"] > before["records"]) == (state == "recording")
            assert "already" in ctl(pid, asked)
        resumed = ggml_viz("ctl", pid, "resume")
        assert resumed.returncode == 1
        assert "stopped for good" in resumed.stderr
        assert state_of(pid) == "idle"
        run.communicate("\n", TIMEOUT_S)
    # What is there is whole, but for the runs in which it was paused or stopped.
    ended, nodes = runs_and_nodes(tmp_path / "t")
    assert sum(nodes[run] != Tiny.NODES * 2 for run in ended) <= 4


def test_detail(tiny: Tiny, tmp_path: Path) -> None:
    with started([str(GGML_VIZ), "run", "-q", "-o", str(tmp_path / "t"), "--", *tiny("load", "input")]) as (run, pid):
        time.sleep(0.2)
        assert ctl(pid, "detail", "graph") == f"process {pid} records detail graph (before: thread)\n"
        process = watched(pid)
        assert process is not None
        assert process["detail"] == "graph"
        time.sleep(0.3)
        assert ctl(pid, "detail", "graph") == f"process {pid} records detail graph already\n"
        run.communicate("\n", TIMEOUT_S)
    ended, nodes = runs_and_nodes(tmp_path / "t")
    with_nodes = [run for run in sorted(ended) if nodes[run]]
    assert with_nodes
    assert max(with_nodes) < max(ended) - 10


def test_no_such_process() -> None:
    done = ggml_viz("ctl", 4000000, "pause")
    assert done.returncode == 1
    assert "process 4000000 is not watched" in done.stderr
    assert "ggml-viz ps" in done.stderr
    assert ggml_viz("ctl", 4000000, "detail").returncode == 2
    assert ggml_viz("ctl", 4000000, "pause", "op").returncode == 2
