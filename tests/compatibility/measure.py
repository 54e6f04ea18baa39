"""Runs one program by itself, counted and recorded, and compares."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.compatibility.programs import Entry
from tests.support import runtimes, shim

from ggml_viz import native
from ggml_viz.model.trace import Trace

GGML_VIZ = (sys.executable, "-m", "ggml_viz")
TIMEOUT_S = 300
_SETTLE_S = 0.5  # for the agent to look through what is loaded

# Idle threads of OpenMP wait in a loop by default, which on a busy machine takes longer than the work.
_PASSIVE = {"OMP_WAIT_POLICY": "passive"}
# Some versions of ggml pass by nodes that compute nothing, others give them to the threads; the shim counts none.
_NOTHING = ("NONE", "VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE")


class Unavailable(Exception):
    """A program is not to be had for this machine or this Python."""


@dataclass(frozen=True)
class Counts:
    """What was computed.

    Attributes:
        runs: Of graphs.
        nodes: Executed, by op, of those that compute something; None: unknown.
    """

    runs: int
    nodes: Counter[str] | None


@dataclass(frozen=True)
class Seen:
    """What a recording holds.

    Attributes:
        ggml: Its version; empty: it has none.
        method: How the agent came in, and to the calls.
        counts: What it saw.
        threads: The most threads that worked on a graph; 0: unknown.
        threads_seen: On how many of them it saw nodes.
        not_seen: What it says that it could not see.
        lost: Records.
    """

    ggml: str
    method: str
    counts: Counts
    threads: int
    threads_seen: int
    not_seen: tuple[str, ...]
    lost: int

    @property
    def level(self) -> str:
        """How much it is, in words."""
        if not self.counts.runs:
            return "nothing"
        if not self.counts.nodes:
            return "whole graphs"
        if self.threads and self.threads_seen >= self.threads:
            return "every op on all threads"
        return "every op on thread 0" if self.threads_seen == 1 else f"every op on {self.threads_seen} threads"


@dataclass(frozen=True)
class Outcome:
    """What came of trying a program.

    Attributes:
        entry: The program.
        seen: What was recorded; None: nothing.
        truth: The independent count; None: there is none.
        why: What `ggml-viz run` said where nothing was recorded.
        problems: What must not be; empty: all is well.
        skipped: Why it was not tried; empty: it was.
    """

    entry: Entry
    seen: Seen | None = None
    truth: Counts | None = None
    why: str = ""
    problems: tuple[str, ...] = field(default=())
    skipped: str = ""


def prepare(entry: Entry) -> runtimes.Program:
    """Fetches or builds a program.

    Raises:
        Unavailable: It is not to be had here.
    """
    if entry.x86_64 and platform.machine() != "x86_64":
        raise Unavailable(f"not to be had for {platform.machine()}")
    try:
        program = entry.make()
        return dataclasses.replace(program, env={**_PASSIVE, **program.env})
    except RuntimeError as error:
        if re.search(r"No matching distribution|EBADPLATFORM", str(error)):
            python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
            raise Unavailable(f"not to be had for this machine and {python}") from error
        raise


def count(entry: Entry, program: runtimes.Program, folder: Path) -> Counts | None:
    """What the counting shim says; None: it was never called."""
    _said, copies = shim.count(program, folder / "truth.json", entry.layout)
    copies = [copy for copy in copies if copy.runs]
    if not copies:
        return None
    nodes: Counter[str] | None = Counter()
    for copy in copies:
        if copy.nodes.keys() != copy.graphs.keys():
            nodes = None
        # Of other backends a trace has the calls alone.
        elif nodes is not None:
            nodes += copy.nodes.get("CPU", Counter())
    return Counts(sum(copy.runs for copy in copies), nodes)


def compare(entry: Entry, program: runtimes.Program, folder: Path, reference: Counts | None) -> Outcome:
    """Runs a program three times.

    Args:
        entry: Which it is.
        program: It, ready to run.
        folder: For what the runs leave behind.
        reference: What was counted in the entry that it refers to.
    """
    problems: list[str] = []
    bare = program.run(timeout_s=TIMEOUT_S).said.text
    truth = reference if entry.reference else count(entry, program, folder)
    trace = folder / "trace.ggmlviz"
    trace.unlink(missing_ok=True)
    try:
        record = attached if entry.attach else started
        recorded = record(program, trace)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        return Outcome(entry, None, truth, problems=(f"recorded, it did not end well: {str(error)[-2000:]}",))
    if not bare or recorded.said.text != bare:
        problems.append("its output is another when it is recorded")
    if not trace.exists():
        why = re.search(r"^ggml-viz: (?:nothing was recorded: )?(.*)", recorded.stderr, re.MULTILINE)
        if not why:
            problems.append("nothing was recorded, and not said why")
        # Where the program lies on this machine is of no interest.
        reason = re.sub(r"/[^\s:,]*/", "", why[1]) if why else ""
        return Outcome(entry, None, truth, reason, tuple(problems))
    seen = read(trace)
    problems += disagreements(seen, truth)
    return Outcome(entry, seen, truth, "", tuple(problems))


def started(program: runtimes.Program, trace: Path) -> runtimes.Ran:
    """Records a program from its start."""
    return program.run(*GGML_VIZ, "run", "-o", trace, "--", timeout_s=TIMEOUT_S)


def attached(program: runtimes.Program, trace: Path) -> runtimes.Ran:
    """Records a program from the moment that its model is loaded; what `ggml-viz attach` says is added to stderr."""
    ready = trace.with_name("ready")
    with ThreadPoolExecutor(1) as one:
        running = one.submit(program.run, env={"COMPATIBILITY_READY": str(ready)}, timeout_s=TIMEOUT_S)
        attach = None
        try:
            _wait_until(lambda: ready.exists() or running.done())
            (pid,) = _children_with(f"COMPATIBILITY_READY={ready}")
            command = [*GGML_VIZ, "attach", str(pid), "-o", str(trace)]
            attach = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            _wait_until(lambda: any(native.segments_folder().glob(f"at{pid}.*")) or attach.poll() is not None)
            time.sleep(_SETTLE_S)
        finally:
            if ready.exists():
                ready.rmdir()
        ran = running.result()
        _out, said = attach.communicate(timeout=60)
    return dataclasses.replace(ran, stderr=ran.stderr + said)


def _children_with(setting: str) -> list[int]:
    """Processes that have this in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if setting.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come to the point at which it can be attached to")
        time.sleep(0.02)


def read(trace: Path) -> Seen:
    """What is in a trace, as `ggml-viz report --json` says it."""
    done = subprocess.run([*GGML_VIZ, "report", "--json", trace], capture_output=True, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    nodes: Counter[str] = Counter()
    for op in report["ops"]:
        for name in op["op"].split("+"):  # a span of a fused pair is a node of each of its ops
            nodes[name] += op["count"]
    for name in _NOTHING:
        del nodes[name]
    processes = report["trace"]["processes"]
    return Seen(
        ggml=", ".join(sorted({process["ggml_version"] for process in processes} - {""})),
        method=", ".join([*sorted({process["method"] for process in processes}), *_ways_to_calls(trace)]),
        counts=Counts(report["graphs"]["runs"], nodes or None),
        threads=max((process["threads"] for process in processes), default=0),
        threads_seen=len(report["threads"]),
        not_seen=tuple(text for process in processes for text in process["not_seen"]),
        lost=report["trace"]["lost"],
    )


def _ways_to_calls(trace: Path) -> Iterator[str]:
    """How calls were reached that do not pass the dynamic linker, as the agent noted it."""
    notes = [note.text for process in Trace.open(trace).watched for note in process.file.definitions.notes]
    if any(re.search(r"\b[1-9]\d* direct calls", text) for text in notes):
        yield "call sites"
    if any("by the callback" in text for text in notes):
        yield "callback"


def disagreements(seen: Seen, truth: Counts | None) -> list[str]:
    """Where a recording says something else than the count, of what it claims to have seen."""
    found = []
    if seen.lost:
        found.append(f"{seen.lost} records were lost")
    if truth and seen.counts.runs != truth.runs:
        found.append(f"{seen.counts.runs} runs of graphs were seen, {truth.runs} were counted")
    if truth and truth.nodes and seen.counts.nodes and seen.counts.nodes != truth.nodes:
        more, less = seen.counts.nodes - truth.nodes, truth.nodes - seen.counts.nodes
        found.append(f"nodes seen but not counted: {dict(more)}; counted but not seen: {dict(less)}")
    return found
