"""Attaching to a program that runs: the program is unaffected, and what is recorded is whole."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.integration.conftest import GGML_VIZ, report
from tests.integration.test_safe import computed, output, segments_of, started
from tests.support import runtimes, tracefile
from tests.support.tiny import Tiny

from ggml_viz import native

TIMEOUT_S = 60


def attach(pid: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in (GGML_VIZ, "attach", pid, *arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)


def runs_and_nodes(trace: Path) -> tuple[set[int], Counter[int]]:
    """The runs that ended, and how many node records each run has."""
    ended: set[int] = set()
    nodes: Counter[int] = Counter()
    for kind, _process, payload in tracefile.read_chunks(trace.read_bytes()):
        if kind == b"RECS":
            records = native.records_decode(payload)
            ended.update(records["run"][records["kind"] == native.KIND_RUN].tolist())
            nodes.update(records["run"][records["kind"] == native.KIND_NODE].tolist())
    return ended, nodes


def assert_whole(trace: Path, threads: int = 2) -> int:
    """Every run that ended is there with all its nodes on all threads; returns how many."""
    ended, nodes = runs_and_nodes(trace)
    assert ended
    whole = {run for run in ended if nodes[run] == Tiny.NODES * threads}
    # The first may have begun, and the last been going on, while the agent came or went.
    assert ended - whole <= {min(ended), max(ended)}, sorted((run, nodes[run]) for run in ended - whole)
    return len(ended)


def test_running_program_is_recorded_for_a_while(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    with started(tiny("load", "input")) as (process, pid):
        done = attach(pid, "--duration", "0.5", "-o", trace)
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith(f"recording process {pid}, Ctrl-C ends that\n")
        assert "captured by attach, all threads" in done.stderr
        assert f"process {pid} runs on, unwatched" in done.stderr
        assert_whole(trace)
        stdout, _ = process.communicate("\n", TIMEOUT_S)
        assert process.returncode == 0
        assert computed(stdout)
    seen = report(trace)
    assert seen["trace"]["lost"] == 0
    assert seen["trace"]["processes"][0]["method"] == "attach"
    assert seen["trace"]["processes"][0]["end"] == "detached"
    assert any("before the agent came" in note for note in seen["trace"]["processes"][0]["not_seen"])
    # The tensors' buffer was allocated long before.
    assert seen["memory"]["peak_bytes"] > 0


def test_attaching_again_records_again(tiny: Tiny, tmp_path: Path) -> None:
    with started(tiny("load", "input")) as (process, pid):
        for number in range(3):
            trace = tmp_path / f"{number}.ggmlviz"
            done = attach(pid, "--duration", "0.3", "--quiet", "-o", trace)
            assert done.returncode == 0, done.stderr
            assert_whole(trace)
            assert report(trace)["trace"]["lost"] == 0
        assert len(segments_of(pid)) == 1
        process.communicate("\n", TIMEOUT_S)
        assert process.returncode == 0
    assert segments_of(pid) == []


def test_settings_may_differ_each_time(tiny: Tiny, tmp_path: Path) -> None:
    with started(tiny("load", "input")) as (_, pid):
        details = ("graph", "thread", "op")
        for detail in details:
            trace = tmp_path / f"{detail}.ggmlviz"
            assert attach(pid, "--duration", "0.3", "--detail", detail, "--quiet", "-o", trace).returncode == 0
        counts = [runs_and_nodes(tmp_path / f"{detail}.ggmlviz") for detail in details]
    for (ended, nodes), per_run in zip(counts, (0, Tiny.NODES * 2, Tiny.NODES), strict=True):
        whole = sorted(ended)[1:-1]
        assert {nodes[run] for run in whole} == {per_run}


def test_a_later_recording_begins_when_it_begins(tiny: Tiny, tmp_path: Path) -> None:
    with started(tiny("load", "input")) as (_, pid):
        for number in range(2):
            assert attach(pid, "--duration", "0.3", "--quiet", "-o", tmp_path / f"{number}").returncode == 0
            time.sleep(1)
    first, second = (report(tmp_path / str(number))["trace"] for number in range(2))
    assert second["duration_s"] < 1
    assert second["started"] > first["started"]
    # Runs that were in progress are not there at all: what is there is whole.
    ended, nodes = runs_and_nodes(tmp_path / "1")
    assert min(nodes) == min(ended)
    assert nodes[min(ended)] == Tiny.NODES * 2


def test_recorded_already(tiny: Tiny, tmp_path: Path) -> None:
    with started([str(GGML_VIZ), "run", "-q", "-o", str(tmp_path / "run"), "--", *tiny("load", "input")]) as (run, pid):
        said = refused(pid, "-o", tmp_path / "t")
        assert f"process {pid} is being recorded already, by process {run.pid}" in said
        run.communicate("\n", TIMEOUT_S)
    assert not (tmp_path / "t").exists()
    assert_whole(tmp_path / "run")


def test_recorded_by_itself_already(tiny: Tiny, tmp_path: Path) -> None:
    own = {"LD_PRELOAD": str(native.agent_path()), "GGML_VIZ_OUTPUT": str(tmp_path / "own")}
    with started(tiny("load", "input"), own) as (_, pid):
        assert f"process {pid} is being recorded already, by itself" in refused(pid, "-o", tmp_path / "t")


def test_a_recorder_that_died_is_replaced(tiny: Tiny, tmp_path: Path) -> None:
    with started(tiny("load", "input")) as (_, pid):
        command = [str(GGML_VIZ), "attach", str(pid), "-q", "-o", str(tmp_path / "killed")]
        with subprocess.Popen(command) as watching:
            wait_for_records(pid)
            watching.kill()
        time.sleep(0.5)
        done = attach(pid, "--duration", "0.3", "-q", "-o", tmp_path / "t")
        assert done.returncode == 0, done.stderr
        assert_whole(tmp_path / "t")
        assert report(tmp_path / "t")["trace"]["lost"] == 0


def test_until_the_process_ends(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    with started(tiny("load", "input")) as (process, pid):
        command = [str(GGML_VIZ), "attach", str(pid), "-o", str(trace)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watching:
            wait_for_records(pid)
            stdout, _ = process.communicate("\n", TIMEOUT_S)
            _, stderr = watching.communicate(timeout=TIMEOUT_S)
    assert watching.returncode == 0, stderr
    assert f"process {pid} has ended" in stderr
    assert report(trace)["trace"]["processes"][0]["end"] == "ended"
    # What was computed before is not there, all that came later is.
    assert 0 < assert_whole(trace) < computed(stdout)[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_recording_and_not_the_program(tiny: Tiny, tmp_path: Path, number: int) -> None:
    trace = tmp_path / "t.ggmlviz"
    with started(tiny("load", "input")) as (process, pid):
        command = [str(GGML_VIZ), "attach", str(pid), "-o", str(trace)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watching:
            wait_for_records(pid)
            watching.send_signal(number)
            _, stderr = watching.communicate(timeout=TIMEOUT_S)
        assert (watching.returncode, process.poll()) == (0, None), stderr
        assert_whole(trace)


def wait_for_records(pid: int) -> None:
    """Waits until the agent in a process has made its segment, and a little longer."""
    deadline = time.monotonic() + TIMEOUT_S
    while not segments_of(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.3)


def test_waiting_calls_of_a_program_are_not_disturbed(tmp_path: Path) -> None:
    """The agent may come in by any thread, whatever it waits for."""
    from pyinjector import inject

    program = tmp_path / "sleepers"
    source = runtimes.PROGRAMS / "sleepers.c"
    runtimes.call("cc", "-std=gnu11", "-O2", "-D_GNU_SOURCE", source, "-o", program, "-lpthread")
    pipe = subprocess.PIPE
    with subprocess.Popen([str(program)], stdin=pipe, stdout=pipe, text=True) as process:
        threads = {}
        while (line := output(process).readline()) != "ready\n":
            name, thread = line.split()
            threads[name] = int(thread)
        for thread in threads.values():
            inject(thread, str(native.agent_path()))
        stdout, _ = process.communicate("\n", TIMEOUT_S)
    assert process.returncode == 0
    assert sorted(stdout.splitlines()) == sorted(f"{name} ok" for name in threads)


def test_program_with_ggml_inside_is_attached_to(tmp_path: Path) -> None:
    program = runtimes.llama_cpp_static("llama-bench", openmp=True)
    command = [program, "-m", runtimes.smollm2(), "-t", "2", "-p", "0", "-n", "300", "-r", "1", "-o", "json"]
    trace = tmp_path / "t.ggmlviz"
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(1)
        done = attach(process.pid, "--duration", "1", "--quiet", "-o", trace)
        stdout, _ = process.communicate(timeout=300)
    assert done.returncode == 0, done.stderr
    assert process.returncode == 0
    assert json.loads(stdout)[0]["n_gen"] == 300
    ended, nodes = runs_and_nodes(trace)
    whole = Counter(nodes[run] for run in sorted(ended)[1:-1])
    assert len(whole) == 1, whole
    assert not any("could not be changed" in note for note in report(trace)["trace"]["processes"][0]["not_seen"])


# --- what cannot be attached to ---


def refused(pid: int, *arguments: str | Path) -> str:
    done = attach(pid, *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_no_such_process() -> None:
    assert "there is no process 4000000" in refused(4000000)


def test_process_without_ggml(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            said = refused(process.pid, "--duration", "0.2", "-o", tmp_path / "t.ggmlviz")
        finally:
            process.kill()
    assert "has no ggml in it" in said
    assert "sleep 60" in said
    assert not list(tmp_path.iterdir())


def test_statically_linked_program(tmp_path: Path) -> None:
    source = tmp_path / "wait.c"
    source.write_text("#include <unistd.h>\nint main(void) { sleep(60); return 0; }\n")
    runtimes.call("cc", "-static", source, "-o", tmp_path / "wait")
    with subprocess.Popen([tmp_path / "wait"]) as process:
        try:
            assert "fully statically" in refused(process.pid)
        finally:
            process.kill()


def test_program_under_a_debugger(tiny: Tiny) -> None:
    """Only one process may trace a thread, and a debugger traces them all: here there is but one."""
    with started(tiny("load", "input", threads=1)) as (_, pid):
        trace = (
            "import ctypes, sys, time\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            f"assert libc.ptrace(0x4206, {pid}, 0, 0) == 0, ctypes.get_errno()\n"  # PTRACE_SEIZE
            "print('tracing', flush=True)\n"
            "time.sleep(60)\n"
        )
        with subprocess.Popen([sys.executable, "-c", trace], stdout=subprocess.PIPE, text=True) as tracer:
            try:
                assert output(tracer).readline() == "tracing\n"
                said = refused(pid, "--duration", "0.2")
            finally:
                tracer.kill()
    assert f"process {pid} may not be attached to" in said
    assert f"Process {tracer.pid} is tracing it" in said


def test_someone_elses_process_needs_their_rights() -> None:
    assert os.geteuid() == 0 or shutil.which("sudo"), "this test needs another user"
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command = [*as_nobody, "sleep", "60"] if os.geteuid() == 0 else ["sudo", *as_nobody, "sleep", "60"]
    with subprocess.Popen(command) as process:
        try:
            time.sleep(0.3)
            assert "belongs to another user" in refused(process.pid)
        finally:
            process.kill()


def test_a_trace_that_is_none_is_spared(tiny: Tiny, tmp_path: Path) -> None:
    precious = tmp_path / "model.gguf"
    precious.write_bytes(b"GGUF and so on")
    with started(tiny("load", "input")) as (_, pid):
        done = attach(pid, "-o", precious)
    assert done.returncode == 125
    assert precious.read_bytes() == b"GGUF and so on"
