"""Exports of a real run: opened by the tools that they are for, and adding up to what the report says."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import jsonschema
import polars
import pytest
from tests.integration.conftest import GGML_VIZ, Recorded, Sessions
from tests.support import runtimes
from tests.support.browser import open_in_browser, open_in_perfetto

TRACKS = ("graphs", "copies", "splits on CPU", "worker 0", "worker 1")


@pytest.fixture(scope="module")
def recorded(recordings: Sessions) -> Recorded:
    return recordings("llama-simple")


@pytest.fixture(scope="module")
def exported(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("exports")

    def export(form: str, *options: str) -> Path:
        path = folder / f"{'-'.join([form, *options])}.{form}"
        if not path.exists():
            command = [GGML_VIZ, "export", recorded.trace, "--to", form, "-o", path, *options]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""
        return path

    return export


def by_op(recorded: Recorded, key: str) -> dict[str, float]:
    return {op["op"]: op[key] for op in recorded.report["ops"]}


@pytest.mark.parametrize("form", ["chrome", "perfetto"])
def test_perfetto_opens_it(form: str, exported: Any, tmp_path: Path) -> None:
    shown = open_in_perfetto(exported(form), "worker 1", tmp_path / f"{form}.png")
    assert shown.errors == []
    assert "Oops" not in shown.text
    for track in TRACKS:
        assert track in shown.text
    assert "weights" in shown.text


@pytest.mark.parametrize("picture", ["ops", "timeline", "roofline", "memory", "layer"])
def test_a_browser_shows_pictures(picture: str, exported: Any) -> None:
    shown = open_in_browser(exported("svg", "--picture", picture))
    assert shown.errors == []
    assert "llama-simple" in shown.text


def test_chrome_adds_up_to_the_report(recorded: Recorded, exported: Any) -> None:
    events = json.loads(exported("chrome").read_text())["traceEvents"]
    nodes = [event for event in events if event["ph"] == "X" and event.get("tid", 0) >= 1000]
    work_s: dict[str, float] = defaultdict(float)
    wait_s: dict[str, float] = defaultdict(float)
    for event in nodes:
        arguments = event["args"]
        work_s[event["name"]] += (event["dur"] - arguments["inner_us"]) * 1e-6
        wait_s[event["name"]] += (arguments["wait_us"] + arguments["inner_us"]) * 1e-6
    assert work_s == pytest.approx(by_op(recorded, "work_s"), rel=1e-3, abs=1e-6)
    assert wait_s == pytest.approx(by_op(recorded, "wait_s"), rel=1e-3, abs=1e-5)
    graphs = [event for event in events if event.get("cat") == "graph"]
    assert len(graphs) == recorded.report["graphs"]["runs"]
    assert sum(event["args"]["tokens"] for event in graphs) == sum(p["tokens"] for p in recorded.report["phases"])


def test_speedscope_has_its_own_schema(recorded: Recorded, exported: Any) -> None:
    data = json.loads(exported("speedscope").read_text())
    jsonschema.validate(data, json.loads(runtimes.speedscope_schema().read_text()))
    passing, of_threads = data["profiles"]
    assert sum(passing["weights"]) == pytest.approx(sum(by_op(recorded, "seconds").values()))
    ops = [frame["name"] for frame in data["shared"]["frames"]]
    seconds: dict[str, float] = defaultdict(float)
    for stack, weight in zip(passing["samples"], passing["weights"], strict=True):
        seconds[ops[stack[-1]]] += weight
    assert seconds == pytest.approx(by_op(recorded, "seconds"))
    whole = sum(by_op(recorded, "work_s").values()) + sum(by_op(recorded, "wait_s").values())
    assert sum(of_threads["weights"]) == pytest.approx(whole)


def test_polars_reads_parquet(recorded: Recorded, exported: Any) -> None:
    spans = polars.read_parquet(exported("parquet"))
    first_of = {op["op"].split("+")[0]: op for op in recorded.report["ops"]}
    assert spans.height == sum(op["count"] for op in recorded.report["ops"])
    sums = spans.group_by("op").agg(polars.col("wall_ns").sum()).rows()
    for op, wall_ns in sums:
        seconds = sum(row["seconds"] for row in recorded.report["ops"] if row["op"].split("+")[0] == op)
        assert wall_ns * 1e-9 == pytest.approx(seconds, rel=1e-3)
    assert {op for op, _ in sums} == set(first_of)


def test_tables_as_text(recorded: Recorded, exported: Any) -> None:
    runs = json.loads(exported("json", "--table", "runs").read_text())
    assert len(runs) == recorded.report["graphs"]["runs"]
    lines = exported("csv", "--table", "runs").read_text().splitlines()
    assert lines[0].split(",") == list(runs[0])
    assert len(lines) == len(runs) + 1
    decode = json.loads(exported("json", "--table", "runs", "--phase", "decode").read_text())
    assert [run["run"] for run in decode] == [run["run"] for run in runs if run["phase"] == "decode"]
