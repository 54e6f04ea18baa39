"""The dashboard in a real Chromium: what stands on its pages is what `report --json` says."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import GGML_VIZ, Recorded, Sessions
from tests.support.dashboard import Looked, Serving, looked_at, serving
from tests.support.generating import generating

PAGES = ("overview", "timeline", "graph", "memory", "threads", "ops", "compare", "sql")

# Generates until it is told to end.


@pytest.fixture(scope="module")
def recorded(recordings: Sessions) -> Recorded:
    return recordings("xllamacpp")


@pytest.fixture(scope="module")
def served(recorded: Recorded, recordings: Sessions) -> Iterator[Serving]:
    other = recordings("llama-simple").trace
    with serving(recorded.trace, other) as server:
        server.source("trace", "ready")
        yield server


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    """A model that generates under `ggml-viz run`."""
    trace = tmp_path_factory.mktemp("live") / "t.ggmlviz"
    process = subprocess.Popen([GGML_VIZ, "run", "--quiet", "-o", trace, "--", *generating()], stdin=subprocess.PIPE)
    yield process
    process.communicate(timeout=60)


def figures(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text.replace(",", ""))]


def fact(looked: Looked, name: str) -> list[float]:
    """The numbers of one of the facts at the top of the overview."""
    found = looked.page.locator(".facts > div", has=looked.page.locator("dt", has_text=re.compile(rf"^\s*{name}")))
    return figures(found.first.locator("dd b").first.inner_text())


def row_of(looked: Looked, name: str) -> str:
    return looked.page.locator("tr", has_text=re.compile(rf"^\s*{re.escape(name)}\b")).first.inner_text()


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1280, False), (3840, False)])
def test_every_page_can_be_used_by_all(
    served: Serving, recorded: Recorded, tmp_path: Path, width: int, dark: bool
) -> None:
    with looked_at(f"{served.url}#/{recorded.trace.stem}/overview", width, 900, dark) as looked:
        for number, name in enumerate(PAGES, 1):
            looked.page.keyboard.press(str(number))
            looked.page.wait_for_url(re.compile(f"/{name}"))
            looked.page.wait_for_load_state("networkidle")
            looked.page.wait_for_timeout(400)
            looked.page.screenshot(path=tmp_path / f"{name}-{width}.png")
            assert looked.faults() == [], name
            assert looked.overflow() <= 0, name
        assert looked.errors == []


def test_overview(served: Serving, recorded: Recorded) -> None:
    report = recorded.report
    with looked_at(f"{served.url}#/{recorded.trace.stem}/overview") as looked:
        looked.page.get_by_text("Where the time goes").wait_for()
        for phase in report["phases"]:
            if phase["tokens_per_second"]:
                assert fact(looked, phase["phase"]) == [pytest.approx(phase["tokens_per_second"], abs=0.051)]
        peak = report["memory"]["peak_bytes"] / 1e6
        assert fact(looked, "memory")[0] == pytest.approx(peak, abs=max(0.5, peak * 0.005))
        assert fact(looked, "lost")[0] == report["trace"]["lost"] == 0
        text = looked.page.locator("main").inner_text()
        first = report["ops"][0]
        assert re.search(rf"{first['op']}[\s\S]{{0,40}}?{first['share']:.0%}".replace("%", r"\s*%"), text)
        for finding in report["findings"][:2]:
            assert finding["sentence"] in text
        # How one knows: what a figure means is one key away.
        assert "captured" in text.lower()


def test_ops_and_threads(served: Serving, recorded: Recorded) -> None:
    report = recorded.report
    with looked_at(f"{served.url}#/{recorded.trace.stem}/ops") as looked:
        looked.page.get_by_text("GFLOP/s").first.wait_for()
        for op in report["ops"][:4]:
            assert f"{op['count']}" in row_of(looked, op["op"]).replace(",", "").replace("\u202f", "")
        looked.page.keyboard.press("5")
        looked.page.get_by_text("Each thread").wait_for()
        text = looked.page.locator("main").inner_text()
        for thread in report["threads"]:
            assert re.search(rf"{round(100 * thread['busy'])}\s*%", text)


def test_timeline_shows_a_node_and_what_is_known_of_it(served: Serving, recorded: Recorded) -> None:
    source = recorded.trace.stem
    with looked_at(f"{served.url}#/{source}/timeline") as looked:
        page = looked.page
        page.locator("main canvas").first.wait_for()
        page.keyboard.press("/")
        page.keyboard.type("blk.7.ffn_down")
        page.locator("main [role=option]").first.wait_for()
        page.keyboard.press("Enter")
        page.get_by_text("blk.7.ffn_down.weight").first.wait_for()
        (match,) = served.get(f"/sources/{source}/search?q=blk.7.ffn_down&limit=1")["matches"]
        assert (match["role"], match["layer"]) == ("ffn_down", 7)
        text = page.locator("main").inner_text()
        assert "MUL_MAT ffn_down, layer 7" in text
        # Both threads worked on it.
        assert "GFLOP/s" in text
        page.get_by_role("button", name="Frame").click()
        page.wait_for_url(re.compile("view="))
        # The address holds the view: it can be sent to somebody.
        again = page.url
        page.goto("about:blank")
        page.goto(again)
        page.locator("main canvas").first.wait_for()
        assert page.url == again


def test_graph_and_memory(served: Serving, recorded: Recorded) -> None:
    with looked_at(f"{served.url}#/{recorded.trace.stem}/graph") as looked:
        looked.page.get_by_text("layer 7", exact=True).click()
        looked.page.get_by_text(re.compile(r"ffn_down")).first.wait_for()
        looked.page.keyboard.press("4")
        looked.page.get_by_text("Buffers over time").wait_for()
        text = looked.page.locator("main").inner_text()
        for use in recorded.report["memory"]["buffers"]:
            if use["usage"] == "weights":
                assert f"{use['bytes'] / 1e6:.3g}" in text


def test_sql_and_compare(served: Serving, recorded: Recorded, tmp_path: Path) -> None:
    with looked_at(f"{served.url}#/{recorded.trace.stem}/sql") as looked:
        looked.page.get_by_role("textbox").fill("SELECT count(*) AS runs FROM runs")
        looked.page.keyboard.press("Control+Enter")
        cell = looked.page.get_by_role("cell", name=str(recorded.report["graphs"]["runs"]), exact=True)
        cell.first.wait_for()
        looked.page.get_by_role("textbox").fill(f"COPY runs TO '{tmp_path / 'stolen.csv'}'")
        looked.page.keyboard.press("Control+Enter")
        looked.page.get_by_role("alert").first.wait_for()
        assert not (tmp_path / "stolen.csv").exists()
        looked.page.keyboard.press("Escape")
        looked.page.goto(f"{served.url}#/{recorded.trace.stem}/compare")
        looked.page.get_by_text("before", exact=True).first.wait_for()


def test_live_figures_controls_and_reconnecting(
    live: subprocess.Popen[bytes], tmp_path: Path, recorded: Recorded
) -> None:
    with serving("--all", "--folder", tmp_path) as server:
        source = server.source("live", "running")
        port = server.port
        with looked_at(f"{server.url}#/{source['id']}/overview") as looked:
            page = looked.page
            page.get_by_text("Where the time goes").wait_for()
            assert fact(looked, "now") != []
            shown = fact(looked, "decode")[0]
            said = _decode(server, source["id"])
            assert shown == pytest.approx(said, rel=0.3)
            for name in ("timeline", "threads", "memory", "graph"):
                page.keyboard.press(str(PAGES.index(name) + 1))
                page.wait_for_url(re.compile(f"/{name}"))
                page.wait_for_timeout(1500)
                page.screenshot(path=tmp_path / f"live-{name}.png")
                assert looked.faults() == [], name
            page.keyboard.press("1")
            page.get_by_role("button", name="Pause").click()
            page.get_by_role("button", name="Resume").wait_for()
            assert server.source("live", "paused")["id"] == source["id"]
            page.get_by_role("button", name="Resume").click()
            page.get_by_role("button", name="Pause").wait_for()
            assert looked.errors == []
            page.keyboard.press("2")
            page.locator("main canvas").first.wait_for()
            server.process.kill()
            page.get_by_text(re.compile("connection to the server is lost")).wait_for()
            time.sleep(1.0)
            # Started again, it has what the rings still hold, and the page goes on by itself.
            with serving("--all", port=port) as again:
                page.get_by_text(re.compile("connection to the server is lost")).wait_for(state="detached")
                assert again.source("live", "running")["id"] == source["id"]
                page.wait_for_timeout(1500)
                page.screenshot(path=tmp_path / "live-again.png")
                _no_gap(again, source["id"])


def _decode(server: Serving, source: str) -> float:
    phases: list[dict[str, Any]] = server.get(f"/sources/{source}/report")["phases"]
    return float(next(phase["tokens_per_second"] for phase in phases if phase["phase"] == "decode"))


def _no_gap(server: Serving, source: str) -> None:
    """From the oldest record that was still there up to now, graphs follow each other without a hole."""
    report = server.get(f"/sources/{source}/report")
    assert report["trace"]["lost"] == 0
    rows = server.get(f"/sources/{source}/tables/runs?limit=1000")
    run = rows["columns"].index("run")
    numbers = sorted(row[run] for row in rows["rows"])
    assert len(numbers) > 10
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
