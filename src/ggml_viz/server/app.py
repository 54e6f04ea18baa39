"""The application: what can be asked for, who may ask, and the dashboard's files."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import mimetypes
import queue
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ggml_viz import __version__
from ggml_viz.errors import UserError
from ggml_viz.model.tables import FIELDS
from ggml_viz.server import limits, metrics
from ggml_viz.server.answers import ApiError, api_error, error_response, json_response
from ggml_viz.server.openapi import BINARY, Body, Given, Parameter, Route, Schema, document
from ggml_viz.server.schemas import DETAILS, SCHEMAS, TEXT, an_object, one_of, ref
from ggml_viz.server.security import HEADERS, Security
from ggml_viz.server.sockets import Hub
from ggml_viz.sources.source import ACTIONS, EXPORTS, Catalog, Source

API = "/api/v1"
SOCKET = f"{API}/socket"
DASHBOARD = Path(__file__).with_name("dashboard")

_LOG = logging.getLogger("ggml_viz.server")

_MOST_COLUMNS = 8192
_MOST_LANES = 1024
_MOST_NUMBER = 2**32 - 1
_MOST_S = 1e8
# What takes the machine's time is done by few at once, so that what is watched is disturbed as little as possible.
_THREADS = 24
_EXPORT_PART_BYTES = 1 << 18
_EXPORT_PARTS = 16
_FILE_NAMES = {
    "chrome": ("json", "application/json"),
    "perfetto": ("perfetto-trace", BINARY),
    "speedscope": ("speedscope.json", "application/json"),
    "csv": ("csv", "text/csv; charset=utf-8"),
    "ggmlviz": ("ggmlviz", BINARY),
}
# What may be had without the token: the page that asks for it, and how it is brought.
_OPEN = ("/", "/assets/", "/favicon.svg", f"{API}/session")
_ASSETS_AGE = "public, max-age=31536000, immutable"
_NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>ggml-viz</title>
<p>The dashboard has not been built into this installation; in a checkout: <code>make web</code>.
The HTTP API is there: <a href="/openapi.json">openapi.json</a>.
"""

_Answer = Callable[[Source, Given], Any]


def make_app(catalog: Catalog, security: Security) -> ASGIApp:
    """The application.

    Args:
        catalog: What can be looked at.
        security: Who may look.
    """
    return _Guarded(_Server(catalog, security).app(), security)


class _Server:
    """What the handlers share."""

    def __init__(self, catalog: Catalog, security: Security) -> None:
        self._catalog = catalog
        self._security = security
        self._threads = limits.Threads(_THREADS)
        self._hub = Hub(catalog, self._threads)
        self._queries = limits.Gate("queries", 2, 8)
        self._exports = limits.Gate("exports", 2, 4)
        self._comparisons = limits.Gate("comparisons", 1, 4)
        # Reports of intervals, layouts, tables: what adds up a trace again.
        self._additions = limits.Gate("requests of that kind", 2, 16)
        self._routes = self._make_routes()

    def app(self) -> ASGIApp:
        """All routes."""
        routes: list[BaseRoute] = []
        by_path: dict[str, list[Route]] = {}
        for route in self._routes:
            by_path.setdefault(route.path, []).append(route)
        for path, ways in by_path.items():
            # One for each path, so that a method that it does not have is told from a path that is not there.
            routes.append(StarletteRoute(path, _endpoint(ways), methods=[way.method for way in ways]))
        routes.append(WebSocketRoute(SOCKET, self._hub.serve))
        routes.append(StarletteRoute("/", _page, methods=["GET"]))
        routes.append(StarletteRoute("/favicon.svg", _asset, methods=["GET"]))
        routes.append(StarletteRoute("/assets/{name}", _asset, methods=["GET"]))
        handlers = {HTTPException: _http_error, ApiError: _api_error, UserError: _user_error, Exception: _fault}
        return Starlette(routes=routes, exception_handlers=cast("Any", handlers))

    async def _session(self, request: Request, given: Given) -> Response:
        return json_response(self._session_data(self._security.is_allowed(request.headers, _address(request.scope))))

    async def _log_in(self, request: Request, given: Given) -> Response:
        body = await _body(request, {"token": str})
        if not self._security.is_token(body["token"], _address(request.scope)):
            raise ApiError(401, "that is not the token", "The server printed it when it started.")
        response = json_response(self._session_data(True))
        if self._security.token is not None:
            response.set_cookie(
                self._security.cookie_name,
                self._security.cookie,
                httponly=True,
                samesite="strict",
                secure=self._security.encrypted,
                path="/",
            )
        return response

    def _session_data(self, authenticated: bool) -> dict[str, Any]:
        needed = self._security.token is not None
        return {"authenticated": authenticated, "token_needed": needed, "version": __version__}

    async def _sources(self, request: Request, given: Given) -> Response:
        return json_response(await self._threads.run(self._hub.describe_sources))

    async def _sql(self, request: Request, given: Given) -> Response:
        query = (await _body(request, {"query": str}))["query"]
        return await self._of(given, lambda source: source.sql(query), self._queries)

    async def _control(self, request: Request, given: Given) -> Response:
        body = await _body(request, {"action": str}, {"level": str})
        action, level = body["action"], body.get("level")
        if action not in ACTIONS:
            raise ApiError(400, "there is no such action", f"There are: {', '.join(ACTIONS)}.")
        if (action == "detail") != (level is not None) or level not in (*DETAILS, None):
            raise ApiError(400, "detail takes a level, and nothing else does", f"There are: {', '.join(DETAILS)}.")
        return await self._of(given, lambda source: source.control(action, level))

    async def _compare(self, request: Request, given: Given) -> Response:
        compared = self._threads.run(lambda: self._catalog.compare(given["before"], given["after"]), self._comparisons)
        return json_response(await compared)

    async def _tile(self, request: Request, given: Given) -> Response:
        def tile() -> bytes:
            source = self._catalog.get(given["id"])
            lanes, spans = given["lanes"], bool(given["spans"])
            return source.tile(given["from_s"], given["until_s"], given["columns"], lanes, spans, 0)

        return Response(await self._threads.run(tile), media_type=BINARY)

    async def _export(self, request: Request, given: Given) -> Response:
        source = await self._threads.run(lambda: self._catalog.get(given["id"]))
        kind = given["format"]
        ending, media_type = _FILE_NAMES[kind]
        stream = _Stream()
        task = asyncio.create_task(
            self._threads.run(
                lambda: stream.fill(
                    lambda out: source.export(kind, out, given["from_s"], given["until_s"], given["table"])
                ),
                self._exports,
                longest_s=limits.EXPORT_S,
            )
        )
        # What is wrong with the request turns up before the first byte does.
        first = await stream.first(task)
        headers = {"Content-Disposition": f'attachment; filename="{source.id}.{ending}"'}
        return StreamingResponse(stream.rest(first, task), headers=headers, media_type=media_type)

    async def _metrics(self, request: Request, given: Given) -> Response:
        text = await self._threads.run(lambda: metrics.expose(self._catalog), self._additions)
        return Response(text, headers={"content-type": metrics.CONTENT_TYPE})

    async def _openapi(self, request: Request, given: Given) -> Response:
        return json_response(document(self._routes, SCHEMAS, self._security.token is not None))

    async def _of(self, given: Given, answer: Callable[[Source], Any], gate: limits.Gate | None = None) -> Response:
        return json_response(await self._threads.run(lambda: answer(self._catalog.get(given["id"])), gate))

    def _make_routes(self) -> list[Route]:
        """Everything that can be asked for, but for the socket and the dashboard's files."""
        number: Schema = {"type": "integer", "minimum": 0, "maximum": _MOST_NUMBER}
        moment: Schema = {"type": "number", "minimum": -_MOST_S, "maximum": _MOST_S}
        columns: Schema = {"type": "integer", "minimum": 1, "maximum": _MOST_COLUMNS}
        name: Schema = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,200}$"}
        text: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
        lanes: Schema = {"type": "array", "items": number, "maxItems": _MOST_LANES}
        identifier = Parameter("id", name, "the id of a source")
        numbers = {
            "process": Parameter("process", number, "the index of a process", required=True),
            "graph": Parameter("graph", number, "the number of a graph in it", required=True),
            "node": Parameter("node", number, "the index of a node in that", required=True),
            "placement": Parameter("placement", number, "the number of a placement", required=True),
            "buffer": Parameter("buffer", number, "the number of a buffer", required=True),
        }
        from_s = Parameter("from_s", moment, "where to begin, in seconds since the source's beginning")
        until_s = Parameter("until_s", moment, "where to end, likewise")
        window = [
            Parameter("from_s", moment, from_s.meaning, required=True),
            Parameter("until_s", moment, until_s.meaning, required=True),
        ]
        of_source = f"{API}/sources/{{id}}"

        def get(
            path: str,
            summary: str,
            answer: _Answer,
            schema: str,
            *query: Parameter,
            gate: limits.Gate | None = None,
            path_parameters: tuple[Parameter, ...] = (),
            checked: Callable[[Given], None] = lambda given: None,
        ) -> Route:
            async def handler(request: Request, given: Given) -> Response:
                checked(given)
                return await self._of(given, lambda source: answer(source, given), gate)

            return Route(
                *("GET", of_source + path, summary, handler, ref(schema)),
                path_parameters=(identifier, *path_parameters),
                query=query,
                errors=(404, 409, 429, 503),
            )

        graph = numbers["process"], numbers["graph"]
        layer = Parameter(
            "layer", {"type": "string", "pattern": "^([0-9]{1,6}|outside)$"}, "the number of a layer, or outside"
        )
        table = Parameter("name", one_of(*FIELDS), "the name of a table")
        heavy = self._additions
        return [
            Route("GET", f"{API}/session", "Whether a token is needed", self._session, ref("Session"), tag="session"),
            Route(
                *("POST", f"{API}/session", "Bring the token and get a cookie", self._log_in, ref("Session")),
                body=Body(_closed(token=TEXT)),
                errors=(429,),
                tag="session",
            ),
            Route("GET", f"{API}/sources", "What can be looked at", self._sources, ref("Sources"), errors=(503,)),
            get("", "One source; it begins to load", lambda s, g: s.opened(), "Source"),
            get(
                *("/report", "What `ggml-viz report --json` prints", _report, "Report", from_s, until_s),
                gate=heavy,
                checked=_check_interval,
            ),
            get(
                "/series",
                "Tokens per second and busy threads over time",
                lambda s, g: s.series(g["columns"], g["from_s"], g["until_s"]),
                "Series",
                Parameter("columns", columns, "how many values", default=400),
                *(from_s, until_s),
                checked=_check_interval,
            ),
            get("/now", "What each thread does this instant", lambda s, g: s.now(), "Now"),
            get("/timeline", "The lanes of the timeline", lambda s, g: s.timeline(), "Timeline"),
            Route(
                *("GET", f"{of_source}/tile", "What lanes show of a window", self._tile, BINARY),
                path_parameters=(identifier,),
                query=(
                    *window,
                    Parameter("columns", columns, "how wide it is, in pixels", default=1600),
                    Parameter("lanes", lanes, "the ids of lanes; all, if it is missing"),
                    Parameter(
                        "spans", {"type": "integer", "minimum": 0, "maximum": 1}, "1: spans, never shares", default=0
                    ),
                ),
                errors=(404, 503),
            ),
            get(
                "/span",
                "All that is known of one bar of the timeline",
                lambda s, g: s.span(g["lane"], g["run"], g["node"], g["begin_s"]),
                "Span",
                Parameter("lane", number, "the id of its lane", required=True),
                Parameter("run", number, "the number of its run", required=True),
                numbers["node"],
                Parameter("begin_s", moment, "when it began", default=0.0),
            ),
            get(
                "/search",
                "Nodes whose name, op or role has a text in it",
                lambda s, g: s.search(g["q"], g["limit"]),
                "Matches",
                Parameter("q", text, "the text", required=True),
                Parameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "how many", default=50),
                gate=heavy,
            ),
            get(
                "/occurrence",
                "The next or the last execution of a node",
                lambda s, g: s.occurrence(g["process"], g["graph"], g["node"], g["after_s"], g["before_s"]),
                "Occurrence",
                *(*graph, numbers["node"]),
                Parameter("after_s", moment, "a moment: the first one behind it"),
                Parameter("before_s", moment, "a moment: the last one before it"),
                checked=_check_direction,
            ),
            get("/graphs", "Graphs that were computed", lambda s, g: s.graphs(), "Graphs"),
            get(
                *("/graphs/{process}/{graph}", "The layers of a graph"),
                *(lambda s, g: s.layers(g["process"], g["graph"]), "Layers"),
                path_parameters=graph,
                gate=heavy,
            ),
            get(
                *("/graphs/{process}/{graph}/layers/{layer}", "The nodes of a layer, set out"),
                *(_layer, "Layer"),
                path_parameters=(*graph, layer),
                gate=heavy,
            ),
            get("/memory", "Buffers over time", lambda s, g: s.memory(), "Memory", gate=heavy),
            get(
                *("/arena", "How tensors share a buffer"),
                *(lambda s, g: s.arena(g["process"], g["graph"], g["placement"], g["buffer"]), "Arena"),
                *(*graph, numbers["placement"], numbers["buffer"]),
                gate=heavy,
            ),
            get("/tables", "The tables that SQL knows", lambda s, g: s.tables(), "Tables", gate=heavy),
            get(
                *("/tables/{name}", "Rows of a table", lambda s, g: s.rows(g["name"], g["offset"], g["limit"]), "Rows"),
                Parameter("offset", number, "the first row", default=0),
                Parameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "how many", default=100),
                path_parameters=(table,),
                gate=heavy,
            ),
            Route(
                *(
                    "POST",
                    f"{of_source}/sql",
                    "Query the tables; nothing else can be reached",
                    self._sql,
                    ref("Answer"),
                ),
                path_parameters=(identifier,),
                body=Body(_closed(query=TEXT)),
                errors=(404, 429, 503),
            ),
            Route(
                *(
                    "POST",
                    f"{of_source}/control",
                    "Pause, resume, stop, record a process",
                    self._control,
                    ref("Source"),
                ),
                path_parameters=(identifier,),
                body=Body(
                    {
                        **_closed(action=one_of(*ACTIONS)),
                        "properties": {"action": one_of(*ACTIONS), "level": one_of(*DETAILS)},
                    }
                ),
                errors=(404, 409),
            ),
            Route(
                *("GET", f"{of_source}/export", "It in another format, as a file", self._export, BINARY),
                path_parameters=(identifier,),
                query=(
                    Parameter("format", one_of(*EXPORTS), "which", required=True),
                    from_s,
                    until_s,
                    Parameter("table", one_of(*FIELDS), "of csv, which table", default="nodes"),
                ),
                errors=(404, 409, 429, 503),
                media_types=tuple(dict.fromkeys(kind.partition(";")[0] for _, kind in _FILE_NAMES.values())),
            ),
            Route(
                *("GET", f"{API}/compare", "What `ggml-viz diff --json` prints", self._compare, ref("Diff")),
                query=(
                    Parameter("before", name, "the id of a source", required=True),
                    Parameter("after", name, "the id of another", required=True),
                ),
                errors=(404, 409, 429, 503),
            ),
            Route("GET", "/metrics", "For Prometheus", self._metrics, "text/plain", errors=(429, 503), tag="metrics"),
            Route("GET", "/openapi.json", "This document", self._openapi, {"type": "object"}, tag="session"),
        ]


def _closed(**properties: Schema) -> Schema:
    """An object that has these and nothing else."""
    return {**an_object(**properties), "additionalProperties": False}


def _report(source: Source, given: Given) -> Any:
    return source.report(given["from_s"], given["until_s"])


def _layer(source: Source, given: Given) -> Any:
    number = None if given["layer"] == "outside" else int(given["layer"])
    return source.layer(given["process"], given["graph"], number)


def _check_interval(given: Given) -> None:
    from_s, until_s = given["from_s"], given["until_s"]
    if from_s is not None and until_s is not None and not from_s < until_s:
        raise ApiError(400, "the interval ends before it begins", "from_s must be less than until_s.")


def _check_direction(given: Given) -> None:
    if (given["after_s"] is None) == (given["before_s"] is None):
        raise ApiError(400, "after_s or before_s is missing, or both are given", "Give one of them.")


def _endpoint(ways: list[Route]) -> Callable[[Request], Any]:
    by_method = {way.method: way for way in ways}

    async def endpoint(request: Request) -> Response:
        way = by_method["GET" if request.method == "HEAD" else request.method]
        return await way.handler(request, way.read(request.path_params, request.query_params.multi_items()))

    return endpoint


async def _body(request: Request, needed: Mapping[str, type], more: Mapping[str, type] | None = None) -> dict[str, Any]:
    """The fields of the object in a request's body."""
    data = await limits.read_object(request)
    known = {**needed, **(more or {})}
    for name, kind in known.items():
        if (name in needed or name in data) and not isinstance(data.get(name), kind):
            raise ApiError(400, f"{name} is missing, or no text", f"The body has: {', '.join(known)}.")
    if unknown := sorted(data.keys() - known.keys()):
        raise ApiError(400, f"the body has an unknown field {unknown[0][:40]}", f"There are: {', '.join(known)}.")
    return data


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _page(request: Request) -> Response:
    page = DASHBOARD / "index.html"
    if not page.is_file():
        return Response(_NOT_BUILT, media_type="text/html")
    return Response(page.read_bytes(), media_type="text/html", headers={"Cache-Control": "no-cache"})


async def _asset(request: Request) -> Response:
    """A file of the dashboard: by its name among those that are there, so that no path leads elsewhere."""
    name = request.path_params.get("name")
    folder = DASHBOARD / "assets" if name else DASHBOARD
    wanted = name or "favicon.svg"
    files = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    if wanted not in files or not files[wanted].is_file():
        raise ApiError(404, "there is no such file")
    kind = mimetypes.guess_type(wanted)[0] or BINARY
    headers = {"Cache-Control": _ASSETS_AGE if name else "no-cache"}
    return Response(files[wanted].read_bytes(), media_type=kind, headers=headers)


async def _http_error(request: Request, error: HTTPException) -> Response:
    texts = {404: "there is nothing at this address", 405: "this cannot be done here"}
    message = texts.get(error.status_code, str(error.detail).lower())
    return error_response(ApiError(error.status_code, message, "See /openapi.json.", dict(error.headers or {})))


async def _api_error(request: Request, error: ApiError) -> Response:
    return error_response(error)


async def _user_error(request: Request, error: UserError) -> Response:
    return error_response(api_error(error))


async def _fault(request: Request, error: Exception) -> Response:
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_response(ApiError(500, "a fault of ggml-viz", "The server's log says more."))


class _Guarded:
    """Checks Host, Origin and token before anything else looks at a request, and puts the headers on every answer."""

    def __init__(self, app: ASGIApp, security: Security) -> None:
        self._app = app
        self._security = security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request = Request({**scope, "type": "http"})
        refusal = self._refusal(scope, request)
        if scope["type"] == "websocket":
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                await _refuse_socket(receive, send, refusal)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                more = [(n.lower().encode(), v.encode()) for n, v in HEADERS.items() if n.lower().encode() not in given]
                if b"cache-control" not in given:
                    more.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        if refusal is None:
            await self._app(scope, receive, send_guarded)
        else:
            await error_response(refusal)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, request: Request) -> ApiError | None:
        security, headers, path = self._security, request.headers, scope["path"]
        try:
            security.check_host(headers)
            if scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD"):
                security.check_origin(headers)
            elif path.startswith(API):
                security.check_site(headers)
            is_open = path in _OPEN or path.startswith("/assets/")
            if scope["type"] == "websocket" or not is_open:
                security.need(headers, _address(scope))
        except ApiError as error:
            return error
        return None


async def _refuse_socket(receive: Receive, send: Send, refusal: ApiError) -> None:
    """Answers a handshake with an error: the connection never becomes a socket."""
    await receive()
    await send({"type": "websocket.close", "code": 1008, "reason": refusal.message})


class _Stream:
    """Bytes on their way from the thread that writes an export to the client that takes them.

    The thread waits when the client does, and is stopped when the client is gone.
    """

    def __init__(self) -> None:
        self._parts: queue.Queue[bytes | None] = queue.Queue(_EXPORT_PARTS)
        self._gone = threading.Event()

    def fill(self, write: Callable[[BinaryIO], None]) -> None:
        """In the thread: has everything written."""
        out = _Parts(self._put)
        try:
            with contextlib.suppress(ConnectionError):  # nobody takes the rest
                write(cast("BinaryIO", out))
                out.flush()
        finally:
            with contextlib.suppress(ConnectionError):
                self._put(None)

    async def first(self, task: asyncio.Task[None]) -> bytes | None:
        """The first part; what went wrong before it is raised."""
        part = await self._next(task)
        if part is None:
            await task
        return part

    async def rest(self, part: bytes | None, task: asyncio.Task[None]) -> AsyncIterator[bytes]:
        """All parts, from the first on."""
        try:
            while part is not None:
                yield part
                part = await self._next(task)
            await task  # a file that is not whole must not look as if it were
        finally:
            self._gone.set()

    async def _next(self, task: asyncio.Task[None]) -> bytes | None:
        while True:
            with contextlib.suppress(queue.Empty):
                return self._parts.get_nowait()
            if task.done():
                return self._parts.get_nowait() if not self._parts.empty() else None
            await asyncio.sleep(0.002)

    def _put(self, part: bytes | None) -> None:
        while not self._gone.is_set():
            with contextlib.suppress(queue.Full):
                return self._parts.put(part, timeout=0.5)
        raise ConnectionError("the client is gone")


class _Parts(io.BufferedIOBase):
    """A file that is only written to, in parts of a useful size."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        super().__init__()
        self._put = put
        self._held = bytearray()
        self._written = 0

    def __del__(self) -> None:
        """Nothing: what was not flushed, because something went wrong, is not to be sent any more."""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Takes something to send."""
        taken = memoryview(data).nbytes
        self._held += data
        self._written += taken
        if len(self._held) >= _EXPORT_PART_BYTES:
            self.flush()
        return taken

    def flush(self) -> None:
        """Sends what there is, in parts of a size: some millions of spans may have come in one piece."""
        held, self._held = memoryview(self._held), bytearray()
        for begin in range(0, len(held), _EXPORT_PART_BYTES):
            self._put(bytes(held[begin : begin + _EXPORT_PART_BYTES]))

    def tell(self) -> int:
        """How much was written."""
        return self._written
