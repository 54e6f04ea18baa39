"""How much may be asked of the server: sizes, times, and how many costly things at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request

from ggml_viz.server.answers import JSON_TYPE, ApiError

MAX_BODY_BYTES = 64 << 10
MAX_FRAME_BYTES = 1 << 20
MAX_CONNECTIONS = 256
MAX_SOCKETS = 64
# From the first byte of a request to the end of its head, and of its body.
HEAD_S = 10.0
BODY_S = 10.0
# A peer that takes nothing for so long is dropped.
STALL_S = 20.0
# A request waits so long for what is being computed, and a download for all of a trace to be written.
ANSWER_S = 60.0
EXPORT_S = 600.0

_Value = TypeVar("_Value")


class Gate:
    """Lets only so many costly things happen at once; a few may wait, others are sent away.

    Args:
        what: In words, for those that are sent away.
        at_once: How many may happen.
        waiting: How many may wait.
    """

    def __init__(self, what: str, at_once: int, waiting: int) -> None:
        self._what = what
        self._free = at_once
        self._room = waiting
        self._queue: list[asyncio.Future[None]] = []

    @contextlib.asynccontextmanager
    async def entered(self) -> AsyncIterator[None]:
        """Holds a place.

        Raises:
            ApiError: There is none, and no room to wait for one.
        """
        if self._free:
            self._free -= 1
        elif len(self._queue) >= self._room:
            raise ApiError(
                429, f"too many {self._what} at once", "Try again in a few seconds.", headers={"Retry-After": "3"}
            )
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn in self._queue:
                    self._queue.remove(turn)
                elif turn.done() and not turn.cancelled():
                    self._leave()
                raise
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        while self._queue:
            turn = self._queue.pop(0)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Threads:
    """Where what takes a while is computed, so that the server goes on answering.

    Args:
        at_once: How many things; others wait.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._limiter: anyio.CapacityLimiter | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, compute: Callable[[], _Value], gate: Gate | None = None, longest_s: float = ANSWER_S) -> _Value:
        """Computes something in a thread.

        Args:
            compute: Does it. It goes on when the answer comes too late, and holds its place in the gate for so long.
            gate: What has to let it in.
            longest_s: How long to wait for it.

        Raises:
            ApiError: The gate does not let it in, or it takes too long.
        """
        task = asyncio.create_task(self._compute(compute, gate))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(task), longest_s)
        except asyncio.TimeoutError:
            raise ApiError(
                503,
                f"this takes longer than {longest_s:.0f} s",
                "It is still being computed: ask again in a while.",
                headers={"Retry-After": "10"},
            ) from None

    async def _compute(self, compute: Callable[[], _Value], gate: Gate | None) -> _Value:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._at_once)
        async with gate.entered() if gate else contextlib.nullcontext():
            # Cancelled it is only when the server ends, which is not to wait for it.
            return await anyio.to_thread.run_sync(compute, abandon_on_cancel=True, limiter=self._limiter)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen, should nobody wait any more


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises:
        ApiError: There is none, or it is too large, or comes too slowly.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON_TYPE:
        raise ApiError(415, "the body is not JSON", f"Send it with Content-Type: {JSON_TYPE}.")
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length[:20]) > MAX_BODY_BYTES:
        raise _too_large()
    try:
        body = await asyncio.wait_for(_read(request), BODY_S)
    except asyncio.TimeoutError:
        raise ApiError(400, f"the body did not come within {BODY_S:.0f} s", headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise ApiError(400, "the body was cut short") from None
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is not JSON", 'For example: {"query": "FROM runs LIMIT 10"}') from None
    if not isinstance(data, dict):
        raise ApiError(400, "the body is not an object", 'For example: {"query": "FROM runs LIMIT 10"}')
    return data


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
    return bytes(body)


def _too_large() -> ApiError:
    # What is left of the body is not read: the connection ends.
    return ApiError(
        413,
        "the body is too large",
        f"At most {MAX_BODY_BYTES // 1024} KiB are read.",
        headers={"Connection": "close"},
    )


class Pace:
    """How fast one peer may go on: so many steps a second, and some in a row.

    Args:
        per_second: Steps, in the long run.
        in_a_row: Steps without a pause.
    """

    def __init__(self, per_second: float, in_a_row: int) -> None:
        self._per_second = per_second
        self._most = float(in_a_row)
        self._left = float(in_a_row)
        self._at = -math.inf

    def step(self, now: float) -> float:
        """Takes a step at a moment in seconds. Returns how long to pause before the next."""
        if self._at > -math.inf:
            self._left = min(self._left + (now - self._at) * self._per_second, self._most)
        self._at = now
        self._left -= 1
        return max(-self._left / self._per_second, 0.0)
