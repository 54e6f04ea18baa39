"""How long does a user wait for answers from a large trace, and what memory does it take?

20 M executed nodes on one thread, each a record: whole commands, as a user starts them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support import tracefile

from bench.figure import Figure, bootstrap, median

SPANS, ROUNDS = 20_000_000, 5
PERCENTILES = (
    "SELECT op, count(*), quantile_cont(wall_ns, 0.5), quantile_cont(wall_ns, 0.99) FROM spans GROUP BY op ORDER BY op"
)
_OPEN = "import sys, time; began = time.perf_counter(); import ggml_viz; ggml_viz.open(sys.argv[1]); "
_ASK = "from ggml_viz.analysis.sql import Database; database = Database(ggml_viz.open(sys.argv[1])); "
_FIRST = "list(database.query('SELECT op, max(wall_ns) FROM spans GROUP BY op').batches); began = time.perf_counter(); "


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "large.ggmlviz", Path(folder) / "out"
        count = tracefile.write_large_trace(path, SPANS, threads=1)
        runs = {
            "report": [_run("report", path) for _ in range(ROUNDS)],
            "info": [_run("info", path) for _ in range(ROUNDS)],
            "diff with itself": [_run("diff", path, path) for _ in range(ROUNDS)],
            "op percentiles by SQL, command": [_run("query", path, PERCENTILES) for _ in range(ROUNDS)],
            "parquet export": [_run("export", path, "--to", "parquet", "-o", out) for _ in range(ROUNDS)],
            "chrome export": [_run("export", path, "--to", "chrome", "-o", out) for _ in range(2)],
        }
        opened = [(_timed(_OPEN + "print(time.perf_counter() - began)", path), 0) for _ in range(ROUNDS)]
        asked = f"list(database.query({PERCENTILES!r}).batches); print(time.perf_counter() - began)"
        answered = [(_timed(_OPEN + _ASK + _FIRST + asked, path), 0) for _ in range(ROUNDS)]
    note = f"{count / 1e6:.1f} M records"
    goals = {"report": 2.0, "info": 0.2, "diff with itself": 5.0, "parquet export": 5.0, "chrome export": 40.0}
    figures = [_figure("open, in Python", opened, 0.3, note), _figure("op percentiles by SQL", answered, 1.0)]
    figures += [_figure(name, times, goals.get(name)) for name, times in runs.items()]
    peak = max(memory for _, memory in runs["report"])
    return [*figures, Figure("report, peak memory", peak, "GB", goal=2)]


def _figure(name: str, times: Sequence[tuple[float, float]], goal: float | None, note: str = "") -> Figure:
    seconds, low, high = bootstrap(times, median)
    return Figure(name, seconds, "s", goal=goal, low=low, high=high, note=note)


def _run(command: str, *arguments: str | Path) -> tuple[float, float]:
    """Seconds that the whole process takes, and GB that it has at most."""
    before = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "ggml_viz", command, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"ggml-viz {command} ended with {process.returncode}")
    return time.monotonic() - before, usage.ru_maxrss * 1024 / 1e9


def _timed(program: str, path: Path) -> float:
    """What a program in Python prints: seconds."""
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    return float(done.stdout)
