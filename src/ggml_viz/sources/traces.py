"""Traces as sources: those that were named, and those in a folder; each is opened when somebody asks for it."""

from __future__ import annotations

import contextlib
import logging
import re
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from ggml_viz.errors import UserError
from ggml_viz.export.selection import Selection
from ggml_viz.model.part import PartOfTrace
from ggml_viz.model.tables import FIELDS
from ggml_viz.model.trace import Trace
from ggml_viz.sources.answering import (
    describe_tables,
    describe_trace,
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
from ggml_viz.sources.source import BadQuestionError, NotThereError, Source
from ggml_viz.trace.chunks import FILE_HEADER, check_file_header
from ggml_viz.views import graph as graph_view
from ggml_viz.views import memory as memory_view
from ggml_viz.views import nodes
from ggml_viz.views import tensor as tensor_view
from ggml_viz.views.timeline import Timeline

if TYPE_CHECKING:
    from ggml_viz.analysis.profile import Profile
    from ggml_viz.analysis.summary import Summary

SUFFIX = ".ggmlviz"

_log = logging.getLogger("ggml_viz.sources")
_Value = TypeVar("_Value")
_Kept = TypeVar("_Kept")

# Answers that depend on what was asked for, of which some are kept.
_RECENT = 32
_COPY_BYTES = 1 << 20
# Of a folder, so many traces stay open.
_MOST_OPEN = 8
# A file that changed is opened anew when it has not changed for so long.
_SETTLED_S = 2.0
_LOOK_AGAIN_S = 1.0


class TraceFiles:
    """The traces named on the command line, and those in a folder.

    Args:
        files: Traces that stay open.
        folder: Whose traces are shown, and opened when somebody looks.
        naming: A file of naming rules beyond those that come with ggml-viz.
    """

    def __init__(self, files: Sequence[Path] = (), folder: Path | None = None, naming: Path | None = None) -> None:
        self._files = [path.resolve() for path in files]
        self._folder = folder.resolve() if folder else None
        self._naming = naming
        self._lock = threading.Lock()
        self._sources: dict[Path, TraceSource] = {}
        self._looked_at = float("-inf")

    def sources(self) -> list[Source]:
        """Those that there are now, by their order on the command line, then by name."""
        with self._lock:
            if time.monotonic() - self._looked_at > _LOOK_AGAIN_S:
                self._look()
                self._looked_at = time.monotonic()
            return list(self._sources.values())

    def add(self, path: Path) -> TraceSource:
        """Shows one more file, which stays open; of one that is shown already, that.

        Raises:
            UserError: It is no trace, or cannot be read.
        """
        check_trace(path)
        path = path.resolve()
        with self._lock:
            if path not in self._files:
                self._files.append(path)
            self._look()
            return self._sources[path]

    def remove(self, source: Source) -> None:
        """Closes a file that was named; of a folder's none."""
        if isinstance(source, TraceSource):
            with self._lock:
                self._files = [path for path in self._files if path != source.path]
                self._look()

    def load_named(self) -> None:
        """Begins to load what the command line names."""
        named = set(self._files)
        for source in self.sources():
            if isinstance(source, TraceSource) and source.path in named:
                source.start()

    def close(self) -> None:
        """Closes them all."""
        with self._lock:
            for source in self._sources.values():
                source.close()

    def _look(self) -> None:
        paths = [*self._files, *(path for path in self._in_folder() if path not in self._files)]
        known = self._sources
        taken = {source.id for source in known.values()}
        self._sources = {}
        for path in paths:
            source = known.pop(path, None)
            if source is not None and source.has_changed():
                source.close()
                source = TraceSource(source.id, path, self._naming)
            if source is None:
                source = TraceSource(unique_id(path.stem, taken), path, self._naming)
                taken.add(source.id)
            self._sources[path] = source
        for gone in known.values():
            gone.close()
        self._let_go()

    def _in_folder(self) -> list[Path]:
        """Its traces; a link that leads out of it is none."""
        if self._folder is None:
            return []
        found = []
        with contextlib.suppress(OSError):
            for path in sorted(self._folder.glob(f"*{SUFFIX}")):
                real = path.resolve()
                if not path.name.startswith(".") and real.is_relative_to(self._folder) and real.is_file():
                    found.append(real)
        return found

    def _let_go(self) -> None:
        """Closes what nobody has looked at for longest, if too much of the folder is open."""
        named = set(self._files)
        open_ones = [source for path, source in self._sources.items() if path not in named and source.is_loaded]
        for source in sorted(open_ones, key=lambda source: source.used_at)[: max(len(open_ones) - _MOST_OPEN, 0)]:
            self._sources[source.path] = TraceSource(source.id, source.path, self._naming)
            source.close()


class TraceSource(Source):
    """A trace file.

    Args:
        identifier: Its id.
        path: The file.
        naming: A file of naming rules beyond those that come with ggml-viz.
    """

    is_live = False

    def __init__(self, identifier: str, path: Path, naming: Path | None = None) -> None:
        self.id = identifier
        self.path = path
        self.name = path.name
        self.used_at = 0.0
        self._naming = naming
        self._signature = _signature(path)
        self._changed: tuple[tuple[int, ...], float] | None = None
        self._lock = threading.Lock()
        # What adds a trace up shares what it has made; only one at a time makes it.
        self._adding_up = threading.RLock()
        self._made: dict[Any, Future[Any]] = {}
        self._recent: OrderedDict[Any, Future[Any]] = OrderedDict()
        self._loader: threading.Thread | None = None
        self._progress = 0.0
        self._error: str | None = None
        self._described: dict[str, Any] | None = None
        self._sandbox: Sandbox | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether somebody has asked for more than its name."""
        return self._loader is not None

    def has_changed(self) -> bool:
        """Whether the file is another than the one that was opened, and has come to rest."""
        if self._loader is None:
            return False
        signature = _signature(self.path)
        if signature == self._signature or not signature:
            self._changed = None
            return False
        now = time.monotonic()
        if self._changed is None or self._changed[0] != signature:
            self._changed = signature, now
        return now - self._changed[1] > _SETTLED_S

    def start(self) -> None:
        """Begins to load it, if nobody did."""
        self.used_at = time.monotonic()
        with self._lock:
            if self._loader is None:
                self._loader = threading.Thread(target=self._load, name=f"load {self.id}", daemon=True)
                self._loader.start()

    def opened(self) -> dict[str, Any]:
        """Source; it begins to load."""
        self.start()
        return self.describe()

    def describe(self) -> dict[str, Any]:
        """Source, as far as it is known."""
        described: dict[str, Any] = {
            "id": self.id,
            "kind": "trace",
            "name": self.name,
            "command": "",
            "pid": None,
            "ggml_version": "",
            "backends": [],
            "threads": 0,
            "state": "idle",
            "progress": self._progress,
            "started": "",
            "duration_s": 0.0,
            "phase": None,
            "tokens_per_second": None,
            "records": 0,
            "lost": 0,
            "detail": None,
            "recording": None,
            "error": self._error,
        }
        if self._error is not None:
            return described | {"state": "failed"}
        if self._described is not None:
            return described | self._described | {"state": "ready", "progress": 1.0}
        return described | {"state": "idle" if self._loader is None else "loading"}

    def report(self, from_s: float | None = None, until_s: float | None = None) -> dict[str, Any]:
        """Of all its runs, or of those that began in an interval."""
        from ggml_viz.analysis.summary import summarize  # long to import: not before it is asked for

        if from_s is None and until_s is None:
            return self.summary().to_json()
        begin, end = from_s or 0.0, float("inf") if until_s is None else until_s
        trace = self._trace()
        return self._sometimes(("report", begin, end), lambda: summarize(PartOfTrace(trace, begin, end)).to_json())

    def summary(self) -> Summary:
        """The report, as a data class."""
        from ggml_viz.analysis.summary import summarize  # long to import: not before it is asked for

        trace = self._trace()
        return self._once("summary", lambda: summarize(trace))

    def series(self, columns: int, from_s: float | None, until_s: float | None) -> dict[str, Any]:
        """Of all, or of an interval."""
        trace = self._trace()
        end_s = trace.duration_s if until_s is None else until_s
        return series_of(trace, self._timeline(), columns, from_s or 0.0, end_s)

    def now(self) -> dict[str, Any]:
        """Nothing: it is over."""
        duration_s = self._trace().duration_s
        return {
            "at_s": duration_s,
            "phase": None,
            "threads": [],
            "runs": [],
            "tokens_per_second": 0.0,
            "duration_s": duration_s,
        }

    def timeline(self) -> dict[str, Any]:
        """Its lanes and labels."""
        return self._timeline().describe()

    def tile(
        self, from_s: float, until_s: float, columns: int, lanes: Sequence[int] | None, spans: bool, request: int
    ) -> bytes:
        """What lanes show of an interval."""
        return tile_of(self._timeline(), from_s, until_s, columns, lanes, spans, request)

    def span(self, lane: int, run: int, node: int, begin_s: float) -> dict[str, Any]:
        """All that is known of one bar."""
        self.summary()  # what is typical of a node is said once all nodes are added up
        return span_of(self._trace(), lane, run, node, begin_s)

    def search(self, text: str, limit: int) -> dict[str, Any]:
        """Nodes whose name, op or role has a text in it."""
        return dict(nodes.search(self._trace(), text, limit))

    def occurrence(
        self, process: int, graph: int, node: int, after_s: float | None, before_s: float | None
    ) -> dict[str, Any]:
        """The next or the last execution of a node."""
        return occurrence_of(self._trace(), process, graph, node, after_s, before_s)

    def longest(self, process: int, graph: int, node: int, rank: int) -> dict[str, Any]:
        """One of the longest executions of a node."""
        trace = self._trace()
        executions = self._sometimes(
            ("executions", process, graph, node), lambda: nodes.executions(trace, process, graph, node)
        )
        return longest_of(executions, rank)

    def graphs(self) -> dict[str, Any]:
        """Those that were computed."""
        self.summary()
        return dict(graph_view.graph_list(self._trace()))

    def layers(self, process: int, graph: int) -> dict[str, Any]:
        """Those of one graph."""
        self.summary()
        return found(lambda: graph_view.layers_of(self._trace(), process, graph))

    def layer(self, process: int, graph: int, layer: int | None) -> dict[str, Any]:
        """Its nodes, set out."""
        self.summary()
        return found(lambda: graph_view.layer_layout(self._trace(), process, graph, layer))

    def tensor(self, process: int, graph: int, node: int) -> dict[str, Any]:
        """All that is known of a tensor of a graph."""
        self.summary()
        return found(lambda: tensor_view.tensor_details(self._trace(), process, graph, node))

    def memory(self) -> dict[str, Any]:
        """Buffers over time."""
        trace = self._trace()
        return self._once("memory", lambda: dict(memory_view.memory_over_time(trace)))

    def arena(self, process: int, graph: int, placement: int, buffer: int) -> dict[str, Any]:
        """How tensors share one buffer."""
        return found(lambda: memory_view.arena_map(self._trace(), process, graph, placement, buffer))

    def tables(self) -> dict[str, Any]:
        """Its tables and their columns."""
        trace = self._trace()
        return self._once("tables", lambda: describe_tables(trace))

    def rows(self, name: str, offset: int, limit: int) -> dict[str, Any]:
        """Some rows of one of its tables."""
        if name not in FIELDS:
            raise NotThereError(f"there is no table {name[:40]}", f"There are: {', '.join(FIELDS)}.")
        trace = self._trace()
        with self._adding_up:
            return some_rows(trace, name, offset, limit)

    def sql(self, query: str) -> dict[str, Any]:
        """What a query returns, asked in a process of its own."""
        self._trace()
        with self._lock:
            if self._sandbox is None:
                self._sandbox = Sandbox(self.path, self._naming)
        return self._sandbox.ask(query)

    def control(self, action: str, level: str | None) -> dict[str, Any]:
        """Nothing: it is over.

        Raises:
            UserError: Always.
        """
        raise UserError("a trace that was recorded cannot be controlled", "Only a live process can.")

    def export(self, format: str, out: BinaryIO, from_s: float | None, until_s: float | None, table_name: str) -> None:
        """Writes it in one of EXPORTS."""
        if format == "ggmlviz":
            if from_s is not None or until_s is not None:
                raise BadQuestionError("a trace file is exported whole", "Leave from_s and until_s out.")
            with self.path.open("rb") as file:
                while part := file.read(_COPY_BYTES):
                    out.write(part)
            return
        selection = Selection(self._trace(), from_s or 0.0, float("inf") if until_s is None else until_s)
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
        """Draws it, or an interval of it."""
        self.summary()
        picture_of(self._trace(), form, picture, out, from_s, until_s, graph, layer)

    def profile(self) -> Profile:
        """What a comparison compares."""
        from ggml_viz.analysis.profile import profile

        self._trace()
        return self._sometimes("profile", lambda: profile(str(self.path), executions=True, naming=self._naming))

    def close(self) -> None:
        """Ends its process for SQL; what is being computed goes on to its end."""
        with self._lock:
            if self._sandbox is not None:
                self._sandbox.close()

    def _load(self) -> None:
        try:
            trace = self._open()
            self._progress = 0.2
            described = describe_trace(trace)
            self._timeline()
            self._progress = 0.6
            self.summary()
            self._described = described
        except UserError as error:
            self._error = error.message
        except Exception as error:  # a damaged trace may do anything; whoever looks is told, and the server goes on
            _log.exception("%s cannot be shown", self.path)
            self._error = f"{self.path.name} cannot be shown: {str(error) or type(error).__name__}"

    def _open(self) -> Trace:
        return self._once("trace", lambda: Trace.open(self.path, self._naming))

    def _trace(self) -> Trace:
        """The trace, once it is open.

        Raises:
            UserError: It is none.
        """
        self.start()
        if self._error is not None:
            raise UserError(self._error)
        return self._open()

    def _timeline(self) -> Timeline:
        trace = self._trace()

        def make() -> Timeline:
            timeline = Timeline(trace)
            timeline.build(self._set_progress)
            return timeline

        return self._once("timeline", make)

    def _set_progress(self, share: float) -> None:
        self._progress = 0.2 + 0.4 * share

    def _once(self, key: str, make: Callable[[], _Value]) -> _Value:
        """What is made once and kept for good.

        Making it must not ask for anything else that is: whoever makes that may be waiting for its turn.
        """
        with self._lock:
            future = self._made.get(key)
            mine = future is None
            if future is None:
                future = self._made[key] = Future()
        return self._fulfilled(future, make, lambda: self._made.pop(key, None)) if mine else future.result()

    def _sometimes(self, key: Any, make: Callable[[], _Value]) -> _Value:
        """What is kept until too much else was asked for."""
        with self._lock:
            future = self._recent.get(key)
            mine = future is None
            if future is None:
                future = self._recent[key] = Future()
            self._recent.move_to_end(key)
            while len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        return self._fulfilled(future, make, lambda: self._recent.pop(key, None)) if mine else future.result()

    def _fulfilled(self, future: Future[Any], make: Callable[[], _Value], forget: Callable[[], Any]) -> _Value:
        try:
            with self._adding_up:
                value = make()
        except BaseException as error:
            forget()
            future.set_exception(error)
            raise
        future.set_result(value)
        return value


def unique_id(stem: str, taken: set[str]) -> str:
    """An id like the name of a file, that nothing else has."""
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".") or "trace"
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def check_trace(path: Path) -> None:
    """Refuses what is no trace, by its first bytes.

    Raises:
        UserError: It is none, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            check_file_header(str(path), file.read(FILE_HEADER.size))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _signature(path: Path) -> tuple[int, ...]:
    """What changes with a file's content; empty: there is no file."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else ()
