"""The WebSocket: tiles when they are asked for, and of what is live whatever is new, as fast as a viewer takes it.

Each viewer has one task that sends and one that receives, so that a slow one holds up nobody. What several viewers
follow alike is made once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ggml_viz.errors import UserError
from ggml_viz.server import limits
from ggml_viz.server.answers import ApiError
from ggml_viz.sources.encode import encode
from ggml_viz.sources.source import Catalog, Source

_LOG = logging.getLogger("ggml_viz.server")

# Messages of one viewer: a page that pans asks once a frame.
_PER_SECOND, _IN_A_ROW = 120.0, 240
_SOURCES_EVERY_S = 1.0
_NOW_EVERY_S = 0.2
# A viewer that takes longer to draw gets tiles of half the width, and so on.
_SLOW_S, _QUICK_S = 0.4, 0.15
_LEAST_COLUMNS = 200
_REQUEST = struct.Struct("<I")
_REQUEST_AT = 4
_MOST = 1e9


@dataclass
class _View:
    """What a viewer wants to see once."""

    source: str
    request: int
    from_s: float
    until_s: float
    columns: int
    lanes: list[int] | None
    spans: bool


@dataclass
class _Follow:
    """What a viewer wants to see again and again."""

    source: str
    request: int
    width_s: float
    columns: int
    sent_at: float | None = None
    """When the tile was sent that was not drawn yet."""
    narrowed: int = 1
    step: int = -1

    @property
    def key(self) -> tuple[str, float, int]:
        """What its tile depends on: the source, how many seconds of it, and in how many columns."""
        columns = max(self.columns // self.narrowed, min(_LEAST_COLUMNS, self.columns))
        return self.source, self.width_s, columns


@dataclass
class _Viewer:
    """One connection."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    watched: str | None = None
    wants_sources: bool = False
    view: _View | None = None
    follow: _Follow | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    sources_sent: bytes = b""
    sources_at: float = 0.0
    now_at: float = 0.0
    end_listening: Callable[[], None] = lambda: None


class Hub:
    """All viewers.

    Args:
        catalog: What they look at.
        threads: Where what takes a while is computed.
    """

    def __init__(self, catalog: Catalog, threads: limits.Threads) -> None:
        self._catalog = catalog
        self._threads = threads
        self._viewers = 0
        self._tiles: dict[tuple[str, float, int], tuple[int, bytes]] = {}
        self._making = threading.Lock()

    def describe_sources(self) -> dict[str, Any]:
        """Sources: what can be looked at."""
        return {"sources": [source.describe() for source in self._catalog.sources()]}

    async def serve(self, socket: WebSocket) -> None:
        """Serves one viewer until it is gone."""
        if self._viewers >= limits.MAX_SOCKETS:
            await socket.close(1013, "too many viewers")
            return
        self._viewers += 1
        viewer = _Viewer()
        try:
            await socket.accept()
            tasks = [
                asyncio.create_task(self._receive(socket, viewer)),
                asyncio.create_task(self._send(socket, viewer)),
            ]
            _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(
                    asyncio.CancelledError, WebSocketDisconnect, TimeoutError, OSError, RuntimeError
                ):
                    await task
        finally:
            self._viewers -= 1
            viewer.end_listening()
            if socket.application_state is WebSocketState.CONNECTED:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(socket.close(), 1)

    async def _receive(self, socket: WebSocket, viewer: _Viewer) -> None:
        pace = limits.Pace(_PER_SECOND, _IN_A_ROW)
        while True:
            text = await socket.receive_text()
            request = None
            try:
                message = json.loads(text)
                if not isinstance(message, dict):
                    raise ValueError
                request = message.get("request")
                self._take(message, viewer)
            except (ValueError, TypeError, KeyError, RecursionError, ApiError) as error:
                said = error.message if isinstance(error, ApiError) else "the message is not understood"
                hint = error.hint if isinstance(error, ApiError) else "See docs/http-api.md."
                known = request if isinstance(request, int) else None
                if len(viewer.errors) < 16:
                    viewer.errors.append({"type": "error", "error": said, "hint": hint, "request": known})
            viewer.wake.set()
            if (pause_s := pace.step(time.monotonic())) > 0:
                await asyncio.sleep(pause_s)

    def _take(self, message: dict[str, Any], viewer: _Viewer) -> None:
        kind = message["type"]
        if kind == "watch":
            viewer.watched = None if message.get("source") is None else _text(message["source"])
            viewer.wants_sources, viewer.sources_at, viewer.sources_sent = True, 0.0, b""
            self._listen(viewer)
        elif kind == "view":
            lanes = message.get("lanes")
            viewer.view = _View(
                source=_text(message["source"]),
                request=_number(message["request"]),
                from_s=_moment(message["from_s"]),
                until_s=_moment(message["until_s"]),
                columns=_number(message["columns"]),
                lanes=None if lanes is None else [_number(lane) for lane in lanes[:1024]],
                spans=bool(message.get("spans")),
            )
        elif kind == "follow":
            viewer.follow = _Follow(
                source=_text(message["source"]),
                request=_number(message["request"]),
                width_s=max(_moment(message["width_s"]), 1e-6),
                columns=_number(message["columns"]),
            )
            self._listen(viewer)
        elif kind == "unfollow":
            viewer.follow = None
        elif kind == "drawn":
            _drawn(viewer.follow)
        else:
            raise ValueError

    def _listen(self, viewer: _Viewer) -> None:
        """Has a viewer woken when something is new of what it follows or watches."""
        viewer.end_listening()
        loop = asyncio.get_running_loop()
        wanted = {name for name in (viewer.watched, viewer.follow.source if viewer.follow else None) if name}

        def wake() -> None:
            # In the thread that has just taken records in, what a tile is made of is at hand.
            if viewer.follow is not None and viewer.follow.sent_at is None:
                with contextlib.suppress(ApiError, UserError):  # whoever pushes it will meet the same
                    self._make_newest(self._catalog.get(viewer.follow.source), viewer.follow)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(viewer.wake.set)

        ends = [source.listen(wake) for source in self._catalog.sources() if source.id in wanted]

        def end() -> None:
            for one in ends:
                one()

        viewer.end_listening = end

    async def _send(self, socket: WebSocket, viewer: _Viewer) -> None:
        while True:
            live = viewer.watched is not None or viewer.follow is not None
            with anyio.move_on_after(_NOW_EVERY_S if live else _SOURCES_EVERY_S):
                await viewer.wake.wait()
            viewer.wake.clear()
            for data in viewer.errors[:]:
                await _text_out(socket, encode(data))
            viewer.errors.clear()
            if viewer.view is not None:
                view, viewer.view = viewer.view, None
                await self._answer(socket, view)
            if viewer.follow is not None:
                await self._push(socket, viewer.follow)
            await self._tell(socket, viewer)

    async def _answer(self, socket: WebSocket, view: _View) -> None:
        def tile() -> bytes:
            source = self._catalog.get(view.source)
            return source.tile(view.from_s, view.until_s, view.columns, view.lanes, view.spans, view.request)

        try:
            await _out(socket, await self._threads.run(tile))
        except (ApiError, UserError) as error:
            data = {"type": "error", "error": error.message, "hint": error.hint, "request": view.request}
            await _text_out(socket, encode(data))

    async def _push(self, socket: WebSocket, follow: _Follow) -> None:
        if follow.sent_at is not None and time.monotonic() - follow.sent_at < limits.STALL_S:
            return
        try:
            source = self._catalog.get(follow.source)
            if source.steps == follow.step:
                return
            follow.step, made = source.steps, self._tiles.get(follow.key)
            if made is None or made[0] != follow.step:
                made = await self._threads.run(lambda: self._make_newest(source, follow))
        except (ApiError, UserError) as error:
            data = {"type": "error", "error": error.message, "hint": error.hint, "request": follow.request}
            follow.sent_at = time.monotonic()
            await _text_out(socket, encode(data))
            return
        own = bytearray(made[1])
        _REQUEST.pack_into(own, _REQUEST_AT, follow.request & 0xFFFFFFFF)
        follow.sent_at = time.monotonic()
        await _out(socket, bytes(own))

    def _make_newest(self, source: Source, follow: _Follow) -> tuple[int, bytes]:
        """The tile of the last seconds of a source and its step, made once for all who follow it alike."""
        key = follow.key
        with self._making:
            step, known = source.steps, self._tiles.get(key)
            if known is not None and known[0] == step:
                return known
            until_s = max(source.duration_s, 1e-6)
            made = step, source.tile(until_s - follow.width_s, until_s, key[2], None, False, 0)
            if len(self._tiles) >= limits.MAX_SOCKETS:
                self._tiles.pop(next(iter(self._tiles)))
            self._tiles[key] = made
            return made

    async def _tell(self, socket: WebSocket, viewer: _Viewer) -> None:
        """What there is, and what the watched source does now."""
        now = time.monotonic()
        if viewer.wants_sources and now - viewer.sources_at >= _SOURCES_EVERY_S:
            viewer.sources_at = now
            described = await self._threads.run(self.describe_sources)
            data = encode({"type": "sources", **described})
            if data != viewer.sources_sent:
                viewer.sources_sent = data
                await _text_out(socket, data)
        if viewer.watched is not None and now - viewer.now_at >= _NOW_EVERY_S:
            viewer.now_at = now
            source = next((s for s in self._catalog.sources() if s.id == viewer.watched and s.is_live), None)
            if source is not None:
                instant = await self._threads.run(source.now)
                data = encode({"type": "now", "source": source.id, **instant})
                await _text_out(socket, data)


def _drawn(follow: _Follow | None) -> None:
    """A viewer has drawn its tile: how long that took says how much it can take."""
    if follow is None or follow.sent_at is None:
        return
    took = time.monotonic() - follow.sent_at
    if took > _SLOW_S:
        follow.narrowed = min(follow.narrowed * 2, 16)
    elif took < _QUICK_S:
        follow.narrowed = max(follow.narrowed // 2, 1)
    follow.sent_at = None


async def _out(socket: WebSocket, data: bytes) -> None:
    with anyio.fail_after(limits.STALL_S):
        await socket.send_bytes(data)


async def _text_out(socket: WebSocket, data: bytes) -> None:
    with anyio.fail_after(limits.STALL_S):
        await socket.send_text(data.decode())


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError
    return value


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise ValueError
    return value


def _moment(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_MOST < value < _MOST:
        raise ValueError
    return float(value)
