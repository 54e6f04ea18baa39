"""ggml-viz on Windows, as far as Wine is it: a Windows CPython records real programs, and the traces open here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support import runtimes
from tests.support.dashboard import Serving, looked_at
from tests.support.wine import Ran, Windows, compile, node_llama_cpp, python, windows_path

from ggml_viz.model.trace import Trace

GGML_VIZ = ("python", "-m", "ggml_viz")
HERE = Path(sys.executable).with_name("ggml-viz")


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Windows:
    # Spaces and letters beyond ASCII, as names of users have them.
    folder = tmp_path_factory.mktemp("windows") / "Jörg Ω's things"
    folder.mkdir()
    shutil.copy(runtimes.speech(), folder)
    return Windows(folder)


@dataclass(frozen=True)
class Recorded:
    """A program as it ran by itself, as it ran when it was recorded, and what was."""

    bare: Ran
    ran: Ran
    trace: Path

    @property
    def report(self) -> dict[str, Any]:
        return report(self.trace)


def recorded(windows: Windows, name: str, *command: str | Path) -> Recorded:
    trace = windows.folder / f"{name}.ggmlviz"
    bare = windows.run(*command)
    ran = windows.run(*GGML_VIZ, "run", "--quiet", "-o", trace.name, "--", windows_path(python()), *command[1:])
    assert bare.status == 0, bare.stderr
    return Recorded(bare, ran, trace)


def report(trace: Path) -> dict[str, Any]:
    done = subprocess.run([HERE, "report", "--json", trace], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def program(name: str) -> str:
    return windows_path(runtimes.PROGRAMS / name)


@pytest.fixture(scope="module")
def silero(windows: Windows) -> Recorded:
    return recorded(windows, "silero", "python", program("silero.py"), "jfk.wav")


def test_recorded_program_does_what_it_does_by_itself(silero: Recorded) -> None:
    assert silero.ran == silero.bare


def test_graphs_are_as_many_as_the_program_counted(silero: Recorded) -> None:
    chunks = len(json.loads(silero.bare.stdout)["text"])
    assert chunks > 300
    assert graphs(silero.report) == chunks


def test_loss_and_the_way_that_nodes_are_timed_are_said(silero: Recorded) -> None:
    said = silero.report
    assert said["trace"]["lost"] == 0
    text = subprocess.run([HERE, "report", silero.trace], capture_output=True, text=True).stdout
    assert "not seen" in text


def test_report_is_the_same_on_both_systems(windows: Windows, silero: Recorded) -> None:
    there = windows.run(*GGML_VIZ, "report", "--json", silero.trace.name)
    assert there.status == 0, there.stderr
    assert comparable(json.loads(there.stdout)) == comparable(silero.report)
    words = windows.run(*GGML_VIZ, "report", "--width", "100", silero.trace.name).stdout
    done = subprocess.run(
        [HERE, "report", "--width", "100", silero.trace.name], capture_output=True, text=True, cwd=silero.trace.parent
    )
    assert words == done.stdout


def test_trace_of_linux_opens_on_windows(windows: Windows, tmp_path: Path) -> None:
    made = runtimes.silero()
    trace = windows.folder / "linux.ggmlviz"
    made.run(HERE, "run", "--quiet", "-o", trace, "--")
    there = windows.run(*GGML_VIZ, "report", "--json", trace.name)
    assert there.status == 0, there.stderr
    assert comparable(json.loads(there.stdout)) == comparable(report(trace))


def test_whisper_is_recorded_and_says_the_same(windows: Windows) -> None:
    shutil.copy(runtimes.whisper_tiny(), windows.folder / "model.bin")
    whisper = recorded(windows, "whisper", "python", program("whisper.py"), "model.bin", "jfk.wav", "1")
    assert whisper.ran.stdout == whisper.bare.stdout
    assert json.loads(whisper.ran.stdout)["text"] == json.loads(runtimes.whisper().run().stdout)["text"]
    assert graphs(whisper.report) == graphs_of_whisper(whisper.ran.stderr)


def graphs_of_whisper(stderr: str) -> int:
    """How many graphs whisper.cpp computed, by its own counts: three for each encoding, one for each decoding."""
    runs = {name: int(count) for name, count in re.findall(r"(\w+) time =\s*[\d.]+ ms /\s*(\d+) runs", stderr)}
    return 3 * runs["encode"] + runs["decode"]


def test_node_llama_cpp_and_each_of_its_nodes(windows: Windows) -> None:
    host = compile(windows.folder / "decode.exe", runtimes.PROGRAMS / "windows" / "decode.c")
    trace = windows.folder / "decode.ggmlviz"
    command = (windows_path(host), windows_path(runtimes.smollm2()), "3")
    run = (*GGML_VIZ, "run", "--quiet", "-o", windows_path(trace), "--")
    bare = windows.run(*command, cwd=node_llama_cpp())
    assert windows.run(*run, *command, cwd=node_llama_cpp()) == bare
    counted = re.search(r"decoded (\d+) nodes (\d+)", bare.stdout)
    assert counted
    assert bare.status == 3
    said = report(trace)
    assert graphs(said) == int(counted[1]) == 3
    # Its callback comes once for two nodes that are fused, and so does the agent's.
    (process,) = Trace.open(trace).watched
    assert sum(len(process.nodes_of(run)) for run in process.runs.number.tolist()) == int(counted[2])
    assert said["trace"]["lost"] == 0


def test_attaching_in_the_middle_of_a_run(windows: Windows) -> None:
    with windows.start("python", program("silero_rounds.py"), "jfk.wav", "stop") as running:
        assert running.stdout is not None
        pid = int(running.stdout.readline())
        attached = windows.run(*GGML_VIZ, "attach", str(pid), "--duration", "1", "-o", "attached.ggmlviz")
        assert attached.status == 0, attached.stderr
        assert f"process {pid} runs on, unwatched" in attached.stderr
        (windows.folder / "stop").touch()
        said = json.loads(running.communicate(timeout=60)[0])
    assert running.returncode == 0
    first = report(windows.folder / "attached.ggmlviz")
    assert 0 < graphs(first) <= said["chunks"]
    assert first["trace"]["lost"] == 0


def test_running_program_is_shown_in_a_browser(windows: Windows, silero: Recorded) -> None:
    """And a trace beside it, which answers SQL."""
    rounds = (windows_path(python()), program("silero_rounds.py"), "jfk.wav", "seen")
    run = (*GGML_VIZ, "run", "--quiet", "-o", "shown.ggmlviz", "--", *rounds)
    serve = (*GGML_VIZ, "serve", "--all", silero.trace.name, "--port", "0")
    with windows.start(*run) as running, windows.start(*serve) as process:
        assert running.stdout is not None
        assert process.stderr is not None
        pid = int(running.stdout.readline())
        served = Serving(process, process.stderr.readline().split()[0])
        live, trace = served.source("live", "running"), served.source("trace", "ready")
        assert live["pid"] == pid
        counted = served.post(f"/sources/{trace['id']}/sql", {"query": "select count(*) from runs"})
        assert counted["rows"] == [[graphs(silero.report)]]
        with looked_at(f"{served.url}#/{live['id']}/overview") as looked:
            looked.page.get_by_text("MUL_MAT").first.wait_for()
            served.post(f"/sources/{live['id']}/control", {"action": "pause"})
            assert served.source("live", "paused")["pid"] == pid
            served.post(f"/sources/{live['id']}/control", {"action": "resume"})
        assert not looked.errors
        (windows.folder / "seen").touch()
        assert served.source("live", "ended")["records"] > 0
        said = json.loads(running.stdout.readline())
        running.wait(60)  # its stderr may be kept open by what Wine has started with it
    assert running.returncode == 0
    assert 0 < graphs(report(windows.folder / "shown.ggmlviz")) <= said["chunks"]


def test_exit_statuses_and_refusals(windows: Windows) -> None:
    (windows.folder / "ends.bat").write_text("exit 3\n")
    (windows.folder / "words.txt").write_text("no program\n")
    interpreter = windows_path(python())
    run = ["-m", "ggml_viz", "run", "--"]
    argued = "import json, sys; print(json.dumps(sys.argv[1:]))"
    awkward = ['a "b" c\\', "ö Ω", "", "x y\\\\", "%PATH%"]
    commands = [
        [*run, interpreter, "-c", argued, *awkward],
        [*run, interpreter, "-c", "import os; os._exit(7)"],
        [*run, interpreter, "-c", "import faulthandler; faulthandler._read_null()"],
        [*run, "nosuch"],
        [*run, ".\\ends.bat"],
        [*run, ".\\words.txt"],
        ["-m", "ggml_viz", "attach", "999999"],
    ]
    (windows.folder / "commands.json").write_text(json.dumps(commands))
    done = windows.run("python", program("ends.py"), "commands.json")
    assert done.status == 0, done.stderr
    words, status, crash, missing, script, text, nobody = json.loads(done.stdout)
    assert json.loads(words[1]) == awkward
    assert words[0] == 0
    assert status[0] == 7
    assert "failed (exit status 7) before it called ggml" in status[2]
    assert crash[0] == 0xC0000005
    assert "died of an access violation (0xC0000005) before it called ggml" in crash[2]
    assert missing[0] == 127
    assert "command not found: nosuch" in missing[2]
    assert script[0] == 126
    assert "what it starts is not recorded" in script[2]
    assert text[0] in (126, 127)
    assert nobody[0] == 1
    assert "there is no process 999999" in nobody[2]
    for ended in (words, status, crash, missing, script, text, nobody):
        assert "Traceback" not in ended[2]


def test_ctrl_c_is_the_programs(windows: Windows) -> None:
    rounds = (windows_path(python()), program("silero_rounds.py"), "jfk.wav", "never")
    bare, bare_said = pressed(windows, *rounds)
    assert bare == 0xC000013A
    status, said = pressed(
        windows, windows_path(python()), *GGML_VIZ[1:], "run", "-o", "pressed.ggmlviz", "--", *rounds
    )
    assert status == bare
    assert said.count("Traceback") == bare_said.count("Traceback") == 1
    assert "0 lost" in said
    (process,) = report(windows.folder / "pressed.ggmlviz")["trace"]["processes"]
    assert process["end"] == "ended"


def test_ctrl_c_ends_an_attachment_alone(windows: Windows) -> None:
    with windows.start("python", program("silero_rounds.py"), "jfk.wav", "enough") as running:
        assert running.stdout is not None
        pid = running.stdout.readline().strip()
        attach = (windows_path(python()), *GGML_VIZ[1:], "attach", pid, "-o", "until.ggmlviz")
        status, words = pressed(windows, *attach)
        (windows.folder / "enough").touch()
        said = json.loads(running.communicate(timeout=60)[0])
    assert status == 0, words
    assert f"process {pid} runs on, unwatched" in words
    assert "Traceback" not in words
    assert running.returncode == 0
    assert 0 < graphs(report(windows.folder / "until.ggmlviz")) < said["chunks"]


def pressed(windows: Windows, *command: str) -> tuple[int, str]:
    """The exit status of a program at which Ctrl-C was pressed, and all that it wrote."""
    done = windows.run("python", program("pressed.py"), *command, timeout_s=60)
    assert done.status == 0, done.stderr
    status, said = json.loads(done.stdout)
    return status, said


def test_help_needs_nothing_but_what_is_installed_always(windows: Windows) -> None:
    done = windows.run(*GGML_VIZ, "--help")
    assert done.status == 0
    assert "attach" in done.stdout


def test_unit_tests_pass(windows: Windows) -> None:
    # What reads, understands and reports traces; without what writes over an open trace, which Windows does not allow,
    # opens thousands, for which Wine takes minutes, or needs packages beyond the least.
    command = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "@tests/portable.txt")
    done = windows.run(*command, cwd=runtimes.ROOT, more={"PYTHONUTF8": "1"})  # as the tests' own files are
    assert done.status == 0, done.stdout[-4000:]
    summary = done.stdout.strip().splitlines()[-1]
    passed = re.match(r"(\d+) passed, (\d+) deselected", summary)
    assert passed, summary
    assert int(passed[1]) > 600


def graphs(said: dict[str, Any]) -> int:
    return int(said["graphs"]["runs"])


def comparable(said: dict[str, Any]) -> dict[str, Any]:
    """A report without the path, which each system writes in its own way."""
    return {**said, "trace": {**said["trace"], "path": None}}
