"""What capturing from the desktop understands and says: no window is needed for that."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from ggml_viz.analysis.registry import Activity, WatchedProcess
from ggml_viz.desktop.capture.child import Child, plain_lines, refusal_of
from ggml_viz.desktop.capture.processes import Listed, known_of_watched, listed_processes, matching_processes
from ggml_viz.desktop.capture.program import plan_of, state_in_words, variables_of, words_of
from ggml_viz.desktop.capture.recorder import Recorded, written_by
from ggml_viz.desktop.status import cost_words, file_words, fitting, parts, state_words
from ggml_viz.desktop.welcome import doctor_command
from ggml_viz.errors import UserError


def test_command_line_is_read_as_a_shell_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert words_of("""llama-cli -m ~/a.gguf -p 'Hello you' "it's" """) == [
        *("llama-cli", "-m", "/home/somebody/a.gguf", "-p", "Hello you", "it's")
    ]
    for wrong, said in (
        ("echo 'x", "quotation"),
        ("echo x\\", "backslash"),
        ("  ", "no program"),
        ("''", "no program"),
    ):
        with pytest.raises(UserError, match=said):
            words_of(wrong)


def test_environment_is_a_variable_a_line() -> None:
    assert variables_of("A=1\n\n  OMP_NUM_THREADS=4\nPATH=/a=b: c\nEMPTY=\n") == {
        "A": "1",
        "OMP_NUM_THREADS": "4",
        "PATH": "/a=b: c",
        "EMPTY": "",
    }
    for wrong in ("A=1\nnonsense", "A=1\n=2", "A=1\nexport B=2"):
        with pytest.raises(UserError, match="line 2"):
            variables_of(wrong)


def test_plan_says_what_is_wrong_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF....")
    (tmp_path / "here").write_text("#!/bin/sh\n")
    (tmp_path / "here").chmod(0o755)
    folder = str(tmp_path)
    plan = plan_of("./here -x", folder, "A=1", "")
    assert (plan.words, plan.folder, plan.variables, plan.name) == (["./here", "-x"], tmp_path, {"A": "1"}, "here")
    assert plan.path.parent == tmp_path
    assert plan.path.name.startswith("here-")
    assert plan.path.suffix == ".ggmlviz"
    assert plan_of("sh", folder, "", "a.ggmlviz").path == tmp_path / "a.ggmlviz"
    assert plan_of("sh", folder, "", folder).path.parent == tmp_path
    for wrong, said in (
        (("sh", folder + "/none", "", ""), "no folder"),
        (("no-such-program", folder, "", ""), "command not found"),
        (("sh", folder, "PATH=/nowhere", ""), "command not found"),
        (("./none", folder, "", ""), "no such file"),
        (("sh", folder, "", "none/a.ggmlviz"), "no folder"),
        (("sh", folder, "", "model.gguf"), "not a trace"),
    ):
        with pytest.raises(UserError, match=said):
            plan_of(*wrong)


def test_end_of_a_program_is_said_in_words() -> None:
    assert state_in_words(None, False) == "It runs, and is recorded."
    assert state_in_words(0, True) == "It has ended well."
    assert state_in_words(3, True) == "It failed: exit status 3."
    assert state_in_words(-9, True) == "It was ended by a signal (Killed)."
    assert state_in_words(0, False) == "It has ended well; nothing was recorded."


def test_output_is_shown_as_a_terminal_shows_it() -> None:
    assert plain_lines("\x1b[32mgreen\x1b[0m\n10 %\r50 %\r100 %\r\n\ta\x07\n\n") == ["green", "100 %", "        a�"]
    error = refusal_of(["noise", "ggml-viz: it cannot be", "  Do this.", "  Or that."])
    assert (error.message, error.hint) == ("it cannot be", "Do this. Or that.")
    assert refusal_of(["Segmentation fault"]).message == "Segmentation fault"
    assert refusal_of([]).message


def test_child_does_not_take_modules_from_where_it_runs(tmp_path: Path) -> None:
    (tmp_path / "argparse.py").write_text("raise SystemExit(77)\n")
    (tmp_path / "ggml_viz").mkdir()
    child = Child(["run", "-q", "--", "sh", "-c", "pwd; exit 3"], lambda: None, tmp_path)
    assert child.wait(30)
    assert child.exit_code == 3
    assert child.lines()[0] == str(tmp_path)


def described(**changes: Any) -> dict[str, Any]:
    usual = {"kind": "live", "state": "running", "records": 5, "recording": None, "phase": None}
    return {**usual, "tokens_per_second": 0.0, **changes}


def test_states_are_plain_words() -> None:
    assert state_words(described(), is_recorded=False) == "watched"
    assert state_words(described(), is_recorded=True) == "recording"
    assert state_words(described(recording={"path": "a", "bytes": 1}), is_recorded=False) == "recording"
    assert state_words(described(records=0), is_recorded=True) == "waiting for ggml"
    assert state_words(described(state="paused"), is_recorded=True) == "paused"
    assert state_words(described(state="idle"), is_recorded=False) == "stopped"
    assert state_words(described(state="ended"), is_recorded=False) == "process gone"
    assert state_words(described(kind="trace", state="ready"), is_recorded=False) == "trace"


def test_what_it_does_now_and_what_that_costs_are_said() -> None:
    live = described(phase="decode", tokens_per_second=41.2)
    assert [text for text, _ in parts(live)] == ["decode 41.2 t/s", "5 records"]
    assert [text for text, _ in parts(described(records=1))] == ["computes nothing now", "1 record"]
    assert [text for text, _ in parts(described(kind="trace", state="ready"))] == ["5 records"]
    report = {"overhead": {"share": 0.001, "ns_per_record": 30.0}, "trace": {"records": 5}}
    assert cost_words(report, is_live=True) == "recording costs 0.1 %, measured"
    assert cost_words(report, is_live=False) == "recording cost 0.1 %, measured"
    assert not cost_words({**report, "overhead": {"share": 0.0, "ns_per_record": 0.0}}, is_live=False)


def test_file_of_a_recording_is_named_with_its_size(tmp_path: Path) -> None:
    assert file_words(described(), None) is None
    words = file_words(described(), Recorded(7, Path("/x/run.ggmlviz"), 98_100_000))
    assert words is not None
    assert words[0] == "to run.ggmlviz, 98.1 MB"
    assert "/x/run.ggmlviz" in words[1]
    own = file_words(described(recording={"path": "/x/own.ggmlviz", "bytes": 12}), None)
    assert own == ("to own.ggmlviz, 12 B", "/x/own.ggmlviz")
    with (tmp_path / "a.ggmlviz").open("wb", buffering=0) as file:
        file.write(b"GGMLVIZ and so on")
        assert written_by(os.getpid()) == tmp_path / "a.ggmlviz"
    assert written_by(os.getpid()) != tmp_path / "a.ggmlviz"


def test_long_text_is_cut_to_its_room() -> None:
    assert fitting("abcdef", 6, len) == "abcdef"
    assert fitting("abcdefg", 6, len) == "abcde…"


def test_doctor_is_asked_about_the_same_command() -> None:
    assert doctor_command("llama-cli -p 'a b'") == "ggml-viz doctor -- llama-cli -p 'a b'"
    assert doctor_command("") == "ggml-viz doctor -- PROGRAM"


def test_watched_processes_say_what_they_do() -> None:
    process = WatchedProcess(
        pid=7,
        command="llama-cli",
        ggml=[("0.9.4", "/a"), ("", "/b")],
        method="preload",
        detail="thread",
        started="",
        watched_s=1.0,
        state="nobody records",
        recorder=None,
        records=1,
        dropped=0,
        definitions_dropped=0,
        skipped=0,
        segment_bytes=1,
        now=Activity("decode", 41, 41),
    )
    assert known_of_watched(process) == "watched · decode, 41 t/s · ggml 0.9.4"


def test_processes_are_filtered_by_all_that_is_shown_of_them() -> None:
    first, second = Listed(12, "llama-cli -m a.gguf", "watched", True), Listed(34, "python x.py", "ggml in a.so", False)
    assert matching_processes([first, second], "") == [first, second]
    assert matching_processes([first, second], "GGUF llama") == [first]
    assert matching_processes([first, second], "34") == [second]
    assert matching_processes([first, second], "nothing") == []


def test_processes_without_ggml_are_not_listed() -> None:
    began = time.monotonic()
    assert os.getpid() not in {process.pid for process in listed_processes()}
    listed_processes()
    assert time.monotonic() - began < 30
