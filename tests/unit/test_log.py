"""Messages: how important ones go where, and what the agent says."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ggml_viz import log
from ggml_viz.cli import main
from ggml_viz.errors import UserError
from ggml_viz.settings import Logging

LEVELS = ("debug", "info", "warning", "error")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    log.set_up(Logging())


@pytest.mark.parametrize("level", LEVELS)
def test_levels(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(Logging(level=level))  # type: ignore[arg-type]
    for name in LEVELS:
        logging.getLogger("ggml_viz.part").log(logging.getLevelName(name.upper()), "this is %s", name)
    assert capsys.readouterr().err.splitlines() == [
        f"ggml-viz: this is {name}" for name in LEVELS[LEVELS.index(level) :]
    ]


def test_a_file_gets_everything_with_the_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ä.log"
    for _ in range(2):  # it is added to
        assert main(["report", "--log-file", str(path), str(tmp_path / "none")]) == 1
    printed = capsys.readouterr().err
    message = printed.splitlines()[0].removeprefix("ggml-viz: ")
    assert printed.count(message) == 2, "each printed once"
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ERROR " + re.escape(message), line)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the log cannot be written") as caught:
        log.set_up(Logging(file=tmp_path / "no" / "folder"))
    assert caught.value.exit_status == 2


def test_what_the_agent_says(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(Logging(level="info"))
    for level, text in enumerate(("hooked", "not seen \x1b[31m", "distorting", "from a later version")):
        log.agent_message(level, text, 42)
    assert capsys.readouterr().err == (
        "ggml-viz: pid 42: hooked\n"
        "ggml-viz: pid 42: not seen �[31m\n"
        "ggml-viz: pid 42: distorting\n"
        "ggml-viz: pid 42: from a later version\n"
    )
    log.set_up(Logging())
    log.agent_message(0, "hooked", 42)
    log.agent_message(2, "distorting", 42)
    assert capsys.readouterr().err == "ggml-viz: pid 42: distorting\n"
    log.set_up(Logging(level="debug", agent=False))
    log.agent_message(2, "distorting", 42)
    assert capsys.readouterr().err == ""


def test_an_unknown_variable_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GGML_VIZ_DETIAL", "op")
    assert main(["agent-path"]) == 0
    assert "did you mean GGML_VIZ_DETAIL" in capsys.readouterr().err
    assert main(["agent-path", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
