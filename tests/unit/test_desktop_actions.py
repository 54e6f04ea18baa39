"""What the desktop offers by name, what it remembers, and how it asks without waiting."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from imgui_bundle import imgui

from ggml_viz.desktop.actions import Action, key_chord_text
from ggml_viz.desktop.asking import Asker, Question
from ggml_viz.desktop.command_palette import matching
from ggml_viz.desktop.preferences import LARGEST, Preferences
from ggml_viz.desktop.sources_menu import words_of
from ggml_viz.errors import UserError

PATIENCE_S = 10


def nothing() -> None:
    pass


def test_shortcuts_are_said_as_people_write_them() -> None:
    assert key_chord_text(int(imgui.Key.mod_ctrl) | int(imgui.Key.mod_shift) | int(imgui.Key.tab)) == "Ctrl+Shift+Tab"
    assert key_chord_text(int(imgui.Key.mod_ctrl) | int(imgui.Key.equal)) == "Ctrl++"
    assert key_chord_text(int(imgui.Key.f1)) == "F1"


def test_the_palette_finds_by_parts_of_names_and_menus() -> None:
    actions = [
        Action("View", "Usual text", nothing),
        Action("View/Theme", "Dark", nothing),
        Action("File", "Open …", nothing),
        Action("File", "Close", nothing, is_possible=False),
        Action("Capture", "Reopen", nothing),
    ]
    assert [action.name for action in matching(actions, "theme d")] == ["Dark"]
    assert [action.name for action in matching(actions, "open")] == ["Open …", "Reopen"]
    assert matching(actions, "close") == []
    assert len(matching(actions, "")) == 4


def test_what_is_remembered(tmp_path: Path) -> None:
    preferences = Preferences(theme="light")
    preferences.scale_fonts(1.5)
    for number in range(20):
        preferences.opened(tmp_path / f"{number}.ggmlviz")
    preferences.opened(tmp_path / "12.ggmlviz")
    preferences.bookmark("a", [3.0, 1.0])
    preferences.save(tmp_path)
    again = Preferences.load(tmp_path)
    assert again == preferences
    assert [Path(path).stem for path in again.recent[:3]] == ["12", "19", "18"]
    assert len(again.recent) == 12
    assert again.bookmarks == {"a": [1.0, 3.0]}


@pytest.mark.parametrize("content", ["", "[]", "{", '{"theme": "pink", "font_scale": "x"}', '{"bookmarks": [1]}', "\0"])
def test_what_makes_no_sense_is_not_remembered(tmp_path: Path, content: str) -> None:
    (tmp_path / "desktop.json").write_text(content)
    assert Preferences.load(tmp_path) == Preferences()


def test_text_stays_readable(tmp_path: Path) -> None:
    (tmp_path / "desktop.json").write_text(json.dumps({"font_scale": 1000}))
    assert Preferences.load(tmp_path).font_scale == LARGEST


def test_a_folder_that_cannot_be_written_is_no_reason_to_complain(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    Preferences().save(tmp_path / "file")


def test_a_source_in_a_line() -> None:
    assert words_of({"name": "a", "kind": "trace", "command": "x", "state": "ready"}) == "a"
    live = {"name": "pid 1", "kind": "live", "command": "llama-cli", "state": "running"}
    assert words_of(live) == "pid 1 · llama-cli · live"
    assert words_of({}) == ""


class Answers:
    """A question whose answers are held back."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.asker = Asker(self.woken.set)
        self.question: Question[int] = Question(self.asker)
        self.go = threading.Event()
        self.asked: list[int] = []

    def ask(self, number: int) -> int | None:
        def make() -> int:
            self.asked.append(number)
            assert self.go.wait(PATIENCE_S)
            if number < 0:
                raise UserError("no")
            return number

        return self.question.ask(number, make)

    def finish(self) -> None:
        self.go.set()
        deadline = time.monotonic() + PATIENCE_S
        while self.question.is_pending:
            assert time.monotonic() < deadline
            time.sleep(0.001)


def test_asking_never_waits_and_skips_what_is_not_wanted_any_more() -> None:
    answers = Answers()
    assert [answers.ask(number) for number in (1, 2, 3, 3)] == [None] * 4
    answers.finish()
    assert answers.asked in ([1, 3], [3])
    assert answers.ask(3) == 3
    assert answers.woken.is_set()


def test_what_was_refused_is_said_and_the_last_answer_stays() -> None:
    answers = Answers()
    answers.ask(1)
    answers.finish()
    answers.ask(-1)
    answers.finish()
    assert answers.question.answer == 1
    assert answers.question.error is not None
    assert answers.question.error.message == "no"


def test_of_another_source_no_answer_is_taken() -> None:
    answers = Answers()
    answers.ask(1)
    answers.question.forget()
    answers.finish()
    assert answers.question.answer is None
