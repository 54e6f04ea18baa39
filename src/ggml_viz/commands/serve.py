"""`ggml-viz serve`: traces and running processes in a browser."""

from __future__ import annotations

import argparse
import os
import ssl
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from ggml_viz import system
from ggml_viz.errors import UserError, need_extra
from ggml_viz.settings import Settings, add_ui_arguments

if TYPE_CHECKING:
    from ggml_viz.server.running import Certificate

NAME = "serve"
HELP = "show traces and running processes in a browser"
TOKEN_VARIABLE = "GGML_VIZ_TOKEN"
LOOPBACK, PORT = "127.0.0.1", 8080
EXAMPLES = """\
Without files: the processes that are watched now (ggml-viz run, attach), as
they come and go. The dashboard stands at http://127.0.0.1:8080/, its HTTP API
in docs/http-api.md, metrics for Prometheus at /metrics.

Only this machine can reach it. With another --host a token is needed: it is
made and printed, or taken from --token-file or $GGML_VIZ_TOKEN.

examples:
  ggml-viz serve run.ggmlviz --open          a trace
  ggml-viz serve before.ggmlviz after.ggmlviz
  ggml-viz serve                             whatever is watched now
  ggml-viz serve --pid 4711 --folder traces  one process, and old traces
  ggml-viz serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `serve`."""
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path, help="traces (.ggmlviz)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--pid", metavar="PID", type=int, action="append", help="a watched process; may be repeated")
    which.add_argument("--all", action="store_true", help="all watched processes, besides the files")
    parser.add_argument("--folder", metavar="DIR", type=Path, help="also the traces in it; recordings are put there")
    parser.add_argument("--host", metavar="ADDRESS", default=LOOPBACK, help="where to listen (default: 127.0.0.1)")
    parser.add_argument("--port", metavar="N", type=_port, default=PORT, help="0: any that is free (default: 8080)")
    parser.add_argument("--open", action="store_true", help="open a browser")
    parser.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="a further name that it is reached by"
    )
    parser.add_argument("--token-file", metavar="FILE", type=Path, help="a file with the token, of mode 0600")
    parser.add_argument("--tls-cert", metavar="FILE", type=Path, help="certificate (PEM), with --tls-key")
    parser.add_argument("--tls-key", metavar="FILE", type=Path, help="its key (PEM)")
    parser.add_argument(
        "--keep", metavar="MB", type=_megabytes, help="newest records kept of each process (default: 512)"
    )
    add_ui_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serves until Ctrl-C."""
    need_web()
    from ggml_viz.live.watch import KEEP_BYTES
    from ggml_viz.server.running import address_of, listening_socket, serve
    from ggml_viz.server.security import Security, is_loopback
    from ggml_viz.sources.processes import LiveProcesses, check_watched
    from ggml_viz.sources.source import Catalog, Provider
    from ggml_viz.sources.traces import TraceFiles

    settings: Settings = args.settings
    watches = bool(args.pid or args.all or not args.files)
    _check_files(args.files, args.folder)
    if watches:
        check_watched(args.pid or [])
    certificate = _certificate(args.tls_cert, args.tls_key)
    token = _token(args.token_file, needed=not is_loopback(args.host))
    listening = listening_socket(args.host, args.port)
    port = listening.getsockname()[1]
    security = Security(args.host, port, token, args.allow_host, encrypted=certificate is not None)
    naming = settings.ui.naming
    providers: list[Provider] = []
    if watches:
        folder = args.folder or Path()
        providers.append(LiveProcesses(args.pid, folder, naming, args.keep or KEEP_BYTES))
    traces = TraceFiles(args.files, args.folder, naming)
    providers.append(traces)
    catalog = Catalog(providers)
    catalog.sources()
    traces.load_named()
    url = address_of(listening, security)
    print(f"{url}  (Ctrl-C ends it)", file=sys.stderr)
    if token is not None and not (args.token_file or os.environ.get(TOKEN_VARIABLE)):
        print(f"token: {token}", file=sys.stderr)
    if args.open:
        # Without the token: what a browser is started with, every user of this machine can read.
        webbrowser.open(url)
    try:
        serve(catalog, security, listening, certificate)
    finally:
        catalog.close()
    return 0


def need_web() -> None:
    """Refuses to serve where what that takes is not installed.

    Raises:
        UserError: With how to install it.
    """
    for module in ("starlette", "uvicorn", "websockets", "prometheus_client"):
        need_extra(module, "web")


def _check_files(files: list[Path], folder: Path | None) -> None:
    """One that is no trace is said at once, not in the browser."""
    from ggml_viz.sources.traces import check_trace

    for path in files:
        check_trace(path)
    if folder is not None and not folder.is_dir():
        raise UserError(f"{folder} is no folder")


def _certificate(certificate: Path | None, key: Path | None) -> Certificate | None:
    from ggml_viz.server.running import Certificate

    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UserError("TLS needs both --tls-cert and --tls-key", exit_status=2)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:
        raise UserError(
            f"the certificate {certificate} cannot be used with the key {key}: {error.strerror or error}"
        ) from None
    return Certificate(certificate, key)


def _token(path: Path | None, needed: bool) -> str | None:
    from ggml_viz.server.security import LEAST_TOKEN, is_token, new_token

    given = os.environ.get(TOKEN_VARIABLE)
    if path is not None:
        try:
            given = path.read_text().strip()
            readable = system.others_may_read(path)
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is no text'}") from None
        if readable:
            raise UserError(f"others can read the token in {path}", f"chmod 600 {path}")
    # An empty file holds no token; that is not to mean that none is needed.
    if given or path is not None:
        assert given is not None
        if not is_token(given):
            raise UserError(
                f"a token has at least {LEAST_TOKEN} characters, of ASCII and without spaces", exit_status=2
            )
        return given
    return new_token() if needed else None


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value < 1 << 16:
        raise ValueError
    return value


def _megabytes(text: str) -> int:
    value = float(text)
    if not 1 <= value < 1e9:
        raise ValueError
    return int(value * 1e6)


_port.__name__, _megabytes.__name__ = "port", "number of megabytes"
