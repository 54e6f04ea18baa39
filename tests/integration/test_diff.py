"""A real llama.cpp against itself, and against one whose RMS_NORM was made slow."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import GGML_VIZ
from tests.support import runtimes

from ggml_viz.analysis.diff import compare_profiles
from ggml_viz.analysis.profile import profile

REPETITIONS = 5


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Five recordings of each of three sets, made in turn: `a` and `b` of one build, `slow` of the other."""
    folder = tmp_path_factory.mktemp("diff")
    model = runtimes.smollm2()
    bench = (runtimes.llama_cpp("llama-bench"), "-m", model, "-p", "64", "-n", "16", "-r", "1", "--no-warmup")
    libraries = {"a": "", "b": "", "slow": str(runtimes.slow_rms_norm())}
    sets: dict[str, list[Path]] = {name: [] for name in libraries}
    for number in range(REPETITIONS):
        for name, path in libraries.items():
            trace = folder / f"{name}{number}.ggmlviz"
            # The threads do not turn round and round while they wait: other tests may be running.
            env = {**os.environ, "LD_LIBRARY_PATH": path, "OMP_WAIT_POLICY": "passive"}
            command = (GGML_VIZ, "run", "--quiet", "-o", trace, "--", *bench, "-t", str(runtimes.THREADS))
            subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=120)
            sets[name].append(trace)
    return sets


def diff(a: list[Path], b: list[Path], *more: str) -> tuple[int, str]:
    done = subprocess.run([GGML_VIZ, "diff", "--a", *a, "--b", *b, *more], capture_output=True, text=True)
    assert not done.stderr
    return done.returncode, done.stdout


def test_an_op_that_was_made_slow_is_named_first(recordings: dict[str, list[Path]]) -> None:
    status, printed = diff(recordings["a"], recordings["slow"], "--json")
    assert status == 0
    found: dict[str, Any] = json.loads(printed)
    first = found["findings"][0]
    assert (first["op"], first["verdict"]) == ("RMS_NORM+MUL", "slower")
    assert first["ratio"] > 2
    for phase in found["phases"]:
        parts = [row for row in found["operations"] if row["phase"] == phase["phase"]] + phase["outside"]
        assert sum(row["change_s"] for row in parts) == pytest.approx(phase["change_s"], abs=1e-9 * phase["a_s"])
    _, drawn = diff(recordings["a"], recordings["slow"])
    (line, *_) = [line for line in drawn.splitlines() if line.startswith("slower")]
    assert "RMS_NORM+MUL" in line


def test_what_was_made_slow_fails_and_what_was_not_does_not(recordings: dict[str, list[Path]]) -> None:
    """The other way round it became faster."""
    assert diff(recordings["slow"], recordings["a"], "--fail-above", "10")[0] == 0
    assert diff(recordings["a"], recordings["slow"], "--fail-above", "90")[0] == 0


def test_one_build_is_the_same_however_its_recordings_are_halved(recordings: dict[str, list[Path]]) -> None:
    """In at least 19 of 20 cases: all 126 ways to compare five of ten with the other five."""
    profiles = [profile(str(path), executions=False) for path in recordings["a"] + recordings["b"]]
    halves = [chosen for chosen in combinations(range(2 * REPETITIONS), REPETITIONS) if 0 in chosen]
    different = 0
    for chosen in halves:
        others = [profiles[i] for i in range(2 * REPETITIONS) if i not in chosen]
        found = compare_profiles([profiles[i] for i in chosen], others)
        different += bool(found.findings) or any(phase.verdict != "same" for phase in found.phases)
    assert different <= 0.05 * len(halves)
