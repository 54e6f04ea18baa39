"""Processes that are watched while they run, as sources: followed as soon as somebody asks for one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ggml_viz import native
from ggml_viz.analysis.contents import command_line, wall_time
from ggml_viz.analysis.registry import activity_of
from ggml_viz.capture import control
from ggml_viz.capture.files import default_path
from ggml_viz.capture.segments import live_segments, open_recorder
from ggml_viz.errors import UserError
from ggml_viz.export.selection import Selection
from ggml_viz.live.watch import KEEP_BYTES, Watch
from ggml_viz.model.part import PartOfTrace
from ggml_viz.model.phases import PHASES
from ggml_viz.model.tables import FIELDS
from ggml_viz.model.trace import Trace
from ggml_viz.sources.answering import (
    describe_tables,
    export_selection,
    found,
    longest_of,
    occurrence_of,
    picture_of,
    series_of,
    some_rows,
    span_of,
    tile_of,
)
from ggml_viz.sources.sandbox import Sandbox
from ggml_viz.sources.source import NotThereError, Source
from ggml_viz.sources.traces import unique_id
from ggml_viz.trace.definitions import DETAIL_NAMES
from ggml_viz.views import graph as graph_view
from ggml_viz.views import memory as memory_view
from ggml_viz.views import nodes
from ggml_viz.views import tensor as tensor_view

if TYPE_CHECKING:
    from ggml_viz.analysis.profile import Profile
    from ggml_viz.analysis.summary import Summary

_LOG = logging.getLogger("ggml_viz.sources")

_LOOK_AGAIN_S = 0.5
# What takes all records that are kept is made of a copy of the state, which is used for a while.
_SNAPSHOT_S = 10.0
_RECORD_TURN_MS = 100
# A process that nobody asks about is still followed: what it did is wanted later. So many at once.
_MOST_FOLLOWED = 16


class LiveProcesses:
    """The watched processes of this user, or some of them.

    Args:
        pids: Only these; None: all that there are, as they come and go.
        folder: Where recordings are put.
        naming: A file of naming rules beyond those that come with ggml-viz.
        keep_bytes: How much of each one's newest records is kept.
        token: Only those whose segments' names start so.
    """

    def __init__(
        self,
        pids: Sequence[int] | None,
        folder: Path,
        naming: Path | None = None,
        keep_bytes: int = KEEP_BYTES,
        token: str = "",
    ) -> None:
        self._pids = set(pids) if pids is not None else None
        self._folder = folder
        self._naming = naming
        self._keep_bytes = keep_bytes
        self._token = token
        self._also_pids: set[int] = set()
        self._also_tokens: set[str] = set()
        self._takes_all = pids is None and not token
        self._lock = threading.Lock()
        self._sources: dict[Path, LiveSource] = {}
        self._removed: set[Path] = set()
        self._looked_at = float("-inf")
        self._closed = threading.Event()
        # Not only when somebody asks: by then a process's rings may have lost how it began.
        self._looker = threading.Thread(target=self._keep_looking, name="look for processes", daemon=True)
        self._looker.start()

    @property
    def takes_all(self) -> bool:
        """Whether all that there are are shown."""
        return self._takes_all

    def also(self, pid: int | None = None, token: str = "", everything: bool = False) -> None:
        """Shows more of them from now on, also one that was removed.

        Args:
            pid: That process.
            token: Those whose segments' names start so.
            everything: All that there are.
        """
        with self._lock:
            if pid is not None:
                self._also_pids.add(pid)
                self._removed = {path for path in self._removed if f".{pid}." not in path.name}
            if token:
                self._also_tokens.add(token)
            self._takes_all |= everything
            self._looked_at = float("-inf")

    def _keep_looking(self) -> None:
        while not self._closed.wait(_LOOK_AGAIN_S):
            self.sources()

    def sources(self) -> Sequence[Source]:
        """Those that there are now, and those that there were: the newest first."""
        with self._lock:
            if time.monotonic() - self._looked_at > _LOOK_AGAIN_S:
                self._look()
                self._looked_at = time.monotonic()
            return list(self._sources.values())[::-1]

    def remove(self, source: Source) -> None:
        """Stops watching a process, for good; it runs on."""
        with self._lock:
            for path, known in list(self._sources.items()):
                if known is source:
                    del self._sources[path]
                    self._removed.add(path)
                    known.close()

    def close(self) -> None:
        """Stops watching; the processes run on."""
        self._closed.set()
        self._looker.join()
        with self._lock:
            for source in self._sources.values():
                source.close()

    def _is_wanted(self, pid: int, path: Path) -> bool:
        token = path.name.partition(".")[0]
        if self._takes_all or pid in self._also_pids or token in self._also_tokens:
            return True
        return (self._pids is None or pid in self._pids) and token == (self._token or token)

    def _look(self) -> None:
        try:
            segments = live_segments(native.segments_folder())
        except OSError:
            return
        for pid, path in segments.items():
            if path in self._sources or path in self._removed or not self._is_wanted(pid, path):
                continue
            ended = [known for known, source in self._sources.items() if source.watch.ended]
            if len(self._sources) >= _MOST_FOLLOWED:
                if not ended:
                    continue
                self._sources.pop(ended[0]).close()
            try:
                watch = Watch(path, (self._naming,) if self._naming else (), self._keep_bytes)
            except (OSError, UserError) as error:
                _LOG.debug("process %d is not followed: %s", pid, error)
                continue  # it has just ended
            taken = {source.id for source in self._sources.values()}
            self._sources[path] = LiveSource(unique_id(f"pid-{pid}", taken), watch, self._folder, self._naming)


class LiveSource(Source):
    """A watched process.

    Args:
        identifier: Its id.
        watch: Who follows it.
        folder: Where recordings are put.
        naming: A file of naming rules.

    Attributes:
        watch: The same.
    """

    is_live = True

    def __init__(self, identifier: str, watch: Watch, folder: Path, naming: Path | None) -> None:
        self.id = identifier
        self.watch = watch
        self.name = f"pid {watch.pid}"
        self._folder = folder
        self._naming = naming
        self._lock = threading.Lock()
        self._snapshot: tuple[float, Trace] | None = None
        self._recording: _Recording | None = None

    @property
    def steps(self) -> int:
        """How often records were taken in."""
        return self.watch.steps

    @property
    def duration_s(self) -> float:
        """How long ago the agent came."""
        return self.watch.duration_s

    def describe(self) -> dict[str, Any]:
        """Source, as it stands now."""
        watch, state = self.watch, self.watch.state()
        process = watch.process
        activity = activity_of(state) if state is not None else None
        definitions = process.file.definitions if process is not None else None
        counters = process.file.counters if process is not None else None
        recording = self._recording
        return {
            "id": self.id,
            "kind": "live",
            "name": self.name,
            "command": command_line(process.file) if process is not None else "",
            "pid": watch.pid,
            "ggml_version": ", ".join(
                sorted({runtime.version for runtime in definitions.runtimes.values()} - {""}) if definitions else ()
            ),
            "backends": list(dict.fromkeys(definitions.backends.values())) if definitions else [],
            "threads": process.most_threads if process is not None else 0,
            "state": _state(watch, state),
            "progress": 1.0,
            "started": wall_time(definitions.info.start_wall_ns) if definitions else "",
            "duration_s": watch.duration_s,
            "phase": activity.phase if activity else None,
            "tokens_per_second": float(activity.tokens_per_second) if activity else None,
            "records": process.file.recorded or process.file.record_count if process is not None else 0,
            "lost": counters.lost + counters.dropped if counters else 0,
            "detail": DETAIL_NAMES[min(state.control & native.CONTROL_DETAIL_MASK, 2)] if state else None,
            "recording": {"path": str(recording.path), "bytes": recording.bytes} if recording else None,
            "error": _error(watch),
        }

    def tokens_now(self) -> dict[str, int]:
        """Tokens that went through the model in the last whole second, by phase; of one that has ended none."""
        state = self.watch.state()
        return dict(zip(PHASES, state.tokens, strict=True)) if state is not None else {}

    def report(self, from_s: float | None = None, until_s: float | None = None) -> dict[str, Any]:
        """Of all since watching began, or of the runs of an interval, as far as they are kept."""
        from ggml_viz.analysis.summary import summarize  # long to import: not before it is asked for

        if from_s is None and until_s is None:
            return self.summary().to_json()
        begin, end = from_s or 0.0, float("inf") if until_s is None else until_s
        return summarize(PartOfTrace(self._taken(), begin, end)).to_json()

    def summary(self) -> Summary:
        """The report, as a data class."""
        return self.watch.summary()

    def series(self, columns: int, from_s: float | None, until_s: float | None) -> dict[str, Any]:
        """Tokens per second over time."""
        with self.watch.lock:
            end_s = self.watch.duration_s if until_s is None else until_s
            return series_of(self.watch.trace, self.watch.timeline, columns, from_s or 0.0, end_s)

    def now(self) -> dict[str, Any]:
        """What each thread does this instant."""
        instant = self.watch.instant()
        newest = instant.runs[-1].phase if instant.runs else None
        return {
            "at_s": instant.at_s,
            "phase": newest,
            "threads": [
                {
                    "worker": worker.worker,
                    "state": "wait" if worker.waits else "work",
                    "op": worker.op,
                    "node": worker.node,
                    "since_s": worker.since_s,
                }
                for worker in instant.workers
            ],
            "runs": [
                {"run": run.run, "phase": run.phase, "graph": run.graph, "since_s": run.since_s} for run in instant.runs
            ],
            "tokens_per_second": float(sum(self.tokens_now().values())),
            "duration_s": self.duration_s,
        }

    def timeline(self) -> dict[str, Any]:
        """Its lanes and labels."""
        with self.watch.lock:
            return self.watch.timeline.describe()

    def tile(
        self, from_s: float, until_s: float, columns: int, lanes: Sequence[int] | None, spans: bool, request: int
    ) -> bytes:
        """What lanes show of an interval."""
        with self.watch.lock:
            return tile_of(self.watch.timeline, from_s, until_s, columns, lanes, spans, request)

    def span(self, lane: int, run: int, node: int, begin_s: float) -> dict[str, Any]:
        """All that is known of one bar."""
        with self.watch.lock:
            return span_of(self.watch.trace, lane, run, node, begin_s)

    def search(self, text: str, limit: int) -> dict[str, Any]:
        """Nodes whose name, op or role has a text in it."""
        with self.watch.lock:
            return dict(nodes.search(self.watch.trace, text, limit))

    def occurrence(
        self, process: int, graph: int, node: int, after_s: float | None, before_s: float | None
    ) -> dict[str, Any]:
        """The next or the last execution of a node."""
        with self.watch.lock:
            return occurrence_of(self.watch.trace, process, graph, node, after_s, before_s)

    def longest(self, process: int, graph: int, node: int, rank: int) -> dict[str, Any]:
        """One of the longest of a node's newest executions."""
        with self.watch.lock:
            return longest_of(nodes.executions(self.watch.trace, process, graph, node), rank)

    def graphs(self) -> dict[str, Any]:
        """Those that were computed."""
        with self.watch.lock:
            return dict(graph_view.graph_list(self.watch.trace))

    def layers(self, process: int, graph: int) -> dict[str, Any]:
        """Those of one graph."""
        with self.watch.lock:
            return found(lambda: graph_view.layers_of(self.watch.trace, process, graph))

    def layer(self, process: int, graph: int, layer: int | None) -> dict[str, Any]:
        """Its nodes, set out."""
        with self.watch.lock:
            return found(lambda: graph_view.layer_layout(self.watch.trace, process, graph, layer))

    def tensor(self, process: int, graph: int, node: int) -> dict[str, Any]:
        """All that is known of a tensor of a graph."""
        with self.watch.lock:
            return found(lambda: tensor_view.tensor_details(self.watch.trace, process, graph, node))

    def memory(self) -> dict[str, Any]:
        """Buffers over time."""
        with self.watch.lock:
            return dict(memory_view.memory_over_time(self.watch.trace))

    def arena(self, process: int, graph: int, placement: int, buffer: int) -> dict[str, Any]:
        """How tensors share one buffer."""
        with self.watch.lock:
            return found(lambda: memory_view.arena_map(self.watch.trace, process, graph, placement, buffer))

    def tables(self) -> dict[str, Any]:
        """Its tables and their columns."""
        return describe_tables(self._taken())

    def rows(self, name: str, offset: int, limit: int) -> dict[str, Any]:
        """Some rows of one of its tables."""
        if name not in FIELDS:
            raise NotThereError(f"there is no table {name[:40]}", f"There are: {', '.join(FIELDS)}.")
        return some_rows(self._taken(), name, offset, limit)

    def sql(self, query: str) -> dict[str, Any]:
        """What a query returns of what is kept at this moment, asked in a process of its own."""
        sandbox = Sandbox(self.watch.path, self._naming)
        try:
            return sandbox.ask(query)
        finally:
            sandbox.close()

    def control(self, action: str, level: str | None) -> dict[str, Any]:
        """Tells the agent, or records into a file."""
        if self.watch.state() is None:
            raise UserError(f"process {self.watch.pid} has ended")
        with self._lock:
            if action == "record":
                self._record()
            elif action == "stop-recording":
                self._stop_recording()
            else:
                try:
                    self._tell(action, level)
                except OSError:
                    raise UserError(f"process {self.watch.pid} has ended") from None
        return self.describe()

    def export(self, format: str, out: BinaryIO, from_s: float | None, until_s: float | None, table_name: str) -> None:
        """Writes what is kept at this moment."""
        if format == "ggmlviz":
            raise UserError("a live process is recorded, not exported", "Use record, or: ggml-viz attach PID.")
        selection = Selection(self._taken(), from_s or 0.0, float("inf") if until_s is None else until_s)
        export_selection(selection, format, table_name, out)

    def picture(
        self,
        form: str,
        picture: str,
        out: BinaryIO,
        from_s: float | None,
        until_s: float | None,
        graph: tuple[int, int] | None,
        layer: int | None,
    ) -> None:
        """Draws what is kept at this moment."""
        picture_of(self._taken(), form, picture, out, from_s, until_s, graph, layer)

    def profile(self) -> Profile:
        """What a comparison compares: what is kept at this moment."""
        from ggml_viz.analysis.profile import profile

        return profile(str(self.watch.path), executions=True, naming=self._naming)

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Has something called whenever records were taken in."""
        end: Callable[[], None] = self.watch.listen(listener)
        return end

    def close(self) -> None:
        """Stops watching and recording; the process runs on."""
        with self._lock:
            if self._recording is not None:
                self._recording.stop()
        self.watch.close()

    def _tell(self, action: str, level: str | None) -> None:
        """Tells the agent; OSError: there is none any more."""
        segment = self.watch.segment
        if level is not None:
            control.set_detail(segment, level)
        elif action == "resume":
            # Who looks reads the records too, so that it does not take a recorder.
            native.segment_control(segment, native.CONTROL_PAUSED | native.CONTROL_STOPPED, 0)
        else:
            {"pause": control.pause, "stop": control.stop}[action](segment)

    def _taken(self) -> Trace:
        """What is kept, as a trace that does not change; some seconds old at most."""
        with self._lock:
            if self._snapshot is None or time.monotonic() - self._snapshot[0] > _SNAPSHOT_S:
                self._snapshot = time.monotonic(), self.watch.snapshot()
            return self._snapshot[1]

    def _record(self) -> None:
        if self._recording is not None:
            raise UserError(f"it is being recorded into {self._recording.path} already")
        process = self.watch.process
        name = Path(process.file.definitions.info.executable).name if process is not None else "process"
        self._recording = _Recording(self.watch.segment, self._folder, name or "process")

    def _stop_recording(self) -> None:
        if self._recording is None:
            raise UserError("it is not being recorded from here")
        self._recording.stop()
        self._recording = None


class _Recording:
    """A recording of a watched process into a file, from now until it is stopped or the process ends."""

    def __init__(self, segment: Path, folder: Path, name: str) -> None:
        self.path = default_path(name, folder=folder)
        self._segment = segment
        before = native.segment_describe(segment)
        if before.recorder:
            raise UserError(
                f"process {before.pid} is being recorded already, by process {before.recorder}", "See: ggml-viz ps"
            )
        try:
            self._recorder = open_recorder(segment.parent, segment.name, self.path, None, native.SINCE_NOW)
        except UserError as error:
            raise UserError(error.message, error.hint) from None
        self.bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drain, name=f"record {before.pid}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the file. The agent goes on for who looks."""
        self._stop.set()
        self._thread.join()

    def _drain(self) -> None:
        while not self._stop.is_set():
            status = self._recorder.drain(-1, _RECORD_TURN_MS)
            self.bytes = status.bytes
            if status.processes and not status.alive:
                break
        self.bytes = self._recorder.close().bytes
        try:
            # A recorder that ends tells the agent to idle.
            native.segment_control(self._segment, native.CONTROL_STOPPED, 0)
        except OSError:
            return  # the process has ended


def check_watched(pids: Sequence[int]) -> None:
    """Refuses processes that are not watched.

    Raises:
        UserError: One is not, or nothing can be on this system.
    """
    try:
        watched = live_segments(native.segments_folder())
    except OSError as error:
        raise UserError(f"no folder for shared memory: {error.strerror}") from None
    for pid in pids:
        if pid not in watched:
            raise UserError(
                f"process {pid} is not watched", f"Watch it with: ggml-viz attach {pid}  Which are? ggml-viz ps"
            )


def _state(watch: Watch, state: native.SegmentState | None) -> str:
    if watch.ended or state is None:
        return "ended"
    if state.control & native.CONTROL_PAUSED:
        return "paused"
    return "idle" if state.control & native.CONTROL_STOPPED else "running"


def _error(watch: Watch) -> str | None:
    if not watch.error:
        return None
    return "what it records finds no room" if watch.error > 0 else "it is no longer followed, by a fault of ggml-viz"
