"""Connections, bounded in number, in how long a request may take to arrive, and in what lies ready for a peer.

All this is before the application gets to see a request, or past what it can do. A peer that takes nothing is cut off
by the system (`cut_stalled`): closing its connection would wait until it has taken what was sent.
"""

from __future__ import annotations

import asyncio
import socket

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ggml_viz.server import limits

# A whole tile, and some. Answers to pings are sent whether the peer takes them or not.
_MOST_UNTAKEN_BYTES = 16 << 20


def cut_stalled(listening: socket.socket) -> None:
    """Has the system cut off connections whose peer takes nothing of what is sent for too long."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux has it; connections inherit it
    if option is not None:
        listening.setsockopt(socket.IPPROTO_TCP, option, round(limits.STALL_S * 1000))


class BoundedProtocol(H11Protocol):
    """HTTP, where one that says nothing makes room for those who ask."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection: too many, and the one that has been silent for longest goes."""
        super().connection_made(transport)
        self._made_at = self.loop.time()
        self._await_head()
        if len(self.connections) > limits.MAX_CONNECTIONS:
            silent = [c for c in self.connections if isinstance(c, BoundedProtocol) and c is not self and c._is_silent]
            oldest = min(silent, key=lambda connection: connection._made_at, default=self)
            oldest.transport.abort()
            # It is told of that only when all who wait have been let in: until then they would be looked through again.
            self.connections.discard(oldest)

    def data_received(self, data: bytes) -> None:
        """Some bytes: if they begin a request, its head has to end soon."""
        super().data_received(data)
        if self.transport.get_protocol() is self and self._is_silent:
            self._await_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def _is_silent(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        """Bytes that come one by one do not put it off."""
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(limits.HEAD_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class BoundedSocket(WebSocketsSansIOProtocol):
    """A WebSocket, whose peer cannot make more than it takes."""

    def data_received(self, data: bytes) -> None:
        """Some bytes, maybe of pings."""
        super().data_received(data)
        if self.transport.get_write_buffer_size() > _MOST_UNTAKEN_BYTES:
            self.transport.abort()
