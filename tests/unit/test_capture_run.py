"""`ggml-viz run` leaves a program as it is: its files, its signals, how it ends. No ggml is needed for that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ggml_viz import native

RUN = (sys.executable, "-m", "ggml_viz", "run")


def run(*command: str, folder: Path, options: tuple[str, ...] = (), **more: object) -> subprocess.CompletedProcess[str]:
    arguments = [*RUN, *options, "--", *command]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=60, **more)  # type: ignore[call-overload,no-any-return]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.01)


@pytest.mark.parametrize("status", [0, 1, 3, 125, 255])
def test_exit_status_is_the_program_s(tmp_path: Path, status: int) -> None:
    assert run("sh", "-c", f"exit {status}", folder=tmp_path).returncode == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGSEGV])
def test_death_by_signal_is_mirrored(tmp_path: Path, number: int) -> None:
    assert run("sh", "-c", f"kill -{int(number)} $$", folder=tmp_path).returncode == -number
    assert not list(tmp_path.iterdir()), "a core file or a trace was left behind"


@pytest.mark.parametrize(
    ("name", "status", "words"), [("no-such-program", 127, "command not found"), ("./data", 126, "may not be executed")]
)
def test_program_that_cannot_be_started(tmp_path: Path, name: str, status: int, words: str) -> None:
    (tmp_path / "data").write_text("")
    kept = tmp_path / "kept.ggmlviz"
    kept.write_text("an earlier trace")
    done = run(name, folder=tmp_path, options=("-o", str(kept)))
    assert done.returncode == status
    assert words in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert kept.read_text() == "an earlier trace"


def test_script_without_interpreter(tmp_path: Path) -> None:
    for name, content in (("gone", "#!/no/such/interpreter\n"), ("bare", "echo hello\n")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
        done = run(f"./{name}", folder=tmp_path)
        assert done.returncode == 126
        assert "Traceback" not in done.stderr


def test_input_output_and_arguments_pass_through(tmp_path: Path) -> None:
    program = "import sys; print(sys.stdin.read(), sys.argv[1:]); print('aside', file=sys.stderr)"
    done = run(sys.executable, "-c", program, "--quiet", "--", "-o", "ä b", folder=tmp_path, input="in")
    assert done.stdout == "in ['--quiet', '--', '-o', 'ä b']\n"
    assert done.stderr.startswith("aside\n")


def test_program_keeps_its_name_and_the_files_that_it_was_given(tmp_path: Path) -> None:
    assert run("sh", "-c", "echo $0 $1", "own", "two", folder=tmp_path).stdout == "own two\n"
    with (tmp_path / "data").open("w+") as file:
        file.write("three")
        file.flush()
        done = run("sh", "-c", f"cat /proc/self/fd/{file.fileno()}", folder=tmp_path, pass_fds=(file.fileno(),))
    assert done.stdout == "three"


def test_process_group_is_the_shell_s(tmp_path: Path) -> None:
    program = "import os; print(os.getpgid(0) == os.getpgid(os.getppid()))"
    assert run(sys.executable, "-c", program, folder=tmp_path).stdout == "True\n"


def test_agent_is_put_before_what_was_preloaded(tmp_path: Path) -> None:
    other = tmp_path / "libother.so"
    subprocess.run(["cc", "-shared", "-x", "c", "-", "-o", other], input=b"", check=True)
    done = run("sh", "-c", "echo $LD_PRELOAD", folder=tmp_path, env={**os.environ, "LD_PRELOAD": str(other)})
    assert done.stdout == f"{native.agent_path()}:{other}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_program(tmp_path: Path, number: int) -> None:
    script = f"trap 'echo caught; exit 7' {int(number)}; : > ready; while :; do sleep 0.02; done"
    child = subprocess.Popen([*RUN, "--", "sh", "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    wait_for(tmp_path / "ready")
    child.send_signal(number)
    output, _ = child.communicate(timeout=30)
    assert (output, child.returncode) == ("caught\n", 7)


def test_interrupt_is_left_to_the_program(tmp_path: Path) -> None:
    """As with Ctrl-C, which the terminal sends to both: the program takes its time, ggml-viz waits for it."""
    script = "trap 'sleep 0.3; echo done; exit 5' INT; : > ready; while :; do sleep 0.02; done"
    child = subprocess.Popen(
        [*RUN, "--", "sh", "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for(tmp_path / "ready")
    os.killpg(child.pid, signal.SIGINT)
    output, _ = child.communicate(timeout=30)
    assert (output, child.returncode) == ("done\n", 5)


def test_ignored_signals_stay_ignored(tmp_path: Path) -> None:
    """As after nohup."""
    program = "import signal; print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"
    command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *RUN, "--", sys.executable, "-c", program]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout == "True\n"


def test_signals_are_as_before_for_the_program(tmp_path: Path) -> None:
    program = "grep -E 'Sig(Blk|Ign)' /proc/self/status"
    plain = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=True).stdout
    assert run("sh", "-c", program, folder=tmp_path).stdout == plain


def test_without_ggml_it_says_so_and_leaves_no_trace(tmp_path: Path) -> None:
    done = run("true", folder=tmp_path)
    assert done.returncode == 0
    assert "nothing was recorded" in done.stderr
    assert "doctor" in done.stderr
    assert not list(tmp_path.iterdir())


def test_failure_before_ggml_is_named(tmp_path: Path) -> None:
    assert "failed (exit status 4)" in run("sh", "-c", "exit 4", folder=tmp_path).stderr


def test_static_program_is_run_and_explained(tmp_path: Path) -> None:
    source = b'int puts(const char *); int main(void) { puts("ran"); return 9; }'
    subprocess.run(["cc", "-static", "-x", "c", "-", "-o", "static"], input=source, cwd=tmp_path, check=True)
    done = run("./static", folder=tmp_path)
    assert (done.stdout, done.returncode) == ("ran\n", 9)
    assert "statically linked" in done.stderr


def test_disabled_agent_is_named(tmp_path: Path) -> None:
    done = run("true", folder=tmp_path, env={**os.environ, "GGML_VIZ_DISABLE": "1"})
    assert "GGML_VIZ_DISABLE" in done.stderr


@pytest.mark.parametrize("where", ["no/such/folder/t.ggmlviz", "."])
def test_trace_that_cannot_be_written_stops_before_the_program(tmp_path: Path, where: str) -> None:
    done = run("touch", "started", folder=tmp_path, options=("-o", where))
    assert done.returncode == 125
    assert "cannot be written" in done.stderr
    assert not (tmp_path / "started").exists()


def test_a_file_that_is_no_trace_is_not_written_over(tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF and what cost a night to download")
    done = run("touch", str(tmp_path / "ran"), folder=tmp_path, options=("-o", str(model)))
    assert done.returncode == 125
    assert "model.gguf exists and is not a trace" in done.stderr
    assert model.read_bytes().startswith(b"GGUF and")
    assert not (tmp_path / "ran").exists()


def test_output_that_is_no_file_is_left_alone(tmp_path: Path) -> None:
    assert run("true", folder=tmp_path, options=("-o", "/dev/null")).returncode == 0
    assert Path("/dev/null").is_char_device()


def test_installation_in_a_folder_with_a_space(tmp_path: Path) -> None:
    """LD_PRELOAD takes spaces for separators."""
    package = Path(native.__file__).parent
    spaced = tmp_path / "a folder"
    spaced.mkdir()
    (spaced / "ggml_viz").symlink_to(package)
    more = {"PYTHONPATH": str(spaced), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONSAFEPATH": "1"}
    program = "import ggml_viz.native as n; print(n._FOLDER)"
    found = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **more}, capture_output=True, text=True, check=True
    ).stdout
    assert "a folder" in found
    done = run(
        "sh",
        "-c",
        "echo $LD_PRELOAD; grep -c ggml_viz_agent /proc/self/maps",
        folder=tmp_path,
        env={**os.environ, **more},
    )
    link, mapped = done.stdout.splitlines()
    assert link.startswith(str(tmp_path / "cache"))
    assert int(mapped) > 0
    assert "ld.so" not in done.stderr
