"""llama.cpp with ggml linked into the program: the same is seen of it as of the shared build of the same sources."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.integration.conftest import GGML_VIZ, Recorded, Sessions, report
from tests.integration.test_truth import executed
from tests.support import runtimes


@pytest.fixture(scope="module")
def shared(recordings: Sessions) -> Recorded:
    return recordings("llama-simple")


@pytest.mark.parametrize("openmp", [True, False], ids=["openmp", "no openmp"])
def test_counts_and_output_are_those_of_the_shared_build(shared: Recorded, openmp: bool, tmp_path: Path) -> None:
    argv = (str(runtimes.llama_cpp_static(openmp=openmp)), *shared.program.argv[1:])
    program = runtimes.Program("llama-simple", shared.program.ggml, argv, shared.program.read, shared.program.env)
    trace = tmp_path / "t.ggmlviz"
    ran = program.run(GGML_VIZ, "run", "--quiet", "-o", trace, "--")
    assert ran.said.text == shared.bare.text
    seen = report(trace)
    assert executed(seen) == shared.truth.nodes["CPU"]
    assert seen["graphs"]["runs"] == shared.truth.runs
    (process,) = seen["trace"]["processes"]
    assert process["not_seen"] == []
    assert process["detail"] == "thread"
    assert process["ggml_version"] == shared.program.ggml
    # On both threads, with their waits: the barriers are seen as well.
    assert len(seen["threads"]) == runtimes.THREADS
    assert sum(op["wait_s"] for op in seen["ops"]) > 0
    assert seen["memory"]["peak_bytes"] == shared.report["memory"]["peak_bytes"]


def test_stripped_program_runs_and_says_why_nothing_was_recorded(tmp_path: Path) -> None:
    program = tmp_path / "llama-simple"
    runtimes.call("strip", "-o", program, runtimes.llama_cpp_static(openmp=True))
    command = [str(program), "-m", str(runtimes.smollm2()), "-n", "4", "Hello"]
    bare = subprocess.run(command, capture_output=True, text=True, timeout=100)
    trace = tmp_path / "t.ggmlviz"
    done = subprocess.run(
        [str(GGML_VIZ), "run", "-o", str(trace), "--", *command], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, bare.returncode) == (0, 0)
    assert done.stdout.splitlines()[0] == bare.stdout.splitlines()[0]
    assert "without symbols: its calls cannot be seen, only that OpenMP's barriers are waited at" in done.stderr
    assert not trace.exists()
