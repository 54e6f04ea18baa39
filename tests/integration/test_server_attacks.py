"""Attacks on a server that runs beside a recording: each is refused or contained, and the recording is unharmed."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import GGML_VIZ, report
from tests.support.dashboard import Serving, serving
from tests.support.generating import generating
from tests.support.tracefile import write_large_trace
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

HOST = "127.0.0.1"
TOKEN = "a-token-that-nobody-guesses"
GIGABYTE = 1 << 30
# A server under attack has to go on answering; this is a slow machine's idea of at once.
AT_ONCE_S = 5.0
RESIDENT_LIMIT = 1500 << 20


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A trace that is being recorded while the server is attacked; looked at when all attacks are over."""
    trace = tmp_path_factory.mktemp("attacked") / "t.ggmlviz"
    command = [GGML_VIZ, "run", "--quiet", "-o", trace, "--", *generating()]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        yield trace
        process.stdin.close()
        assert process.wait(120) == 0
    said = report(trace)
    assert said["trace"]["lost"] == 0
    assert said["trace"]["damage"] is None
    assert [one["end"] for one in said["trace"]["processes"]] == ["ended"]


@pytest.fixture(scope="module")
def server(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("served")
    write_large_trace(folder / "large.ggmlviz", 300_000)
    (folder.parent / "secret.ggmlviz").write_bytes(b"secret")
    with serving("--all", folder / "large.ggmlviz") as served:
        served.source("live", "running")
        served.source("trace", "ready")
        yield served


@pytest.fixture(autouse=True)
def unharmed(server: Serving) -> Iterator[None]:
    """After each attack, whoever has done nothing wrong is answered at once, and memory is bounded."""
    yield
    began = time.monotonic()
    assert server.get("/sources")["sources"]
    assert time.monotonic() - began < AT_ONCE_S
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0]) << 10
    assert resident < RESIDENT_LIMIT


def ask(server: Serving, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    data = None if body is None else json.dumps(body)
    sent = {"Host": f"{HOST}:{server.port}", **({"Content-Type": "application/json"} if body is not None else {})}
    try:
        connection.putrequest("GET" if body is None else "POST", path, skip_host=True, skip_accept_encoding=True)
        for name, value in {**sent, **{name.replace("_", "-"): value for name, value in headers.items()}}.items():
            connection.putheader(name, value)
        if data is not None:
            connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data.encode() if data is not None else None)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def socket_url(server: Serving) -> str:
    return f"ws://{HOST}:{server.port}/api/v1/socket"


def test_another_host_is_refused(server: Serving) -> None:
    for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1.evil.example", "[::ffff:1.2.3.4]"):
        assert ask(server, "/api/v1/sources", Host=host)[0] == 403
    with pytest.raises(InvalidStatus) as refused, connect(socket_url(server), additional_headers={"Host": "evil"}):
        pass
    assert refused.value.response.status_code in (400, 403)


def test_a_foreign_origin_is_refused(server: Serving) -> None:
    control = "/api/v1/sources/large/control"
    for origin in ("http://evil.example", "null", f"http://localhost.evil.example:{server.port}", f"https://{HOST}:1"):
        assert ask(server, control, {"action": "stop"}, Origin=origin)[0] == 403
        with pytest.raises(InvalidStatus), connect(socket_url(server), origin=origin):  # type: ignore[arg-type]
            pass
    assert ask(server, "/api/v1/sources", Sec_Fetch_Site="cross-site")[0] == 403
    with connect(socket_url(server), origin=f"http://{HOST}:{server.port}"):  # type: ignore[arg-type]
        pass


def test_without_the_token_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_large_trace(tmp_path / "t.ggmlviz", 2000)
    monkeypatch.setenv("GGML_VIZ_TOKEN", TOKEN)
    with serving(tmp_path / "t.ggmlviz") as locked:
        for path in ("/api/v1/sources", "/metrics", "/openapi.json", "/api/v1/sources/t/report"):
            assert ask(locked, path)[0] == 401
            assert ask(locked, path, Authorization="Bearer wrong")[0] == 401
            assert ask(locked, f"{path}?token={TOKEN}")[0] == 401
        with pytest.raises(InvalidStatus), connect(socket_url(locked)):
            pass
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert ask(locked, "/api/v1/sources", **right)[0] == 200
        with connect(socket_url(locked), additional_headers=right):
            pass


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.ggmlviz",
        "/assets/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/assets/%252e%252e%252fetc%252fpasswd",
        "/assets//etc/passwd",
        "/assets/..\\..\\etc\\passwd",
        "/api/v1/sources/..%2fsecret",
        "/api/v1/sources/%2e%2e",
        "/api/v1/sources/large/tables/..%2f..",
        "/api/v1/sources/%00/report",
    ],
)
def test_no_path_leads_elsewhere(server: Serving, path: str) -> None:
    status, answer = ask(server, path)
    assert status in (400, 404)
    assert b"root:" not in answer
    assert b"secret" not in answer.replace(path.encode(), b"")[:4000] or status == 404


def test_a_body_of_a_gigabyte_is_not_read(server: Serving) -> None:
    with socket.create_connection((HOST, server.port), timeout=30) as peer:
        head = f"POST /api/v1/sources/large/sql HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n"
        peer.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {GIGABYTE}\r\n\r\n".encode())
        assert peer.recv(4096).startswith(b"HTTP/1.1 413")
    # And one that does not say how long it is.
    sent = 0
    with socket.create_connection((HOST, server.port), timeout=30) as peer:
        peer.sendall(f"{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        with contextlib.suppress(OSError):
            while sent < 64 << 20:
                peer.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
                sent += 65536
    assert sent < 64 << 20


def test_a_frame_of_a_gigabyte_ends_the_socket(server: Serving) -> None:
    with connect(socket_url(server), max_size=None) as viewer:
        with contextlib.suppress(ConnectionClosed, OSError):
            viewer.socket.sendall(b"\x82\xff" + GIGABYTE.to_bytes(8, "big") + bytes(4))
            for _ in range(64):
                viewer.socket.sendall(bytes(1 << 20))
        assert _ends(viewer)


def _ends(viewer: ClientConnection) -> bool:
    try:
        while True:
            viewer.recv(timeout=20)
    except (ConnectionClosed, OSError) as error:
        return not isinstance(error, TimeoutError)


def test_a_thousand_connections(server: Serving) -> None:
    peers = []
    try:
        for _ in range(1000):
            peer = socket.socket()
            peer.settimeout(5)
            with contextlib.suppress(OSError):
                peer.connect((HOST, server.port))
            peers.append(peer)
        began = time.monotonic()
        assert ask(server, "/api/v1/sources")[0] == 200
        assert time.monotonic() - began < AT_ONCE_S
    finally:
        for peer in peers:
            peer.close()


@pytest.mark.parametrize(
    "query",
    [
        "CREATE TABLE mine AS SELECT 1",
        "INSERT INTO runs VALUES (1)",
        "COPY runs TO '/tmp/stolen.csv'",
        "ATTACH '/tmp/other.db' AS other",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "SELECT content FROM read_text('/etc/passwd')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '100GB'",
        "PRAGMA database_list",
        "EXPORT DATABASE '/tmp/out'",
        "SELECT 1; DROP TABLE runs",
        "SELECT getenv('HOME')",
        "",
        "no SQL",
    ],
)
def test_queries_that_do_more_than_read_are_refused(server: Serving, query: str) -> None:
    status, answer = ask(server, "/api/v1/sources/large/sql", {"query": query})
    assert status == 400, answer
    assert json.loads(answer)["error"]
    assert b"root:" not in answer


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM range(10000000000) a, range(1000000) b",
        "SELECT repeat('x', 2000000000), repeat('y', 2000000000)",
        "SELECT list(range) FROM range(500000000)",
    ],
)
def test_queries_that_never_end_are_ended(server: Serving, query: str) -> None:
    answers: list[tuple[int, bytes]] = []
    asking = threading.Thread(target=lambda: answers.append(ask(server, "/api/v1/sources/large/sql", {"query": query})))
    asking.start()
    while asking.is_alive():
        began = time.monotonic()
        server.get("/sources")
        assert time.monotonic() - began < AT_ONCE_S
        time.sleep(0.5)
    ((status, answer),) = answers
    assert status == 400, answer
    # The next one is answered as if nothing had been.
    assert ask(server, "/api/v1/sources/large/sql", {"query": "SELECT count(*) FROM runs"})[0] == 200


def test_a_viewer_that_never_reads_holds_up_nobody(server: Serving) -> None:
    source = server.source("live", "running")["id"]
    follow = {"type": "follow", "source": source, "request": 1, "width_s": 5.0, "columns": 8192}
    view = {"type": "view", "source": "large", "request": 2, "from_s": 0, "until_s": 2, "columns": 8192, "spans": True}
    with contextlib.ExitStack() as deaf:
        for _ in range(4):
            viewer = deaf.enter_context(connect(socket_url(server), max_size=None, max_queue=1, close_timeout=0.1))
            viewer.send(json.dumps(follow))
            for _ in range(20):
                viewer.send(json.dumps(view))
        with connect(socket_url(server), max_size=None) as viewer:
            viewer.send(json.dumps(follow))
            tiles, until = 0, time.monotonic() + 5
            while time.monotonic() < until:
                if isinstance(viewer.recv(timeout=AT_ONCE_S), bytes):
                    tiles += 1
                    viewer.send(json.dumps({"type": "drawn", "request": 1}))
        assert tiles >= 5


def test_nonsense_on_the_socket_is_answered(server: Serving) -> None:
    with connect(socket_url(server)) as viewer:
        for text in (
            "",
            "[]",
            "{}",
            '{"type": "view"}',
            '{"type": 7}',
            "\x00",
            "[" * 5000,
            '{"type": "watch", "source": 5}',
        ):
            viewer.send(text)
            assert json.loads(viewer.recv(timeout=AT_ONCE_S))["type"] == "error"
