"""What attaching costs a server at work: llama-server with clients, attached to and left alone in turn."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support import runtimes, server

from bench.figure import Figure, bootstrap, median, ratio_of_medians

CLIENTS, ROUNDS = 4, 12
# How long a figure is taken: long enough for hundreds of tokens, short enough to be next to what it is compared with.
SPAN_S = 3.0
MANY = 50


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name, server.running(runtimes.llama_cpp("llama-server")) as running:
        trace = Path(name) / "t.ggmlviz"
        with server.load(running, CLIENTS) as load:
            time.sleep(SPAN_S)
            first, speeds, gaps = [], [], []
            for _ in range(ROUNDS):
                before = _span()
                begin = time.monotonic()
                first.append([_attach(running.pid, trace)])
                during = (begin, begin + 1.0)
                time.sleep(1.0)
                after = _span()
                speeds.append([load.tokens_per_second(*after), load.tokens_per_second(*before)])
                gaps.append([_p99(load.gaps(*during)) - _p99(load.gaps(*before))])
            memory = _memory_bytes(running.pid)
            for _ in range(MANY):
                _attach(running.pid, trace, duration_s=0.1)
            grown = _memory_bytes(running.pid) - memory
            assert not load.failures, load.failures
        assert running.process.poll() is None
    note = f"{CLIENTS} clients, {ROUNDS} rounds"
    ratio, low, high = bootstrap(speeds, ratio_of_medians)
    waited, waited_low, waited_high = bootstrap(first, median)
    raised, raised_low, raised_high = bootstrap(gaps, median)
    return [
        Figure("attach, until the first record", waited, "s", goal=1, low=waited_low, high=waited_high, note=note),
        Figure(
            "inter-token p99 while attaching, more",
            raised * 1e3,
            "ms",
            goal=100,
            low=raised_low * 1e3,
            high=raised_high * 1e3,
            note=note,
        ),
        Figure(
            "tokens/s after detaching / before", ratio, goal=0.99, low=low, high=high, higher_is_better=True, note=note
        ),
        Figure(f"memory after {MANY} more attachments", grown / 1e6, "MB", goal=1, note="private, of the server"),
    ]


def _span() -> tuple[float, float]:
    begin = time.monotonic()
    time.sleep(SPAN_S)
    return begin, time.monotonic()


def _attach(pid: int, trace: Path, duration_s: float = 1.0) -> float:
    """Attaches once; returns after how many seconds the trace began to grow by records."""
    command = [sys.executable, "-m", "ggml_viz", "attach", str(pid), "--quiet", "-o", str(trace)]
    trace.unlink(missing_ok=True)
    begin = time.monotonic()
    with subprocess.Popen([*command, "--duration", str(duration_s)]) as watching:
        first = None
        while watching.poll() is None:
            if first is None and _has_records(trace):
                first = time.monotonic() - begin
            time.sleep(0.005)
    assert watching.returncode == 0
    assert first is not None
    return first


def _has_records(trace: Path) -> bool:
    try:
        return b"RECS" in trace.read_bytes()[: 1 << 20]
    except FileNotFoundError:
        return False


def _p99(gaps: list[float]) -> float:
    return gaps[int(len(gaps) * 0.99)]


def _memory_bytes(pid: int) -> int:
    """Private memory of a process: what it has of its own, without files and what it shares."""
    for line in (Path("/proc") / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no such line")
