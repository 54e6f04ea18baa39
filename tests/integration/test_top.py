"""The terminal dashboard in a real terminal (tmux) of 80 by 24, on real processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import GGML_VIZ, report
from tests.integration.test_live import state_of
from tests.integration.test_safe import started
from tests.support import runtimes
from tests.support.tiny import Tiny
from tests.support.tmux import Terminal

from ggml_viz.numbers import count, duration, percent
from ggml_viz.terminal.report import rate

TIMEOUT_S = 120


@contextlib.contextmanager
def terminal(folder: Path, command: list[str | Path], **environment: str) -> Iterator[Terminal]:
    made = Terminal(folder, [str(word) for word in command], **environment)
    try:
        yield made
    finally:
        made.close()


def says(text: str) -> Callable[[list[str]], bool]:
    return lambda lines: any(text in line for line in lines)


def assert_figures(lines: list[str], told: dict[str, Any]) -> None:
    """The picture says what `report --json` says."""
    text = "\n".join(lines)
    phases = {row["phase"]: row for row in told["phases"] if row["tokens"]}
    assert {"prefill", "decode"} <= phases.keys()
    for phase, row in phases.items():
        words = next(line for line in lines if line.startswith(phase)).split()
        assert words[2:4] == [rate(row["tokens_per_second"]), count(row["tokens"])]
    seen = 0
    for row in told["ops"]:
        line = next((line for line in lines if line.startswith(row["op"] + " ")), None)
        if line is None:
            continue
        seen += 1
        figures = re.sub(r"^\S+ *[█▏▎▍▌▋▊▉░]* *", "", line)
        wait = row["wait_s"] / (row["work_s"] + row["wait_s"])
        share, seconds, calls, p50_us, *shares = re.split(r" {2,}", figures)
        assert [share, seconds, calls, *shares] == [
            percent(row["share"]),
            duration(row["seconds"]).strip(),
            count(row["count"]),
            percent(1 - wait),
            percent(wait),
        ]
        # A process that runs on has its times counted in classes, which are narrower than this.
        assert float(p50_us) == pytest.approx(row["p50_us"], rel=0.03)
    assert seen >= 6
    for row in told["threads"]:
        assert re.search(rf"{row['worker']}: +{re.escape(percent(row['busy']))}", text)
    assert f"captured by preload, all threads · {count(told['trace']['records'])} record" in text
    assert f"{count(told['trace']['lost'])} lost" in text


@pytest.mark.parametrize("environment", [{"TERM": "xterm-256color"}, {"TERM": "xterm", "NO_COLOR": "1"}])
def test_beside_a_program_it_shows_what_the_report_says(environment: dict[str, str], tmp_path: Path) -> None:
    program, trace = runtimes.xllamacpp(), tmp_path / "t.ggmlviz"
    command = [GGML_VIZ, "run", "--live", "-q", "-o", trace, "--", *program.argv]
    with terminal(tmp_path, command, **program.env, **environment) as screen:
        lines = screen.until(says("the process has ended"))
        assert "■ ended" in lines[0]
        coloured = "\x1b[38;5;32m█" in screen.styled()
        screen.press("q")
        assert screen.exit_status() == 0
        printed = screen.scrolled_off()
    assert_figures(lines, report(trace))
    assert coloured == ("NO_COLOR" not in environment)
    assert not any('"timings"' in line for line in lines)
    assert '"timings"' in printed.replace("\n", "")


def test_steering_and_leaving(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    with started([str(GGML_VIZ), "run", "-q", "-o", str(trace), "--", *tiny("load", "input")]) as (run, pid):
        with terminal(tmp_path, [GGML_VIZ, "top", str(pid)]) as screen:
            screen.until(says(f"pid {pid}"))
            screen.until(says(f"{Tiny.OP} "))
            screen.press("p")
            screen.until(says("The process is paused."))
            assert state_of(pid) == "paused"
            screen.until(says("‖ paused"))
            screen.press("p")
            screen.until(says("● recording"))
            screen.press("?")
            screen.until(says("leave; the program runs on"))
            screen.resize(60, 16)
            assert len(screen.until(lambda lines: len(lines) == 16 and "q quit" not in lines[0])) == 16
            screen.resize(80, 24)
            screen.press("q")
            assert screen.exit_status() == 0
        assert state_of(pid) == "recording"
        with terminal(tmp_path, [GGML_VIZ, "top", str(pid)]) as screen:
            screen.until(says(f"pid {pid}"))
            run.communicate("\n", TIMEOUT_S)
            screen.until(says("the process has ended"))
            screen.press("C-c")
            assert screen.exit_status() == 130


def test_one_picture_and_json(tiny: Tiny, tmp_path: Path) -> None:
    def top(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([GGML_VIZ, "top", *arguments], capture_output=True, text=True, timeout=TIMEOUT_S)

    with started([str(GGML_VIZ), "run", "-q", "-o", str(tmp_path / "t"), "--", *tiny("load", "input")]) as (_, pid):
        done = top("--once", "--wait", "0.5", str(pid))
        assert done.returncode == 0, done.stderr
        assert f"pid {pid}" in done.stdout.splitlines()[0]
        assert re.search(rf"^{Tiny.OP} +█", done.stdout, re.MULTILINE)
        assert "\x1b" not in done.stdout
        told = json.loads(top("--json", "--wait", "0.5", str(pid)).stdout)
        assert [row["op"] for row in told["ops"]] == [Tiny.OP]
        assert told["trace"]["processes"][0]["pid"] == pid
        done = top(str(pid))
        assert done.returncode == 1
        assert "--once" in done.stderr
    done = top("--once", str(os.getpid()))
    assert done.returncode == 1
    assert f"ggml-viz attach {os.getpid()}" in done.stderr
    assert "run --live" in done.stderr


def test_interrupting_a_program_that_is_shown(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    with terminal(tmp_path, [GGML_VIZ, "run", "--live", "-q", "-o", trace, "--", *tiny("load", "forever")]) as screen:
        screen.until(says("● recording"))
        screen.press("C-c")
        assert screen.exit_status() == 128 + signal.SIGINT
    assert report(trace)["graphs"]["runs"] > 0


def test_a_dashboard_that_dies_takes_nothing_along(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    options = ["--live", "--no-report", "-o", trace]
    command = [GGML_VIZ, "run", *options, "--", *tiny("load", "run:100000", "run:100000")]
    with terminal(tmp_path, command) as screen:
        lines = screen.until(says("● recording"))
        pid = int(re.findall(r"pid (\d+)", lines[0])[0])
        run = int(Path(f"/proc/{pid}/stat").read_text().split()[3])
        children = Path(f"/proc/{run}/task/{run}/children").read_text().split()
        (dashboard,) = {int(child) for child in children} - {pid}
        os.kill(dashboard, signal.SIGKILL)
        assert screen.exit_status() == 0
        assert "the dashboard failed" in screen.scrolled_off()
    told = report(trace)
    assert told["graphs"]["runs"] == 200_000
    assert told["trace"]["lost"] == 0


def test_ending_a_program_that_is_shown_needs_no_key(tiny: Tiny, tmp_path: Path) -> None:
    trace, output = tmp_path / "t.ggmlviz", tmp_path / "output"
    options = ["--live", "--no-report", "-o", trace]
    inner = shlex.join([str(word) for word in (GGML_VIZ, "run", *options, "--", *tiny("load", "forever"))])
    with terminal(tmp_path, ["sh", "-c", f"{inner} >{output}"]) as screen:
        pid = int(re.findall(r"pid (\d+)", screen.until(says("● recording"))[0])[0])
        os.kill(int(Path(f"/proc/{pid}/stat").read_text().split()[3]), signal.SIGTERM)
        assert screen.exit_status() == 128 + signal.SIGTERM
    # What does not go to the terminal goes where it was to go.
    assert output.read_text().startswith("ready")
    assert report(trace)["graphs"]["runs"] > 0


def test_without_a_terminal_it_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [GGML_VIZ, "run", "--live", "--", "true"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        start_new_session=True,
        cwd=tmp_path,
    )
    assert done.returncode == 125
    assert "no terminal" in done.stderr
