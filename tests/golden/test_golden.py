"""Tiny traces, questions to them, and the answers, side by side.

Each .txt here is a trace in the language of tests/support/tracefile.py, then commands, each with what it must print,
for a terminal of 80 columns without colours. `# KEYS` behind a `--json` command picks keys of what it prints. To write
the answers anew after a wanted change, and review them: UPDATE_GOLDEN=1 pytest tests/golden
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.support.tracefile import trace_from_text

from ggml_viz.cli import main

PROMPT = "$ ggml-viz "
CASES = sorted(Path(__file__).parent.glob("*.txt"))


def ask(question: str, capsys: pytest.CaptureFixture[str]) -> str:
    command, _, keys = question.partition("#")
    assert main(command.split()) == 0
    printed = capsys.readouterr().out
    if not keys:
        return printed
    answer = json.loads(printed)
    return "".join(f"{key}: {json.dumps(_rounded(answer[key]))}\n" for key in keys.split())


def _rounded(value: object) -> object:
    """Without the digits of floats that depend on the order of a sum."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_golden(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    trace, *questions = case.read_text().split(PROMPT)
    (tmp_path / "trace.ggmlviz").write_bytes(trace_from_text(trace))
    monkeypatch.chdir(tmp_path)
    answers = []
    for block in questions:
        question = block.splitlines()[0]
        answers.append(f"{PROMPT}{question}\n{ask(question, capsys)}\n")
    assert answers
    actual = trace + "".join(answers).rstrip("\n") + "\n"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        case.write_text(actual)
    assert actual == case.read_text()
