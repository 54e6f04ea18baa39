"""Programs for the C library musl: the same libraries serve them as those for glibc."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.integration.conftest import GGML_VIZ, report
from tests.integration.test_truth import executed
from tests.support import musl, runtimes, shim
from tests.support.tiny import Tiny

import ggml_viz

LIBRARIES = Path(ggml_viz.__file__).with_name("_native")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return musl.tiny(tmp_path_factory.mktemp("musl"))


def test_what_is_recorded_is_what_was_computed(tiny: Tiny, tmp_path: Path) -> None:
    """The same counts as the independent shim's, and the same result with either."""
    # Threads have a stack of 128 KB there.
    argv = tuple(tiny("load", "run:20", "threads:3"))
    program = runtimes.Program("tiny", "", argv, lambda out, _err: runtimes.Said(out.partition(" by ")[0]))
    include = f"-I{runtimes.ggml_headers()}"
    counting = musl.compile(tmp_path / "shim.so", "-shared", "-fPIC", include, shim.SOURCE)
    counted, (truth,) = shim.count(program, tmp_path / "counts.json", shim=counting)

    trace = tmp_path / "t.ggmlviz"
    recorded = program.run(GGML_VIZ, "run", "--quiet", "-o", trace, "--")
    assert recorded.said.text == counted.text
    assert recorded.stderr == ""
    seen = report(trace)
    assert seen["graphs"]["runs"] == truth.runs == 23
    assert executed(seen) == truth.nodes["CPU"]
    assert {backend["backend"]: backend["splits"] for backend in seen["backends"]} == truth.graphs
    assert seen["trace"]["lost"] == 0
    (process,) = seen["trace"]["processes"]
    assert (process["not_seen"], process["detail"], process["end"]) == ([], "thread", "ended")
    assert process["ggml_version"] == truth.version


def test_children_and_what_they_become_are_recorded(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    steps = tiny("load", "run:2", "fork", "run:3", "exec", "load", "run:4")
    subprocess.run([GGML_VIZ, "run", "--quiet", "-o", trace, "--", *steps], check=True, timeout=60)
    seen = report(trace)
    assert seen["graphs"]["runs"] == 2 + 2 * (3 + 4)
    assert seen["trace"]["lost"] == 0


def test_a_killed_program_leaves_what_it_computed(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    done = subprocess.run(
        [GGML_VIZ, "run", "--quiet", "-o", trace, "--", *tiny("load", "run:5", "kill")], capture_output=True, timeout=60
    )
    assert done.returncode == -9
    assert report(trace)["graphs"]["runs"] == 5


def test_a_program_is_looked_through_before_it_is_run(tiny: Tiny) -> None:
    done = subprocess.run([GGML_VIZ, "doctor", "--json", tiny.path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)["program"]
    assert (said["obstacle"], said["missing"]) == (None, [])


def test_a_running_program_is_left_alone(tiny: Tiny, tmp_path: Path) -> None:
    with subprocess.Popen(tiny("load", "input"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        done = subprocess.run(
            [GGML_VIZ, "attach", "-o", tmp_path / "t.ggmlviz", str(process.pid)], capture_output=True, text=True
        )
        assert done.returncode != 0
        assert "musl" in done.stderr
        assert "ggml-viz run" in done.stderr
        process.stdin.close()
        assert process.wait(20) == 0


def test_core_library_can_be_loaded(tmp_path: Path) -> None:
    (core,) = LIBRARIES.glob("*core*")
    done = subprocess.run([musl.clock(tmp_path), core], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
