"""SQL in a process of its own, which can be ended whatever a query does to it.

DuckDB ends queries on request and keeps to a limit of memory, except inside of a single function: `repeat('x', 2e9)`
takes gigabytes and cannot be interrupted. So a query that is not back in time is killed, with its process.

The process reads a query a line, as JSON, from its standard input, and answers likewise.
"""

from __future__ import annotations

import contextlib
import decimal
import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from ggml_viz import system
from ggml_viz.errors import UserError
from ggml_viz.sources.encode import encode
from ggml_viz.sources.source import BadQuestionError

MAX_ROWS = 1000
QUERY_S = 10.0
MEMORY_BYTES = 512 << 20

# DuckDB's own limit is kept by most queries; this one, which holds for the whole process, by all.
_PROCESS_BYTES = 3 << 30
# To open the trace and to make the columns that a query names.
_PREPARE_S = 120.0
# An interrupted query is back by then, if it can be interrupted.
_GRACE_S = 2.0
_IDLE_S = 120.0
_MAX_ANSWER_BYTES = 16 << 20
_MAX_CELL = 10_000
_LARGEST_EXACT = (1 << 53) - 1
_PREPARED = b"{}\n"


class Sandbox:
    """A process that answers queries to one trace, started when there is one.

    Args:
        path: The trace.
        naming: A file of naming rules beyond those that come with ggml-viz.
    """

    def __init__(self, path: Path, naming: Path | None = None) -> None:
        self._path = path
        self._naming = naming
        self._process: subprocess.Popen[bytes] | None = None
        self._asking = threading.Lock()
        self._idle: threading.Timer | None = None
        self._closed = False

    def ask(self, query: str) -> dict[str, Any]:
        """Answer: columns, types, at most MAX_ROWS rows.

        Raises:
            BadQuestionError: The query is wrong, or takes too much.
        """
        with self._asking:
            if self._idle is not None:
                self._idle.cancel()
            try:
                answer = self._exchange(self._started(), query)
            except BaseException:
                self._end()
                raise
            self._idle = threading.Timer(_IDLE_S, self._end_if_idle)
            self._idle.daemon = True
            self._idle.start()
        if "error" in answer:
            raise BadQuestionError(answer["error"], answer["hint"])
        return answer

    def close(self) -> None:
        """Ends the process, and whatever it is doing."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
            process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        words = [sys.executable, "-m", "ggml_viz.sources.sandbox", str(self._path), str(self._naming or "")]
        folders = [folder for folder in sys.path if folder]
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**system.bare_environment(), "PYTHONPATH": os.pathsep.join(folders)},
            **system.apart(),  # Ctrl-C is for the server, which ends it
        )
        if self._closed:
            self._end()
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], query: str) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(encode({"query": query}) + b"\n")
            process.stdin.flush()
        except OSError:
            raise _died() from None
        lines = _Lines(process.stdout)
        line = lines.next(_PREPARE_S)
        if line is None:
            raise BadQuestionError(
                f"what this query names is not ready within {_PREPARE_S:.0f} s", "Name fewer columns."
            )
        if line == _PREPARED:
            line = lines.next(QUERY_S + _GRACE_S)
        if line is None:
            raise BadQuestionError(f"the query took longer than {QUERY_S:.0f} s and was ended", "Ask for less.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end_if_idle(self) -> None:
        if self._asking.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._asking.release()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()


def _died() -> BadQuestionError:
    return BadQuestionError(
        "the query took more memory than it may", "Ask for less: name columns, group, or add a LIMIT."
    )


class _Lines:
    """Reads what the process answers; in a thread, because not every system can wait for a pipe so long."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def next(self, within_s: float) -> bytes | None:
        """A line; None: it did not come in time, and the process is to be ended.

        Raises:
            BadQuestionError: There is none, because the process has died.
        """
        read: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=lambda: read.put(self._read()), name="SQL's answer", daemon=True).start()
        try:
            line = read.get(timeout=within_s)
        except queue.Empty:
            return None
        if not line.endswith(b"\n"):
            raise _died()
        return line

    def _read(self) -> bytes:
        try:
            return self._pipe.readline(_MAX_ANSWER_BYTES)
        except (OSError, ValueError):  # it was closed
            return b""


# --- in the process ---


def main(path: str, naming: str) -> int:
    """Answers queries until there are no more."""
    system.limit_process(_PROCESS_BYTES)
    from ggml_viz.analysis.sql import Database, Guard
    from ggml_viz.model.trace import Trace
    from ggml_viz.trace.reader import open_trace

    database = None
    for line in sys.stdin.buffer:
        query = json.loads(line)["query"]
        try:
            if database is None:
                trace = Trace(open_trace(path, check_records=False), (Path(naming),) if naming else ())
                database = Database(trace, Guard(QUERY_S, MEMORY_BYTES, MAX_ROWS))
            database.prepare(query)
            _say(_PREPARED)
            began = time.monotonic()
            first = database.first_rows(query)
            answer = {
                "columns": first.columns,
                "types": first.types,
                "rows": [[_cell(value) for value in row] for row in first.rows],
                "truncated": first.truncated,
                "seconds": time.monotonic() - began,
            }
        except UserError as error:
            answer = {"error": error.message, "hint": error.hint}
        except MemoryError:
            died = _died()
            answer = {"error": died.message, "hint": died.hint}
        _say(encode(answer) + b"\n")
    return 0


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _cell(value: Any) -> Any:
    """A value of a row as JSON has it: no longer than anybody reads, and exact."""
    if isinstance(value, str):
        return value if len(value) <= _MAX_CELL else value[:_MAX_CELL] + "…"
    if isinstance(value, int) and not isinstance(value, bool):
        # JavaScript would round it.
        return value if abs(value) <= _LARGEST_EXACT else str(value)
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [_cell(item) for item in value[:_MAX_CELL]]
    if isinstance(value, dict):
        return {str(key): _cell(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value[:_MAX_CELL].hex()
    if value is None or isinstance(value, (bool, float)):
        return value
    return str(value)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
