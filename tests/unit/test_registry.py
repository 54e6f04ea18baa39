"""The list of watched processes, and steering them, on segments made by hand."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.made_segment import PAGE, SIZE, Segment
from tests.support.tracefile import GRAPH, PROCESS, RUNTIME, Writer

from ggml_viz import native
from ggml_viz.analysis.registry import Activity, WatchedProcess, watched_processes
from ggml_viz.capture.segments import segment_of
from ggml_viz.terminal.text import ago


def log(command: str = "llama-server -m x", version: str = "0.9.4") -> bytes:
    writer = Writer()
    writer.begin_process(pid=os.getpid(), command=command, ggml=version)
    data = bytes(writer.data)
    return data[16 + 16 : data.index(b"CLOK")]


def only(folder: Path) -> WatchedProcess:
    (process,) = watched_processes(folder)
    return process


def test_a_process_is_described(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as recorder:
        Segment(
            log=log(), heads=(100_000, 20), started_s_ago=200, dropped=3, definitions_dropped=4, recorder=recorder.pid
        ).write(tmp_path / "token.1.a")
        process = only(tmp_path)
        recorder.kill()
    assert (process.pid, process.command, process.ggml) == (
        os.getpid(),
        "llama-server -m x",
        [("0.9.4", "/usr/lib/libggml-base.so")],
    )
    assert (process.method, process.detail, process.state) == ("preload", "thread", "recording")
    assert (process.records, process.dropped, process.definitions_dropped) == (100_020, 3, 4)
    assert process.recorder == recorder.pid != process.pid
    assert ago(process.watched_s) == "3 min"
    assert process.now == Activity(None, 0, 0)


@pytest.mark.parametrize(
    ("control", "recorder", "state"),
    [(2, 0, "nobody records"), (6, -1, "paused"), (10, 0, "idle"), (14, -1, "idle"), (2, 4_000_000, "nobody records")],
)
def test_state(control: int, recorder: int, state: str, tmp_path: Path) -> None:
    Segment(control=control, recorder=os.getpid() if recorder < 0 else recorder).write(tmp_path / "token.1.a")
    assert only(tmp_path).state == state


def test_what_it_does_now(tmp_path: Path) -> None:
    def now(**what: object) -> Activity:
        while time.time() % 1 > 0.9 or time.monotonic() % 1 > 0.9:  # the next second would be another
            time.sleep(0.05)
        Segment(**what).write(tmp_path / "token.1.a")  # type: ignore[arg-type]
        return only(tmp_path).now

    assert now(tokens=(0, 40, 0, 0)) == Activity("decode", 1, 40)
    assert now(tokens=(512, 40, 0, 0)) == Activity("prefill", 2, 552)
    # The run in progress tells more than those that ended.
    assert now(tokens=(512, 40, 0, 0), active=((7, 1, 5), (6, 0, 4))) == Activity("decode", 2, 552)
    assert now(active=((1, 3, 5),)) == Activity("other", 0, 0)
    assert now(active=((1, 77, 5),)) == Activity(None, 0, 0)


def test_dead_and_hidden_ones_are_not_listed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    Segment(pid=process.pid).write(tmp_path / "token.1.a")
    Segment().write(tmp_path / ".token.2.a")
    (tmp_path / "empty").touch()
    assert watched_processes(tmp_path) == []
    assert segment_of(tmp_path, os.getpid()) is None


def test_a_process_with_the_number_of_one_that_is_gone_is_another(tmp_path: Path) -> None:
    left = Segment(process_start=1).write(tmp_path / "token.1.a")
    assert watched_processes(tmp_path) == []
    assert segment_of(tmp_path, os.getpid()) is None
    assert native.segments_sweep(tmp_path) == 1
    assert not left.exists()


def test_of_a_process_that_became_another_program_the_newest_counts(tmp_path: Path) -> None:
    Segment(log=log("old"), started_s_ago=9).write(tmp_path / "token.1.a")
    new = Segment(log=log("new"), started_s_ago=1).write(tmp_path / "token.1.b")
    assert only(tmp_path).command == "new"
    assert segment_of(tmp_path, os.getpid()) == new


def test_definitions_are_those_of_the_log_but_graphs(tmp_path: Path) -> None:
    writer = Writer()
    writer.begin_process()
    writer.define(GRAPH, 1, 1, 0, 0)
    writer.define(RUNTIME, 2, "0.1.0", "/usr/lib/libggml-base.so.2")
    path = Segment(log=log() + bytes(writer.definitions)).write(tmp_path / "token.1.a")
    writer.definitions.clear()
    writer.define(RUNTIME, 2, "0.1.0", "/usr/lib/libggml-base.so.2")
    assert native.segment_definitions(path) == log() + bytes(writer.definitions)
    assert native.segment_definitions(path)[4] == PROCESS


@pytest.mark.parametrize("seed", range(20))
def test_hostile_segments_are_survived(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    whole = Segment(log=log(), active=((1, 1, 1),)).data()
    path = tmp_path / "token.1.a"
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            at = rng.choice((rng.randrange(320), rng.randrange(2 * PAGE, 2 * PAGE + 200), rng.randrange(SIZE)))
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        path.write_bytes(data[: rng.choice((SIZE, SIZE, SIZE, rng.randrange(SIZE)))])
        watched_processes(tmp_path)


def test_control_changes_only_what_it_is_asked_to(tmp_path: Path) -> None:
    path = Segment(control=0x102).write(tmp_path / "token.1.a")
    assert native.segment_control(path, 0, native.CONTROL_PAUSED) == (0x102, 0x106)
    assert native.segment_control(path, native.CONTROL_DETAIL_MASK, 1) == (0x106, 0x105)
    assert native.segment_control(path, native.CONTROL_PAUSED, 0) == (0x105, 0x101)
    with pytest.raises(FileNotFoundError):
        native.segment_control(tmp_path / "none", 0, 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (47.5 * 3600, "47 h"), (2e5, "2 d")],
)
def test_ago(seconds: float, text: str) -> None:
    assert ago(seconds) == text
