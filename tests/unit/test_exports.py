"""Exports of a trace small enough to know every event."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.support.tracefile import Cursor, trace_from_text
from tests.unit.test_tables import TRACE

from ggml_viz.cli import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "t.ggmlviz"
    path.write_bytes(trace_from_text(TRACE))
    return path


def export(path: Path, form: str, *options: str) -> bytes:
    out = path.with_name("out")
    assert main(["export", str(path), "--to", form, "-o", str(out), *options]) == 0
    return out.read_bytes()


def events(path: Path, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(export(path, "chrome", *options))["traceEvents"]
    return found


def nodes(found: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    return sorted(
        (event["tid"], event["ts"], event["dur"], event["name"])
        for event in found
        if event["ph"] == "X" and event["tid"] >= 1000
    )


def test_chrome(path: Path) -> None:
    found = events(path)
    names = {event["tid"]: event["args"]["name"] for event in found if event["name"] == "thread_name"}
    assert names == {1: "graphs", 2: "copies", 10: "splits on CPU", 1000: "worker 0", 1001: "worker 1"}
    assert nodes(found) == [
        (1000, 110.0, 10.0, "GET_ROWS"),
        (1000, 200.0, 45.0, "RMS_NORM+MUL"),
        (1001, 120.0, 70.0, "GET_ROWS"),
        (1001, 200.0, 30.0, "RMS_NORM+MUL"),
        (1001, 300.0, 20.0, "MUL_MAT"),
    ]
    (product,) = (event for event in found if event["name"] == "MUL_MAT")
    assert product["cat"] == "attn_q"
    assert product["args"] == {
        "tensor": "Qcur-3",
        "role": "attn_q",
        "shape": "32 < 64x32, 64",
        "layer": 3,
        "run": 1,
        "inner_us": 0.0,
        "wait_us": 0.0,
    }
    (graph,) = (event for event in found if event.get("cat") == "graph")
    assert (graph["name"], graph["ts"], graph["dur"], graph["args"]["threads"]) == ("decode", 100.0, 400.0, 2)
    memory = [(event["ts"], event["args"]) for event in found if event["ph"] == "C"]
    assert memory[0] == (0.0, {"weights": 98_000_000})
    assert memory[-1] == (950.0, {"weights": 98_000_000, "compute": 0})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--op", "mul_mat"], ["MUL_MAT"]),
        (["--op", "GET_ROWS", "--op", "MUL_MAT"], ["GET_ROWS", "GET_ROWS", "MUL_MAT"]),
        (["--from", "0.00015", "--until", "0.00025"], ["RMS_NORM+MUL", "RMS_NORM+MUL"]),
        (["--phase", "prefill"], []),
        (["--phase", "decode", "--from", "0.0003"], ["MUL_MAT"]),
    ],
)
def test_a_part(options: list[str], expected: list[str], path: Path) -> None:
    assert sorted(name for *_, name in nodes(events(path, *options))) == expected
    rows = json.loads(export(path, "json", *options))
    assert sum(row["threads"] for row in rows) == len(expected)
    sampled = json.loads(export(path, "speedscope", *options))
    wall_s = sum(sampled["profiles"][0]["weights"])
    assert wall_s == pytest.approx(sum(row["wall_ns"] for row in rows) * 1e-9)


def messages(data: bytes) -> list[tuple[int, Any]]:
    """The fields of a protobuf message: numbers, and values or bytes."""
    cursor, found = Cursor(data), []
    while cursor.at < len(data):
        key = cursor.varint()
        value: Any = cursor.varint()
        if key & 7 == 2:
            cursor.at += value
            value = data[cursor.at - value : cursor.at]
        found.append((key >> 3, value))
    return found


def test_perfetto(path: Path) -> None:
    packets = [dict(messages(body)) for _, body in messages(export(path, "perfetto"))]
    tracks = {}
    for packet in packets:
        if 60 in packet:
            track = dict(messages(packet[60]))
            tracks[track[1]] = track.get(2, b"").decode()
    assert {"graphs", "copies", "splits on CPU", "worker 0", "worker 1", "weights memory"} <= set(tracks.values())
    slices: dict[str, list[int]] = {}
    begins: dict[int, int] = {}
    for packet in packets:
        if 11 not in packet:
            continue
        event = messages(packet[11])
        kind, track = dict(event)[9], dict(event)[11]
        if kind == 1:
            begins[track] = packet[8]
        elif kind == 2 and tracks[track].startswith("worker"):
            slices.setdefault(tracks[track], []).append(packet[8] - begins[track])
    assert slices == {"worker 0": [10_000, 45_000], "worker 1": [70_000, 30_000, 20_000]}


def test_a_table_as_text(path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["export", str(path), "--to", "csv", "--table", "buffers", "-o", "-"]) == 0
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert lines[1:] == ["0,1,CPU_Mapped,weights,98000000,0,,True", "0,2,CPU,compute,30000,1000,950000,True"]


@pytest.mark.parametrize("form", ["chrome", "perfetto", "speedscope", "csv", "json", "parquet", "dot", "svg"])
def test_a_trace_of_nothing(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.ggmlviz"
    path.write_bytes(trace_from_text("process\ndone ended"))
    status = main(["export", str(path), "--to", form, "-o", str(tmp_path / "out")])
    # There is no graph to draw for Graphviz; all else can say that there is nothing.
    assert status == (2 if form == "dot" else 0)
    assert (tmp_path / "out").exists() == (status == 0)
    assert capsys.readouterr().err == ("ggml-viz: the trace has no graph\n" if form == "dot" else "")


def test_what_cannot_be_written_is_told_and_leaves_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = path.parent / "no" / "such" / "folder"
    assert main(["export", str(path), "--to", "chrome", "-o", str(out)]) == 1
    assert "cannot write" in capsys.readouterr().err
    assert main(["export", str(path), "--to", "chrome", "-o", "/dev/full/x"]) == 1
    assert main(["export", str(path), "--to", "chrome", "--from", "2", "--until", "1", "-o", "x"]) == 2
    with pytest.raises(SystemExit):
        main(["export", str(path), "--to", "nothing", "-o", "x"])
    assert sorted(os.listdir(path.parent)) == ["t.ggmlviz"]
