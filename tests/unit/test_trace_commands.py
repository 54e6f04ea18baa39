"""`report` and `info` as a user meets them: exit statuses, messages, JSON that parses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.tracefile import trace_from_text

from ggml_viz.cli import main

TINY = """
process pid=3 command=vad
graph 1
  node conv MUL_MAT f32 [64,1]
run 1 graph=1 at=10 for=100
exec 0 run=1 at=10 work=100
done ended
"""


@pytest.fixture
def whole(tmp_path: Path) -> str:
    path = tmp_path / "whole.ggmlviz"
    path.write_bytes(trace_from_text(TINY))
    return str(path)


@pytest.fixture
def cut(tmp_path: Path) -> str:
    path = tmp_path / "cut.ggmlviz"
    path.write_bytes(trace_from_text(TINY)[:-1])
    return str(path)


@pytest.mark.parametrize("command", ["report", "info"])
def test_what_is_no_trace_is_one_message(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "model.gguf"
    wrong.write_bytes(b"GGUF" + bytes(100))
    for path, message in (
        (wrong, "not a ggml-viz trace"),
        (tmp_path / "missing", "No such file"),
        (tmp_path, "directory"),
    ):
        assert main([command, str(path)]) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert message in printed.err.splitlines()[0]
        assert str(path) in printed.err


def test_a_cut_trace_is_reported_as_far_as_it_goes(cut: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", cut]) == 0
    assert "MUL_MAT" in (printed := " ".join(capsys.readouterr().out.split()))
    assert "the file is cut" in printed


def test_verify_tells_by_its_exit_status(whole: str, cut: str) -> None:
    assert main(["info", cut]) == 0
    assert main(["info", "--verify", cut]) == 1
    assert main(["info", "--verify", whole]) == 0


def test_info_as_json(cut: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json", cut]) == 0
    contents = json.loads(capsys.readouterr().out)
    assert contents["schema"] == 1
    assert contents["readable_bytes"] < contents["file_bytes"] == Path(cut).stat().st_size
    assert contents["damage"].startswith("cut: ")
    assert contents["processes"][0]["records"] == contents["records"] == 2
    assert [row["count"] for row in contents["chunks"] if row["kind"] == "RECS"] == [1]


def test_top_must_be_a_number_of_ops(whole: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--top", "0", whole]) == 2
    assert "--top" in capsys.readouterr().err
    assert main(["report", "--top", "many", whole]) == 2


def test_json_can_be_piped(whole: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--json", whole]) == 0
    assert json.loads(capsys.readouterr().out)["graphs"] == {"runs": 1, "definitions": 1, "nodes": 1}
