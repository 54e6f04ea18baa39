"""How long does a user wait for the report on a large trace, and what memory does it take?"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support import tracefile

from bench.figure import Figure, bootstrap, median

RECORDS, ROUNDS = 10_000_000, 5


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.ggmlviz"
        count = tracefile.write_large_trace(path, RECORDS)
        report = [_run("report", path) for _ in range(ROUNDS)]
        info = [_run("info", path) for _ in range(ROUNDS)]
    seconds, low, high = bootstrap(report, median)
    info_seconds, info_low, info_high = bootstrap(info, median)
    peak = max(memory for _, memory in report)
    return [
        Figure("report", seconds, "s", goal=2, low=low, high=high, note=f"{count / 1e6:.1f} M records"),
        Figure("report, peak memory", peak, "GB", goal=1),
        Figure("info", info_seconds, "s", goal=0.2, low=info_low, high=info_high),
    ]


def _run(command: str, path: Path) -> tuple[float, float]:
    """Seconds that the whole process takes, and GB that it has at most."""
    before = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "ggml_viz", command, path], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"ggml-viz {command} ended with {process.returncode}")
    return time.monotonic() - before, usage.ru_maxrss * 1024 / 1e9
