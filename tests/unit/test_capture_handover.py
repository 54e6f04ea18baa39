"""The agent's settings come through a file beside the segments, and not through the program's environment."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from ggml_viz import native
from ggml_viz.capture.handover import capture_lines, handed_over
from ggml_viz.errors import UserError
from ggml_viz.settings import Capture, Settings
from ggml_viz.settings.model import entries
from ggml_viz.settings.values import TokenRange

RUN = (sys.executable, "-m", "ggml_viz", "run", "--quiet")
ALL = Capture(
    detail="op",
    max_events=10,
    ops=("MUL_MAT", "ADD"),
    backends=("CPU",),
    nodes=("ffn_*",),
    tokens=TokenRange(5, None),
    start_paused=True,
    per_node_sync=True,
    children=False,
)
ALL_LINES = """\
detail=op
max_events=10
ops=MUL_MAT,ADD
backends=CPU
nodes=ffn_*
tokens=5-
start_paused=1
per_node_sync=1
children=0
"""


def token() -> str:
    return secrets.token_hex(8)


def test_lines() -> None:
    assert capture_lines(Settings()) == "detail=thread\nstart_paused=0\nper_node_sync=0\nchildren=1\n"
    assert capture_lines(Settings(ALL)) == ALL_LINES
    assert [line.partition("=")[0] for line in ALL_LINES.splitlines()] == [
        entry.key for entry in entries() if entry.section == "capture"
    ]


def test_it_is_there_while_it_lasts_and_nobody_sweeps_it() -> None:
    folder, name = native.segments_folder(), token()
    with handed_over(Settings(ALL), folder, name) as path:
        assert path == folder / f".{name}.settings"
        native.segments_sweep(folder)
        assert path.read_text() == ALL_LINES
        assert path.stat().st_mode & 0o777 == 0o600
    assert not list(folder.glob(f"*{name}*"))


def test_what_a_killed_recorder_left_is_swept() -> None:
    folder = native.segments_folder()
    left = folder / f".{token()}.settings"
    left.write_text(ALL_LINES)
    native.segments_sweep(folder)
    assert not left.exists()


def test_it_is_gone_after_a_failure() -> None:
    folder, name = native.segments_folder(), token()
    with pytest.raises(RuntimeError), handed_over(Settings(), folder, name):
        raise RuntimeError
    assert not list(folder.glob(f"*{name}*"))


def test_it_is_an_error_if_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught, handed_over(Settings(), tmp_path / "none", token()):
        pass
    assert caught.value.exit_status == 125


def test_the_program_finds_it_and_inherits_no_settings(tmp_path: Path) -> None:
    output = tmp_path / "t.ggmlviz"
    variables = {
        "GGML_VIZ_OUTPUT": str(output),
        "GGML_VIZ_DETAIL": "graph",
        "GGML_VIZ_OPS": "ADD",
        "GGML_VIZ_TOP": "5",
        "GGML_VIZ_TEST_CACHE": "kept",
        "GGML_VIZ_RUN": "of another",
    }
    folder = native.segments_folder()
    file = f"{folder}/.$GGML_VIZ_RUN.settings"
    script = f"env | grep ^GGML_VIZ_ | sort; cat {file}; stat -c %a {file}"
    done = subprocess.run(
        [*RUN, "--detail", "op", "--tokens", "3-4", "--", "sh", "-c", script],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    run, kept, *lines, mode = done.stdout.splitlines()
    assert run.startswith("GGML_VIZ_RUN=")
    assert run != "GGML_VIZ_RUN=of another"
    assert kept == "GGML_VIZ_TEST_CACHE=kept"
    assert lines == ["detail=op", "ops=ADD", "tokens=3-4", "start_paused=0", "per_node_sync=0", "children=1"]
    assert mode == "600"
    assert not list(folder.glob(f"*{run.partition('=')[2]}*"))
    assert "GGML_VIZ_" not in done.stderr


def test_a_wrong_setting_stops_before_the_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [*RUN, "--", "touch", "ran"],
        env={**os.environ, "GGML_VIZ_MAX_SIZE": "2 apples"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("ggml-viz: GGML_VIZ_MAX_SIZE: expected a size of at least 1 MB")
    assert not list(tmp_path.iterdir())
