"""The server's routes on tiny traces: what each answers, that figures are the commands', and how it refuses."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient
from tests.support.tracefile import trace_from_text
from tests.unit.test_tables import TRACE

from ggml_viz.cli import main
from ggml_viz.server import limits
from ggml_viz.server.answers import ApiError
from ggml_viz.server.app import API, make_app
from ggml_viz.server.schemas import SCHEMAS
from ggml_viz.server.security import HEADERS, Security, is_loopback, is_token
from ggml_viz.sources.encode import encode
from ggml_viz.sources.source import Catalog
from ggml_viz.sources.traces import TraceFiles

TOKEN = "a-token-of-enough-characters"
ADDRESS = "http://127.0.0.1:8080"
HERE = f"{API}/sources/before"
# Every route with GET, by the path in the document, as asked for here, and the schema that its answer has.
ROUTES = {
    "/session": ("", "Session"),
    "/sources": ("", "Sources"),
    "/sources/{id}": ("", "Source"),
    "/sources/{id}/report": ("?from_s=0&until_s=1", "Report"),
    "/sources/{id}/series": ("?columns=7", "Series"),
    "/sources/{id}/now": ("", "Now"),
    "/sources/{id}/timeline": ("", "Timeline"),
    "/sources/{id}/tile": ("?from_s=0&until_s=1&columns=10&lanes=0,1", None),
    "/sources/{id}/span": ("?lane=1024&run=1&node=0&begin_s=0.00011", "Span"),
    "/sources/{id}/search": ("?q=norm", "Matches"),
    "/sources/{id}/occurrence": ("?process=0&graph=1&node=0&after_s=0", "Occurrence"),
    "/sources/{id}/graphs": ("", "Graphs"),
    "/sources/{id}/graphs/{process}/{graph}": ("", "Layers"),
    "/sources/{id}/graphs/{process}/{graph}/layers/{layer}": ("", "Layer"),
    "/sources/{id}/memory": ("", "Memory"),
    "/sources/{id}/arena": ("?process=0&graph=1&placement=1&buffer=2", "Arena"),
    "/sources/{id}/tables": ("", "Tables"),
    "/sources/{id}/tables/{name}": ("", "Rows"),
    "/sources/{id}/export": ("?format=csv&table=runs", None),
    "/compare": ("?before=before&after=after", "Diff"),
}
VALUES = {"id": "before", "process": "0", "graph": "1", "layer": "3", "name": "spans"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "before.ggmlviz").write_bytes(trace_from_text(TRACE))
    (folder / "after.ggmlviz").write_bytes(trace_from_text(TRACE.replace("work=70 wait=10", "work=75 wait=5")))
    return folder


def served(folder: Path, security: Security, **more: Any) -> Iterator[TestClient]:
    catalog = Catalog([TraceFiles([folder / "before.ggmlviz", folder / "after.ggmlviz"])])
    # As uvicorn does: what is a fault is an answer with 500, and the test sees it.
    with TestClient(make_app(catalog, security), base_url=ADDRESS, raise_server_exceptions=False, **more) as client:
        yield client
    catalog.close()


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    yield from served(folder, Security("127.0.0.1", 8080))


@pytest.fixture
def locked(folder: Path) -> Iterator[TestClient]:
    yield from served(folder, Security("127.0.0.1", 8080, TOKEN))


def check(data: Any, schema: str) -> None:
    document = {"components": {"schemas": SCHEMAS}, "$ref": f"#/components/schemas/{schema}"}
    jsonschema.Draft202012Validator(document).validate(data)


def printed(capsys: pytest.CaptureFixture[str], *words: str | Path) -> Any:
    assert main([str(word) for word in words]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("path", ROUTES)
def test_every_route_answers_as_its_schema_says(path: str, client: TestClient) -> None:
    query, schema = ROUTES[path]
    answer = client.get(API + path.format_map(VALUES) + query)
    assert answer.status_code == 200, answer.text
    if schema is not None:
        check(answer.json(), schema)


def test_figures_are_those_of_the_commands(
    client: TestClient, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = folder / "before.ggmlviz", folder / "after.ggmlviz"
    report = client.get(f"{HERE}/report").json()
    assert report == printed(capsys, "report", before, "--json")
    check(report, "Report")
    compared = client.get(f"{API}/compare?before=before&after=after").json()
    assert compared == printed(capsys, "diff", before, after, "--json")


def test_sql_answers_as_the_command_does(client: TestClient, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = "SELECT op, sum(wall_ns) AS ns FROM spans GROUP BY op ORDER BY ns DESC"
    answer = client.post(f"{HERE}/sql", json={"query": query})
    assert answer.status_code == 200, answer.text
    check(answer.json(), "Answer")
    rows = [dict(zip(answer.json()["columns"], row, strict=True)) for row in answer.json()["rows"]]
    assert rows == printed(capsys, "query", folder / "before.ggmlviz", query, "--format", "json")
    for wrong in ("SELECT nothing FROM runs", "DELETE FROM runs", ""):
        answer = client.post(f"{HERE}/sql", json={"query": wrong})
        assert answer.status_code == 400
        check(answer.json(), "Error")


def test_rows_of_a_table_can_be_paged(client: TestClient) -> None:
    whole = client.get(f"{HERE}/tables/spans").json()
    assert whole["total"] == len(whole["rows"]) == 3
    second = client.get(f"{HERE}/tables/spans?offset=1&limit=1").json()
    assert second["rows"] == whole["rows"][1:2]
    assert client.get(f"{HERE}/tables/spans?offset=99").json()["rows"] == []
    listed = {table["name"]: table["rows"] for table in client.get(f"{HERE}/tables").json()["tables"]}
    assert listed["spans"] == 3


def test_a_tile_has_the_request_s_window(client: TestClient) -> None:
    tile = client.get(f"{HERE}/tile?from_s=0.0001&until_s=0.0005&columns=32").content
    magic, _, from_s, until_s, latest_s, columns, lanes, kinds, _, _ = struct.unpack_from("<IIdddIIIIQ", tile)
    assert (magic, from_s, until_s, columns, kinds) == (0x31545647, 0.0001, 0.0005, 32, 5)
    assert latest_s > 0
    assert lanes == len(client.get(f"{HERE}/timeline").json()["lanes"])


@pytest.mark.parametrize("kind", ["chrome", "perfetto", "speedscope", "csv", "ggmlviz"])
def test_exports_are_downloads(kind: str, client: TestClient, folder: Path) -> None:
    answer = client.get(f"{HERE}/export?format={kind}")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith('attachment; filename="before.')
    assert answer.content
    if kind == "ggmlviz":
        assert answer.content == (folder / "before.ggmlviz").read_bytes()


@pytest.mark.parametrize(
    ("status", "method", "path", "body"),
    [
        (404, "GET", f"{API}/sources/nothing/report", None),
        (404, "GET", f"{HERE}/graphs/0/9", None),
        (404, "GET", f"{HERE}/graphs/9/1", None),
        (404, "GET", f"{HERE}/graphs/0/1/layers/77", None),
        (404, "GET", f"{HERE}/arena?process=0&graph=1&placement=8&buffer=2", None),
        (404, "GET", f"{HERE}/span?lane=99999999&run=1&node=0", None),
        (404, "GET", f"{HERE}/occurrence?process=0&graph=1&node=0&after_s=99", None),
        (404, "GET", f"{API}/compare?before=before&after=nothing", None),
        (404, "GET", "/nothing", None),
        (404, "GET", "/assets/nothing.js", None),
        (400, "GET", f"{HERE}/series?columns=0", None),
        (400, "GET", f"{HERE}/series?columns=1&columns=2", None),
        (400, "GET", f"{HERE}/series?colour=red", None),
        (400, "GET", f"{HERE}/report?from_s=2&until_s=1", None),
        (400, "GET", f"{HERE}/report?from_s=nan", None),
        (400, "GET", f"{HERE}/tile", None),
        (400, "GET", f"{HERE}/search?q=", None),
        (400, "GET", f"{HERE}/tables/secrets", None),
        (400, "GET", f"{HERE}/export?format=exe", None),
        (400, "GET", f"{HERE}/occurrence?process=0&graph=1&node=0", None),
        (400, "POST", f"{HERE}/sql", b"{"),
        (400, "POST", f"{HERE}/sql", b"[]"),
        (400, "POST", f"{HERE}/sql", b'{"query": 1}'),
        (400, "POST", f"{HERE}/sql", b'{"query": "FROM runs", "more": 1}'),
        (400, "POST", f"{HERE}/sql", b"[" * 60_000),
        (400, "POST", f"{HERE}/sql", b'{"query": "\xff"}'),
        (400, "POST", f"{HERE}/control", b'{"action": "explode"}'),
        (400, "POST", f"{HERE}/control", b'{"action": "detail"}'),
        (409, "POST", f"{HERE}/control", b'{"action": "pause"}'),
        (405, "DELETE", HERE, None),
        (405, "POST", f"{HERE}/report", b"{}"),
        (413, "POST", f"{HERE}/sql", b'{"query": "' + b" " * limits.MAX_BODY_BYTES + b'"}'),
    ],
    ids=lambda value: value[:60] if isinstance(value, (str, bytes)) else None,
)
def test_what_is_wrong_is_said_in_json(
    status: int, method: str, path: str, body: bytes | None, client: TestClient
) -> None:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    answer = client.request(method, path, content=body, headers=headers)
    assert answer.status_code == status, answer.text
    check(answer.json(), "Error")
    assert answer.json()["error"]


def test_a_body_has_to_call_itself_json(client: TestClient) -> None:
    # Else a page of another origin could have a browser send it without asking first.
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = client.post(f"{HERE}/sql", content=b'{"query": "FROM runs"}', headers={"Content-Type": kind})
        assert answer.status_code == 415
        check(answer.json(), "Error")


def test_a_fault_is_said_without_its_details(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ggml_viz.sources.traces.graph_view.graph_list", lambda trace: {}["a secret of the implementation"]
    )
    answer = client.get(f"{HERE}/graphs")
    assert answer.status_code == 500
    check(answer.json(), "Error")
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/openapi.json", f"{HERE}/report", f"{HERE}/graphs/0/9", "/nothing", "/favicon.svg"]
)
def test_security_headers_are_on_every_answer(path: str, client: TestClient, locked: TestClient) -> None:
    for answer in (client.get(path), locked.get(path), client.get(path, headers={"Host": "evil.example"})):
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert "cache-control" in answer.headers
    assert "'unsafe" not in HEADERS["Content-Security-Policy"]


def test_the_document_names_every_route(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    named = {(method.upper(), path) for path, ways in document["paths"].items() for method in ways}
    posts = {("POST", f"{API}/session")} | {("POST", f"{API}/sources/{{id}}/{name}") for name in ("sql", "control")}
    root = {("GET", "/metrics"), ("GET", "/openapi.json")}
    assert named == {("GET", API + path) for path in ROUTES} | posts | root
    identifiers = [way["operationId"] for ways in document["paths"].values() for way in ways.values()]
    assert len(set(identifiers)) == len(identifiers)
    schemas = document["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document))) <= schemas.keys()
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for path, ways in document["paths"].items():
        for way in ways.values():
            inside = {given["name"] for given in way.get("parameters", []) if given["in"] == "path"}
            assert inside == set(re.findall(r"{(\w+)}", path))


def test_the_token_opens_and_nothing_else_does(locked: TestClient) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, {"Cookie": "x=y"}):
        answer = locked.get(f"{API}/sources", headers=headers)
        assert answer.status_code == 401
        check(answer.json(), "Error")
        assert TOKEN not in answer.text
    assert locked.get(f"{API}/sources?token={TOKEN}").status_code == 401
    assert locked.get("/").status_code == 200
    assert locked.get(f"{API}/session").json() | {"version": ""} == {
        "authenticated": False,
        "token_needed": True,
        "version": "",
    }
    assert locked.get(f"{API}/sources", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200


def test_bringing_the_token_sets_a_cookie_that_opens(locked: TestClient) -> None:
    wrong = locked.post(f"{API}/session", json={"token": "wrong"})
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers
    answer = locked.post(f"{API}/session", json={"token": TOKEN})
    assert answer.json()["authenticated"]
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    assert locked.get(f"{API}/sources").status_code == 200
    assert locked.get(f"{API}/session").json()["authenticated"]


def test_who_guesses_tokens_has_to_wait(locked: TestClient) -> None:
    statuses = [locked.post(f"{API}/session", json={"token": f"guess {n}"}).status_code for n in range(30)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    answer = locked.get(f"{API}/sources", headers={"Authorization": "Bearer another"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_the_socket_takes_no_stranger(client: TestClient, locked: TestClient) -> None:
    def refused(client: TestClient, headers: dict[str, str]) -> None:
        with (
            pytest.raises(Exception) as caught,  # noqa: PT011
            client.websocket_connect(f"{API}/socket", headers=headers),
        ):
            pass
        assert type(caught.value).__name__ == "WebSocketDisconnect"

    refused(locked, {})
    refused(client, {"Origin": "http://evil.example"})
    refused(client, {"Host": "evil.example"})
    with client.websocket_connect(f"{API}/socket", headers={"Origin": ADDRESS, "Host": "127.0.0.1:8080"}) as socket:
        socket.send_json({"type": "watch", "source": None})
        said = socket.receive_json()
        assert [source["id"] for source in said["sources"]] == ["before", "after"]
        socket.send_json({"type": "view", "source": "before", "request": 5, "from_s": 0, "until_s": 1, "columns": 9})
        assert struct.unpack_from("<II", socket.receive_bytes()) == (0x31545647, 5)
        for wrong in ({}, [], {"type": "view"}, {"type": "nothing"}, {"type": "follow", "source": 1, "request": 2}):
            socket.send_json(wrong)
            assert socket.receive_json()["type"] == "error"


# --- security.py by itself ---


def heads(**headers: str) -> Headers:
    return Headers({name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LOCALHOST.:1", "[::1]:8080", "viz.example:80"])
def test_names_of_its_own(host: str) -> None:
    Security("127.0.0.1", 8080, allowed_hosts=["viz.example"]).check_host(heads(host=host))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "localhost@evil.example",
        "a b",
        "",
        "127.0.0.1:x",
        "[::2]",
    ],
)
def test_names_of_others(host: str) -> None:
    with pytest.raises(ApiError) as caught:
        Security("127.0.0.1", 8080).check_host(heads(host=host))
    assert caught.value.status in (400, 403)


def test_a_request_for_no_host_or_two_is_refused() -> None:
    security = Security("127.0.0.1", 8080)
    for raw in ([], [(b"host", b"127.0.0.1"), (b"host", b"127.0.0.1")]):
        with pytest.raises(ApiError):
            security.check_host(Headers(raw=raw))


def test_bound_to_all_addresses_it_goes_by_any_number_but_by_no_foreign_name() -> None:
    security = Security("0.0.0.0", 8080, TOKEN)
    security.check_host(heads(host="192.168.0.7:8080"))
    with pytest.raises(ApiError):
        security.check_host(heads(host="evil.example"))


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("http://localhost", "localhost:80", True),
        ("https://viz.example", "viz.example:443", True),
        ("http://127.0.0.1:8081", "127.0.0.1:8080", False),
        ("http://localhost:8080", "127.0.0.1:8080", False),
        ("https://127.0.0.1", "127.0.0.1:80", False),
        ("http://evil.example", "127.0.0.1:8080", False),
        ("null", "127.0.0.1:8080", False),
        ("", "127.0.0.1:8080", False),
        ("http://127.0.0.1:8080.evil.example", "127.0.0.1:8080", False),
    ],
)
def test_origins(origin: str, host: str, own: bool) -> None:
    security, headers = Security("127.0.0.1", 8080), heads(origin=origin, host=host)
    if own:
        security.check_origin(headers)
    else:
        with pytest.raises(ApiError):
            security.check_origin(headers)


@pytest.mark.parametrize(("site", "own"), [("same-origin", True), ("none", True), ("cross-site", False), ("x", False)])
def test_what_browsers_say_of_the_page(site: str, own: bool) -> None:
    security = Security("127.0.0.1", 8080)
    if own:
        security.check_site(heads(sec_fetch_site=site))
    else:
        with pytest.raises(ApiError):
            security.check_site(heads(sec_fetch_site=site))


def test_cookies_are_not_made_up() -> None:
    security = Security("127.0.0.1", 8080, TOKEN)
    name, value = security.cookie_name, security.cookie
    assert security.is_allowed(heads(cookie=f"a=b; {name}={value}"), "")
    for cookie in (f"{name}={value}x", f"{name}=", f"{name}={TOKEN}", f"other={value}", "\x00;;=", f"{name}=é"):
        assert not security.is_allowed(heads(cookie=cookie), "")
    # Made from the token: another token, another cookie.
    assert not Security("127.0.0.1", 8080, TOKEN + "x").is_allowed(heads(cookie=f"{name}={value}"), "")


def test_wrong_tokens_are_counted_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    security = Security("127.0.0.1", 8080, TOKEN)
    now = 1000.0
    monkeypatch.setattr("ggml_viz.server.security.time.monotonic", lambda: now)
    assert not any(security.is_token("wrong", "a") for _ in range(20))
    with pytest.raises(ApiError) as caught:
        security.is_token("wrong", "a")
    assert caught.value.status == 429
    assert security.is_token(TOKEN, "b")
    now += 61
    assert security.is_token(TOKEN, "a")


def test_what_can_be_a_token_and_what_only_this_machine_reaches() -> None:
    assert is_token(TOKEN)
    assert not any(map(is_token, ("", "short", "with a space in it, but long", "ключ-достаточной-длины")))
    assert all(map(is_loopback, ("127.0.0.1", "127.0.0.2", "localhost", "::1", "[::1]")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "localhost.example", "")))


def test_json_has_no_word_for_what_is_no_number() -> None:
    assert json.loads(encode({"a": float("nan"), "b": [float("inf"), 1.5]})) == {"a": None, "b": [None, 1.5]}
