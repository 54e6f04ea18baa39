"""Nothing is lost at a million records a second and thread; and what is lost when nobody reads is counted."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.native import compiling
from tests.support import tracefile

from ggml_viz import native

THREADS = 2
RATE = 1_000_000


@dataclass(frozen=True)
class Outcome:
    """What the writer says that it put, and what is in the trace."""

    put: int
    seconds: float
    written: int
    lost: int
    dropped: int
    in_trace: int


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = compiling.ROOT / "tests" / "native" / "synthetic_writer.c"
    return compiling.program(tmp_path_factory.mktemp("writer"), source, compiling.AGENT)


def on_two_cores() -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


def record(writer: Path, trace: Path, seconds: float, stop_recorder_s: float = 0) -> Outcome:
    """Records the writer with `ggml-viz run` on the same two cores, and stops the recorder for a while meanwhile."""
    command = [sys.executable, "-m", "ggml_viz", "run", "--quiet", "-o", trace, "--", writer]
    with subprocess.Popen(
        [*command, str(THREADS), str(RATE), str(seconds)], stdout=subprocess.PIPE, text=True, preexec_fn=on_two_cores
    ) as recorder:
        assert recorder.stdout is not None
        assert recorder.stdout.readline() == "started\n"
        if stop_recorder_s:
            time.sleep(0.5)
            recorder.send_signal(signal.SIGSTOP)
            time.sleep(stop_recorder_s)
            recorder.send_signal(signal.SIGCONT)
        put, took = recorder.stdout.readline().split()
        assert recorder.wait(60) == 0
    return read_outcome(trace, int(put), float(took))


def read_outcome(trace: Path, put: int, seconds: float) -> Outcome:
    data = trace.read_bytes()
    chunks = tracefile.read_chunks(data)
    assert len(data) == 16 + sum(16 + len(payload) for _, _, payload in chunks)
    assert chunks[-1][0] == b"DONE"
    (stat,) = (struct.unpack("<6Q", payload) for kind, _, payload in chunks[-2:-1] if kind == b"STAT")
    in_trace = sum(len(native.records_decode(payload)) for kind, _, payload in chunks if kind == b"RECS")
    return Outcome(put, seconds, written=stat[0], lost=stat[1], dropped=stat[2], in_trace=in_trace)


def test_nothing_is_lost_at_a_million_records_a_second(writer: Path, tmp_path: Path) -> None:
    outcome = record(writer, tmp_path / "trace.ggmlviz", seconds=10)
    assert outcome.put == THREADS * RATE * 10
    assert outcome.seconds < 11
    assert outcome.lost == 0
    assert outcome.dropped == 0
    assert outcome.written == outcome.put
    assert outcome.in_trace == outcome.put


def test_what_a_stopped_recorder_misses_is_counted(writer: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.ggmlviz"
    outcome = record(writer, trace, seconds=3, stop_recorder_s=1)
    assert outcome.seconds < 3.5  # the program does not wait for the recorder
    assert outcome.lost > RATE / 2  # the rings wrapped
    assert outcome.dropped == 0
    assert outcome.written == outcome.put
    assert outcome.in_trace + outcome.lost == outcome.put
    for command in ("info", "report"):
        subprocess.run([sys.executable, "-m", "ggml_viz", command, trace], check=True, stdout=subprocess.DEVNULL)
