"""Large traces are read at once. The bounds are loose: a test's machine is busy; `make bench` says how fast it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support import tracefile

RECORDS = 10_000_000


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    path = tmp_path_factory.mktemp("large") / "large.ggmlviz"
    count = tracefile.write_large_trace(path, RECORDS)
    assert count >= RECORDS
    return path, count


def run(*arguments: str | Path) -> tuple[str, float, int]:
    """Runs ggml-viz; returns what it prints, the seconds it took and the most bytes of memory that it had."""
    before = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", "ggml_viz", *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return output.decode(), time.monotonic() - before, usage.ru_maxrss * 1024


def test_report(trace: tuple[Path, int]) -> None:
    path, count = trace
    output, seconds, memory_bytes = run("report", "--json", path)
    report: dict[str, Any] = json.loads(output)
    assert report["trace"]["records"] == count
    assert report["trace"]["lost"] == 0
    assert sum(op["count"] for op in report["ops"]) == pytest.approx(RECORDS / 2, rel=0.02)
    assert seconds < 3 * 2
    assert memory_bytes < 1.5e9


def test_info(trace: tuple[Path, int]) -> None:
    output, seconds, _ = run("info", trace[0])
    assert "10.0 M of 10.0 M · 0 lost" in output
    assert seconds < 3 * 0.2
