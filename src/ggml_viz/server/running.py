"""Running the server: where it listens, and uvicorn with the limits that are its to keep."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from ggml_viz import system
from ggml_viz.errors import UserError
from ggml_viz.server import limits
from ggml_viz.server.app import make_app
from ggml_viz.server.connections import BoundedProtocol, BoundedSocket, cut_stalled
from ggml_viz.server.security import Security
from ggml_viz.sources.source import Catalog

_LOG = logging.getLogger("ggml_viz.server")

# Whom the system finds no place for tries again a second later, then after two more: a flood must not fill it.
_BACKLOG = 2048
_KEEP_ALIVE_S = 15
_PING_S = 20.0
_HEAD_BYTES = 16 << 10
_SHUT_DOWN_S = 2


@dataclass(frozen=True, slots=True)
class Certificate:
    """What TLS needs: paths of PEM files."""

    certificate: Path
    key: Path


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: any that is free.

    Raises:
        UserError: The address cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError, OverflowError):
        raise UserError(f"{host} is no address of this machine", "For example: --host 127.0.0.1", 2) from None
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, system.LISTENING, 1)
    cut_stalled(listening)
    try:
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} is taken", "Choose another with --port, or 0 for any that is free.") from None
        raise UserError(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    return listening


def address_of(listening: socket.socket, security: Security) -> str:
    """Where a browser finds the dashboard."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    scheme = "https" if security.encrypted else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


def serve(
    catalog: Catalog, security: Security, listening: socket.socket, certificate: Certificate | None = None
) -> None:
    """Serves until SIGINT or SIGTERM."""
    system.give_way()
    _server(catalog, security, certificate).run(sockets=[listening])


@contextmanager
def served(catalog: Catalog, security: Security, listening: socket.socket) -> Iterator[None]:
    """Serves in a thread while this lasts."""
    server = _server(catalog, security, None)

    def run() -> None:
        system.give_way()
        server.run(sockets=[listening])

    thread = threading.Thread(target=run, name="server", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_SHUT_DOWN_S + 1)


def _server(catalog: Catalog, security: Security, certificate: Certificate | None) -> uvicorn.Server:
    more: dict[str, Any] = {}
    if certificate is not None:
        more = {"ssl_certfile": os.fspath(certificate.certificate), "ssl_keyfile": os.fspath(certificate.key)}
    config = uvicorn.Config(
        make_app(catalog, security),
        http=BoundedProtocol,
        ws=BoundedSocket,
        ws_max_size=limits.MAX_FRAME_BYTES,
        # Compressing tiles costs more time than sending them.
        ws_per_message_deflate=False,
        ws_ping_interval=_PING_S,
        ws_ping_timeout=limits.STALL_S,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_SHUT_DOWN_S,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        **more,
    )
    return uvicorn.Server(config)
