"""Watching a running process: its records are drained into a file of our own, which is taken in as it grows.

So what a viewer computes, and how far back it can scroll, are the same as over a trace; and beside it others may look,
and somebody may record. The file has no name, and keeps the newest records; older ones live on in totals and in the
timeline's coarser levels.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ggml_viz import native, system
from ggml_viz.capture.segments import open_recorder
from ggml_viz.model.attribution import load_rules
from ggml_viz.model.growing import GrowingProcess, GrowingTrace
from ggml_viz.model.phases import PHASES
from ggml_viz.model.trace import Trace
from ggml_viz.trace.reader import GrowingTrace as GrowingFile
from ggml_viz.views.timeline import Timeline

if TYPE_CHECKING:
    from ggml_viz.analysis.summary import Summary
    from ggml_viz.trace.reader import ProcessTrace

_LOG = logging.getLogger(__name__)

# A record is at most so old when it is taken in. With drawing, what one sees stays below a quarter of a second; and the
# more seldom it is done, the less is taken from the program that is watched.
STEP_S = 0.16
# How often the report of a watched process is made anew at the most.
SUMMARY_S = 1.0
KEEP_BYTES = 512 << 20
# Letting go of a little at a time costs more than of much now and then.
_LET_GO_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class WorkerNow:
    """What a worker does this instant.

    Attributes:
        worker: Its index.
        waits: At a barrier; else it works.
        op: Of the node that it is at.
        node: That node's name.
        since_s: For how long.
    """

    worker: int
    waits: bool
    op: str
    node: str
    since_s: float


@dataclass(frozen=True, slots=True)
class RunNow:
    """A run in progress.

    Attributes:
        run: Its number.
        phase: One of PHASES; None: its graph is not known yet.
        graph: GRAPH number.
        since_s: For how long.
    """

    run: int
    phase: str | None
    graph: int
    since_s: float


@dataclass(frozen=True, slots=True)
class Instant:
    """What a watched process does this instant.

    Attributes:
        at_s: When, since the agent came.
        workers: At work or waiting; who is not here is idle.
        runs: In progress.
    """

    at_s: float
    workers: list[WorkerNow]
    runs: list[RunNow]


class Watch:
    """A process that is watched while it runs.

    Args:
        segment: Its segment.
        naming: Files of naming rules beyond those that come with ggml-viz.
        keep_bytes: How much of its newest records is kept one by one.

    Attributes:
        trace: What is known of it, for the analyses. Ask for it with `lock` held.
        timeline: Its timeline.
        lock: Held while records are taken in.
        ended: Whether it is over, and all of it taken in.

    Raises:
        UserError: There is no room for what it records.
    """

    def __init__(self, segment: Path, naming: Sequence[Path] = (), keep_bytes: int = KEEP_BYTES) -> None:
        self.segment = segment
        self.pid = native.segment_describe(segment).pid
        self._keep_bytes = keep_bytes
        self._naming = naming
        self._folder = tempfile.TemporaryDirectory(prefix="ggml-viz-", ignore_cleanup_errors=True)
        path = Path(self._folder.name) / "live.ggmlviz"
        try:
            self._recorder = open_recorder(segment.parent, segment.name, path, None, native.SINCE_OLDEST)
            self._file = GrowingFile(path)
        except BaseException:
            self._folder.cleanup()
            raise
        if system.can_drop_names():
            self._folder.cleanup()
        self.trace = GrowingTrace(self._file.file, load_rules(naming))
        self.timeline = Timeline(self.trace)
        self.lock = threading.RLock()
        self.ended = False
        self._over = False
        self.error = 0
        self._taken_in = 0
        self._now: native.Now | None = None
        self._let_go_at = time.monotonic() + _LET_GO_EVERY_S
        self._summary: tuple[float, Summary] | None = None
        self.steps = 0
        self._listeners: list[Callable[[], None]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"watch {self.pid}", daemon=True)
        self._step()
        self._thread.start()

    @property
    def process(self) -> GrowingProcess | None:
        """The process, once something is known of it."""
        return self.trace.watched[0] if self.trace.watched else None  # type: ignore[return-value]

    @property
    def duration_s(self) -> float:
        """How long ago the agent came, at the last step."""
        return self.timeline.latest_s

    def state(self) -> native.SegmentState | None:
        """What the segment says of the process now; None: it has ended."""
        try:
            state = native.segment_describe(self.segment)
        except OSError:
            return None
        return state if state.alive else None

    def summary(self) -> Summary:
        """Its report so far, at most SUMMARY_S old."""
        from ggml_viz.analysis.summary import summarize  # long to import: not before it is asked for

        with self.lock:
            if self._summary is None or time.monotonic() - self._summary[0] >= SUMMARY_S:
                made = summarize(self.trace)
                self._summary = time.monotonic(), made
            return self._summary[1]

    def instant(self) -> Instant:
        """What it does this instant."""
        with self.lock:
            process, now = self.process, None if self.ended else self._recorder.now()
            if process is None or now is None:
                return Instant(self.duration_s, [], [])
            seconds = process.clock.seconds
            at_s = float(process.clock.monotonic_ns(np.array([now.ticks], np.uint64))[0] - self._started_ns()) * 1e-9
            graphs = dict(zip(now.runs["run"].tolist(), now.runs["graph"].tolist(), strict=True))

            def since_s(ticks: int) -> float:
                return float(seconds(max(now.ticks - ticks, 0)))

            workers = []
            for row in np.sort(now.workers, order="worker"):
                graph, node = process.graphs.get(graphs.get(int(row["run"]), 0)), int(row["node"])
                known = graph is not None and node < graph.node_count
                workers.append(
                    WorkerNow(
                        worker=int(row["worker"]),
                        waits=bool(row["waiting"]),
                        op=graph.op(node) if graph is not None and known else "?",
                        node=graph.name(node) if graph is not None and known else "",
                        since_s=since_s(int(row["since"])),
                    )
                )
            runs = [
                RunNow(
                    run=int(row["run"]),
                    phase=PHASES[row["phase"]] if row["phase"] < len(PHASES) else None,
                    graph=int(row["graph"]),
                    since_s=since_s(int(row["start"])),
                )
                for row in now.runs
            ]
            return Instant(at_s, workers, runs)

    @property
    def path(self) -> Path:
        """A name under which what is kept can be opened while this lives."""
        return Path(self._file.path)

    def snapshot(self) -> Trace:
        """What is kept at this moment, as a trace that does not change."""
        with self.lock:
            return Trace(self._file.snapshot(), self._naming)

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Has something called, in another thread, whenever records were taken in. Returns how to end that."""
        self._listeners.append(listener)

        def end() -> None:
            with suppress(ValueError):
                self._listeners.remove(listener)

        return end

    def close(self) -> None:
        """Stops watching; the process runs on as it did."""
        self._stop.set()
        self._thread.join()
        self._file.close()
        self._folder.cleanup()

    def _started_ns(self) -> int:
        return self.trace.started_monotonic_ns

    def _follow(self) -> None:
        system.give_way()
        due = time.monotonic()
        while not self._stop.is_set() and not self._over:
            due = max(due + STEP_S, time.monotonic() + STEP_S / 4)
            self._stop.wait(due - time.monotonic())
            try:
                self._step()
            except Exception:  # whoever looks must be told, and a thread has nobody to tell
                _LOG.exception("process %d is no longer followed", self.pid)
                self.error, self._over = -1, True
        with self.lock:
            status = self._recorder.close()
            try:
                self._grow()
                if self.process is not None:
                    self.process.finish()
            finally:
                self.ended = True
                self._summary = None
        _LOG.info("process %d: %d records seen, %d lost", self.pid, status.records, status.lost)
        self._tell()

    def _step(self) -> None:
        with self.lock:
            status = self._recorder.drain(-1, 0)
            self._now = self._recorder.now()
            self.error = status.error
            self._grow()
            self._over = bool(status.processes) and not status.alive
        self._tell()

    def _tell(self) -> None:
        self.steps += 1
        for listener in list(self._listeners):
            listener()

    def _grow(self) -> None:
        """Takes in what was drained."""
        self._file.grow()
        self.trace.bring_up_to_date()
        process = self.process
        if process is None:
            return
        file: ProcessTrace = process.file
        chunks = file.chunks_from(self._taken_in)
        self._taken_in = file.chunk_count
        active = self._now.runs if self._now is not None else np.empty(0, native.NOW_RUN_DTYPE)
        records = process.take_in(chunks, active)
        ticks = self._now.ticks if self._now is not None else process.clock.last.ticks
        since_ns = process.clock.monotonic_ns(np.array([ticks], np.uint64))[0] - self._started_ns()
        self.timeline.add(0, chunks, records, float(since_ns) * 1e-9)
        if time.monotonic() >= self._let_go_at:
            self._let_go_at = time.monotonic() + _LET_GO_EVERY_S
            if count := self._file.let_go(file, self._keep_bytes):
                self._taken_in -= count
                kept_from = file.chunks_from(0)[0].offset if file.chunk_count else 1 << 62
                process.forget_before(kept_from)
                self.timeline.let_go(0, kept_from)
            # What passes through in half an hour would else leave as much behind, in pieces, as is kept.
            system.trim_memory()
