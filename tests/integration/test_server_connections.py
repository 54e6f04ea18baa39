"""Peers that hold on to connections: each is let go of, and whoever else asks is answered all the while."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.tracefile import write_large_trace

from ggml_viz.server import limits
from ggml_viz.server.running import listening_socket, served
from ggml_viz.server.security import Security
from ggml_viz.sources.source import Catalog
from ggml_viz.sources.traces import TraceFiles

HOST = "127.0.0.1"
MOST = 24
# Of the server in these tests; it gives its peers more.
HEAD_S, STALL_S = 1.0, 2.0
PATIENCE_S = 20.0
ASK = f"GET /api/v1/session HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("connections") / "large.ggmlviz"
    write_large_trace(path, 200_000)
    return path


@pytest.fixture
def port(trace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server, by uvicorn, as `serve` runs it."""
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", MOST)
    monkeypatch.setattr(limits, "HEAD_S", HEAD_S)
    monkeypatch.setattr(limits, "STALL_S", STALL_S)
    listening = listening_socket(HOST, 0)
    number = listening.getsockname()[1]
    catalog = Catalog([TraceFiles([trace])])
    with served(catalog, Security(HOST, number), listening):
        answers(number, "/api/v1/sources/large/report")
        yield number
    catalog.close()


def answers(port: int, path: str = "/api/v1/sources") -> bool:
    """Whether somebody who has done nothing wrong is answered."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status == 200


@contextmanager
def connected(port: int, first: bytes = b"", window: int | None = None) -> Iterator[socket.socket]:
    peer = socket.socket()
    if window is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    peer.settimeout(PATIENCE_S)
    peer.connect((HOST, port))
    peer.sendall(first)
    with peer:
        yield peer


def is_let_go(peer: socket.socket, within_s: float) -> bool:
    """Whether the server ends a connection in time."""
    deadline = time.monotonic() + within_s
    try:
        while (left := deadline - time.monotonic()) > 0:
            peer.settimeout(left)
            if not peer.recv(1 << 16):
                return True
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def sends_until_cut(send: Callable[[], None]) -> float:
    """For how long a peer that goes on sending, and reads nothing, gets away with it."""
    began = time.monotonic()
    try:
        while (lasted := time.monotonic() - began) < PATIENCE_S:
            send()
    except TimeoutError:
        return PATIENCE_S
    except OSError:
        pass
    return lasted


def upgraded(peer: socket.socket) -> None:
    """Makes a WebSocket of a connection."""
    key = base64.b64encode(os.urandom(16)).decode()
    peer.sendall(
        f"GET /api/v1/socket HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += peer.recv(1)
    assert answer.startswith(b"HTTP/1.1 101 ")


def frame(data: bytes, opcode: int) -> bytes:
    """A frame of a client, masked with zeros."""
    length = bytes([0x80 | len(data)]) if len(data) < 126 else struct.pack(">BH", 0x80 | 126, len(data))
    return bytes([0x80 | opcode]) + length + bytes(4) + data


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: "])
def test_a_peer_that_never_asks_is_let_go(first: bytes, port: int) -> None:
    with connected(port, first) as peer:
        assert is_let_go(peer, 5 * HEAD_S)


def test_a_peer_that_asks_once_and_never_ends_its_second_request_is_let_go(port: int) -> None:
    with connected(port, ASK) as peer:
        answer = b""
        while b'"version"' not in answer:
            answer += peer.recv(1 << 16)
        peer.sendall(b"GET / HT")
        assert is_let_go(peer, 5 * HEAD_S)


def test_bytes_one_by_one_do_not_put_that_off(port: int) -> None:
    with connected(port, b"GET / HTTP/1.1\r\nX: ") as peer:

        def send() -> None:
            peer.sendall(b"x")
            time.sleep(HEAD_S / 10)

        assert sends_until_cut(send) < 5 * HEAD_S


@pytest.mark.parametrize("first", [b"", ASK + b"GET / HT"])
def test_many_silent_connections_leave_room_for_others(first: bytes, port: int) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connected(port, first)) for _ in range(8 * MOST)]
        for peer in silent if first else ():  # silent are those that have their answer, or were let go of
            with suppress(ConnectionResetError):
                peer.recv(1)
        assert answers(port)
        # Most were let go of at once, long before any has been silent for too long.
        open_ones = [peer for peer in silent if not is_let_go(peer, 0.001)]
        assert len(open_ones) <= MOST
    assert answers(port)


def test_a_viewer_that_never_reads_is_cut_off(port: int) -> None:
    with connected(port, window=4096) as peer:
        upgraded(peer)
        view = {"type": "view", "source": "large", "request": 1, "from_s": 0, "until_s": 1e3, "columns": 8192}
        message = frame(json.dumps(view).encode(), opcode=1)

        def send() -> None:
            peer.sendall(message)
            assert answers(port)
            time.sleep(0.05)

        assert sends_until_cut(send) < PATIENCE_S
    assert answers(port)


def test_a_viewer_that_only_pings_is_cut_off(port: int) -> None:
    with connected(port, window=4096) as peer:
        upgraded(peer)
        pings = frame(b"p" * 100, opcode=9) * 500
        assert sends_until_cut(lambda: peer.sendall(pings)) < PATIENCE_S
    assert answers(port)


def test_downloads_that_nobody_takes_do_not_keep_others_from_theirs(port: int) -> None:
    export = "/api/v1/sources/large/export?format=chrome"
    ask = f"GET {export} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(connected(port, ask, window=4096))
        time.sleep(0.5)
        assert answers(port)
        assert answers(port, f"{export}&from_s=0&until_s=0.001")
