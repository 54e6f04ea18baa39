"""Ten minutes of a server at work under a flight recorder: nothing is lost, nothing grows.

Takes its time, so it is measured only when asked for: `python -m bench soak`. GGML_VIZ_SOAK_S sets another duration.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support import runtimes, server

from bench.figure import Figure

CLIENTS = 8
LIMIT_BYTES = 200_000_000


def measure() -> list[Figure]:
    seconds = float(os.environ.get("GGML_VIZ_SOAK_S", "600"))
    with tempfile.TemporaryDirectory() as name:
        trace = Path(name) / "t.ggmlviz"
        record = [sys.executable, "-m", "ggml_viz", "run", "--quiet", "--max-size", "200MB", "-o", trace, "--"]
        resident, largest = [], 0
        with server.running(runtimes.llama_cpp("llama-server"), *record, slots=CLIENTS) as running:
            with server.load(running, CLIENTS) as load:
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    time.sleep(1)
                    assert running.process.poll() is None, "llama-server or its recorder ended"
                    resident.append(resident_bytes(running.pid))
                    largest = max(largest, trace.stat().st_size)
            tokens = sum(map(len, load.arrivals))
            assert not load.failures, load.failures
        size = trace.stat().st_size
        report = subprocess.run(
            [sys.executable, "-m", "ggml_viz", "report", "--json", trace], capture_output=True, text=True, check=True
        )
        seen = json.loads(report.stdout)["trace"]
    # The first seconds are those in which a program gets its memory together.
    settled = resident[len(resident) // 10 :]
    half = len(settled) // 2
    grown = max(settled[half:]) - max(settled[:half])
    note = f"{seconds:.0f} s, {CLIENTS} clients, {tokens} tokens"
    return [
        Figure("soak: trace, of 200 MB", size / LIMIT_BYTES, goal=1.05, note=note),
        Figure("soak: largest it ever was", largest / LIMIT_BYTES, goal=1.05),
        Figure("soak: records lost", float(seen["lost"]), goal=0),
        Figure("soak: recorder grew in second half", grown / 1e6, "MB", goal=1, note=f"{settled[-1] / 1e6:.0f} MB"),
    ]


def resident_bytes(pid: int) -> int:
    """What the recorder has of its own; the segment that it reads belongs to the program."""
    for line in (Path("/proc") / str(pid) / "status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no such line")
