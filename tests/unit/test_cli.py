"""The command line: help, examples, what is the program's and what is ours."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ggml_viz import __version__
from ggml_viz.capture.files import default_path
from ggml_viz.cli import COMMANDS, parse


def ggml_viz(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ggml_viz", *arguments], capture_output=True, text=True, timeout=60)


def test_version() -> None:
    assert ggml_viz("--version").stdout == f"ggml-viz {__version__}\n"


def test_help_names_every_command() -> None:
    text = ggml_viz("--help").stdout
    assert all(command in text for command in COMMANDS)
    assert "examples:" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples_that_fits_a_terminal(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = ggml_viz(command, "--help").stdout
    assert f"ggml-viz {command}" in text.partition("example")[2]
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["run", "--nonsense"], ["report", "a", "--", "b"]])
def test_wrong_use_is_told_briefly(arguments: list[str]) -> None:
    done = ggml_viz(*arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_without_a_program() -> None:
    done = ggml_viz("run")
    assert done.returncode == 2
    assert "no program" in done.stderr


@pytest.mark.parametrize(
    ("line", "own", "command"),
    [
        ("run -- prog -o x", None, ["prog", "-o", "x"]),
        ("run -o t -- prog -o x", "t", ["prog", "-o", "x"]),
        ("run -o t -- prog -- x", "t", ["prog", "--", "x"]),
        ("run -o t prog -o x", "t", ["prog", "-o", "x"]),
        ("run prog a -- -o x", None, ["prog", "a", "--", "-o", "x"]),
        ("run --", None, []),
    ],
)
def test_the_program_s_arguments_are_its_own(line: str, own: str | None, command: list[str]) -> None:
    args = parse(line.split())
    assert args.output == own
    assert args.command == command


def test_default_name_never_overwrites(tmp_path: Path) -> None:
    now = time.struct_time((2026, 1, 2, 3, 4, 5, 4, 2, 0))
    first = default_path("/usr/bin/llama-cli", now, tmp_path)
    assert first.name == "llama-cli-20260102-030405.ggmlviz"
    first.touch()
    second = default_path("/usr/bin/llama-cli", now, tmp_path)
    assert second.name == "llama-cli-20260102-030405-2.ggmlviz"
    second.touch()
    assert default_path("/usr/bin/llama-cli", now, tmp_path).name == "llama-cli-20260102-030405-3.ggmlviz"


def test_default_name_is_harmless_in_a_shell(tmp_path: Path) -> None:
    now = time.struct_time((2026, 1, 2, 3, 4, 5, 4, 2, 0))
    assert default_path("./my model; rm", now, tmp_path).name == "my_model_rm-20260102-030405.ggmlviz"
    assert default_path("-strange", now, tmp_path).name == "strange-20260102-030405.ggmlviz"


def test_closed_pipe_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m ggml_viz doctor --json | true", shell=True, capture_output=True, text=True
    )
    assert done.stderr == ""


def test_agent_path_is_a_library() -> None:
    path = Path(ggml_viz("agent-path").stdout.rstrip("\n"))
    assert path.read_bytes().startswith(b"\x7fELF")


def test_doctor_says_that_this_machine_can() -> None:
    done = ggml_viz("doctor")
    assert done.returncode == 0, done.stdout
    assert "can be recorded" in done.stdout


def test_doctor_in_json() -> None:
    found = json.loads(ggml_viz("doctor", "--json", "--", sys.executable).stdout)
    assert found["schema"] == 1
    assert found["capturable"] is True
    assert found["machine"]["usable"] is True
    assert found["machine"]["clock"] in ("counter", "monotonic")
    assert found["program"]["path"] == sys.executable
    assert found["program"]["obstacle"] is None


def test_doctor_finds_what_is_in_the_way(tmp_path: Path) -> None:
    subprocess.run(
        ["cc", "-static", "-x", "c", "-", "-o", tmp_path / "s"], input=b"int main(void){return 0;}", check=True
    )
    done = ggml_viz("doctor", "--", str(tmp_path / "s"))
    assert done.returncode == 1
    assert "statically linked" in done.stdout
    assert ggml_viz("doctor", "--", "no-such-program").returncode == 127
