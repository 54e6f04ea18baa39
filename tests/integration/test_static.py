"""llama.cpp with ggml linked into the program: the same is seen of it as of the shared build of the same sources."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.integration.conftest import GGML_VIZ, report
from tests.integration.test_truth import executed
from tests.support import runtimes, shim

# Its graphs do not depend on what is computed, so that every build of it runs the same ones.
ARGUMENTS = ("-t", str(runtimes.THREADS), "-p", "32", "-n", "16", "-r", "1", "-o", "json")


def llama_bench(program: Path) -> runtimes.Program:
    argv = (str(program), "-m", str(runtimes.smollm2()), *ARGUMENTS)
    return runtimes.Program("llama-bench", "0.25.3", argv, lambda out, err: runtimes.Said(out))


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> shim.Truth:
    """What the shared build computes, as the counting shim has it."""
    counts = tmp_path_factory.mktemp("static") / "counts.json"
    _, (truth,) = shim.count(llama_bench(runtimes.llama_cpp("llama-bench")), counts)
    return truth


@pytest.mark.parametrize("openmp", [True, False], ids=["openmp", "no openmp"])
def test_counts_are_those_of_the_shared_build(truth: shim.Truth, openmp: bool, tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    program = llama_bench(runtimes.llama_cpp_static("llama-bench", openmp=openmp))
    program.run(GGML_VIZ, "run", "--quiet", "-o", trace, "--")
    seen = report(trace)
    assert executed(seen) == truth.nodes["CPU"]
    assert seen["graphs"]["runs"] == truth.runs
    (process,) = seen["trace"]["processes"]
    assert process["not_seen"] == []
    assert process["detail"] == "thread"
    assert process["ggml_version"] == program.ggml
    # On both threads, with their waits: the barriers are seen as well.
    assert len(seen["threads"]) == runtimes.THREADS
    assert sum(op["wait_s"] for op in seen["ops"]) > 0


def test_stripped_program_runs_and_says_why_nothing_was_recorded(tmp_path: Path) -> None:
    program = tmp_path / "llama-bench"
    runtimes.call("strip", "-o", program, runtimes.llama_cpp_static("llama-bench", openmp=True))
    command = [str(program), "-m", str(runtimes.smollm2()), *ARGUMENTS]
    trace = tmp_path / "t.ggmlviz"
    done = subprocess.run(
        [str(GGML_VIZ), "run", "-o", str(trace), "--", *command], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 2
    assert "without symbols: its calls cannot be seen, only that OpenMP's barriers are waited at" in done.stderr
    assert not trace.exists()
