"""docs/http-api.md names every route and every metric, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ggml_viz.server.app import API, make_app
from ggml_viz.server.security import Security
from ggml_viz.sources.source import Catalog

TEXT = (Path(__file__).parents[2] / "docs/http-api.md").read_text()


@pytest.fixture
def client() -> TestClient:
    return TestClient(make_app(Catalog([]), Security("127.0.0.1", 80)), base_url="http://127.0.0.1")


def test_names_every_route(client: TestClient) -> None:
    for path, ways in client.get("/openapi.json").json()["paths"].items():
        for method in ways:
            assert f"`{method.upper()} {path.removeprefix(API)}`" in TEXT


def test_names_every_metric_and_no_other(client: TestClient) -> None:
    there = set(re.findall(r"^# TYPE (\w+) ", client.get("/metrics").text, re.MULTILINE))
    assert there
    assert set(re.findall(r"`(ggml_viz_\w+)`", TEXT)) == there
