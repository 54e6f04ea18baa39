"""docs/http-api.md lists every route and every metric.

To write these lists anew: UPDATE_GOLDEN=1 pytest tests/unit/test_http_api_document.py
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ggml_viz.server.app import make_app
from ggml_viz.server.security import Security
from ggml_viz.server.sources import Catalog

DOCUMENT = Path(__file__).parents[2] / "docs" / "http-api.md"


@pytest.fixture
def client() -> TestClient:
    return TestClient(make_app(Catalog([]), Security("127.0.0.1", 80)), base_url="http://127.0.0.1")


def routes(client: TestClient) -> str:
    rows = []
    for path, ways in client.get("/openapi.json").json()["paths"].items():
        for method, way in ways.items():
            given = [
                f"`{parameter['name']}`" if parameter["required"] else f"[`{parameter['name']}`]"
                for parameter in way.get("parameters", [])
                if parameter["in"] == "query"
            ]
            rows.append(f"| {method.upper()} | `{path}` | {', '.join(given)} | {way['summary']} |\n")
    return "\n| | route | query, [not needed] | |\n|---|---|---|---|\n" + "".join(rows) + "\n"


def metrics(client: TestClient) -> str:
    text = client.get("/metrics").text
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    rows = [
        f"| `{name}` | {kinds[name]} | {meaning} |\n"
        for name, meaning in re.findall(r"^# HELP (\w+) (.*)$", text, re.MULTILINE)
    ]
    assert len(rows) == len(kinds) > 10
    return "\n| metric | | |\n|---|---|---|\n" + "".join(rows) + "\n"


@pytest.mark.parametrize(("name", "listed"), [("routes", routes), ("metrics", metrics)])
def test_lists_all(name: str, listed: object, client: TestClient) -> None:
    assert callable(listed)
    wanted = listed(client)
    text = DOCUMENT.read_text()
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    found = re.search(f"{begin}(.*){end}", text, re.DOTALL)
    assert found
    if os.environ.get("UPDATE_GOLDEN") == "1":
        DOCUMENT.write_text(text.replace(found[0], begin + wanted + end))
    assert wanted in DOCUMENT.read_text()


@pytest.mark.parametrize("name", re.findall(r"ggml_viz_\w+", DOCUMENT.read_text()))
def test_names_no_metric_that_there_is_not(name: str, client: TestClient) -> None:
    assert f"# TYPE {name} " in client.get("/metrics").text
