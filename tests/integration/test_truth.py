"""Is what a trace says true? Real programs, against an independent count and against what they say of themselves."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from tests.integration.conftest import Recorded, Sessions
from tests.support.runtimes import Speed

from ggml_viz.model.phases import PHASES
from ggml_viz.model.records import shifted
from ggml_viz.model.trace import Process

SMOLLM2 = ("xllamacpp", "node-llama-cpp", "llama-simple", "llama-simple-blas")


def executed(report: dict[str, Any]) -> Counter[str]:
    """Executed nodes by op: a span of a fused pair is a node of each of its ops."""
    nodes: Counter[str] = Counter()
    for op in report["ops"]:
        for name in op["op"].split("+"):
            nodes[name] += op["count"]
    return nodes


def test_is_the_version_that_is_meant(recorded: Recorded) -> None:
    assert recorded.truth.version == recorded.program.ggml
    (process,) = recorded.report["trace"]["processes"]
    assert process["ggml_version"] == recorded.program.ggml


def test_sees_everything(recorded: Recorded) -> None:
    (process,) = recorded.report["trace"]["processes"]
    assert process["not_seen"] == []
    assert not process["distorting"]
    assert process["detail"] == "thread"
    assert process["end"] == "ended"
    assert recorded.report["trace"]["lost"] == 0
    assert recorded.report["trace"]["damage"] is None


def test_graph_runs(recorded: Recorded) -> None:
    assert recorded.report["graphs"]["runs"] == recorded.truth.runs
    assert sum(phase["runs"] for phase in recorded.report["phases"]) == recorded.truth.runs


def test_executed_nodes_of_each_op(recorded: Recorded) -> None:
    truth = recorded.truth.nodes["CPU"]
    assert executed(recorded.report) == truth
    assert recorded.report["graphs"]["nodes"] == truth.total()


def test_graphs_given_to_each_backend(recorded: Recorded) -> None:
    splits = {backend["backend"]: backend["splits"] for backend in recorded.report["backends"]}
    assert splits == recorded.truth.graphs


def test_a_second_backend_is_seen(recordings: Sessions) -> None:
    blas = recordings("llama-simple-blas")
    assert blas.truth.graphs["BLAS"] > 100, "the program was meant to use BLAS for its prompt"
    backends = {backend["backend"]: backend for backend in blas.report["backends"]}
    assert backends["BLAS"]["runs"] == 1
    assert backends["CPU"]["runs"] == blas.truth.runs


def test_output_is_the_same_with_and_without(recorded: Recorded) -> None:
    assert recorded.bare.text
    assert recorded.said.text == recorded.bare.text


# With BLAS most nodes are alone in their split, and it is the splits that take time to begin and end.
@pytest.mark.parametrize("name", SMOLLM2[:3])
def test_nodes_add_up_to_their_graphs(recordings: Sessions, name: str) -> None:
    recorded = recordings(name)
    process = recorded.process
    in_graphs = float(process.clock.seconds(process.runs.duration).sum())
    in_nodes = sum(op["seconds"] for op in recorded.report["ops"])
    assert in_nodes == pytest.approx(in_graphs, rel=0.03)


@pytest.mark.parametrize("name", SMOLLM2)
def test_tokens_per_second(recordings: Sessions, name: str) -> None:
    """Against what the program says it took, with what it does between two tokens."""
    recorded = recordings(name)
    phases = {phase["phase"]: phase for phase in recorded.report["phases"]}
    for phase, said in recorded.said.passing.items():
        if phase == "all":
            # The prompt's graph gives the first token.
            tokens = 1 + phases["decode"]["tokens"]
            seconds = phases["prefill"]["seconds"] + phases["decode"]["seconds"]
        else:
            tokens, seconds = phases[phase]["tokens"], phases[phase]["seconds"]
            assert phases[phase]["tokens_per_second"] == pytest.approx(tokens / seconds)
        assert tokens == said.tokens
        assert tokens / seconds == pytest.approx(said.tokens / said.seconds, rel=0.02)


@pytest.mark.parametrize("name", SMOLLM2)
def test_time_of_computing(recordings: Sessions, name: str) -> None:
    """Against llama.cpp's counters, which leave out what a program does between two tokens.

    They span a call that computes tokens until its result is fetched: a run of a graph and the copy of its logits.
    """
    recorded = recordings(name)
    for phase, said in recorded.said.computing.items():
        seen = computing(recorded.process, phase, said.tokens)
        assert seen.tokens == said.tokens
        assert seen.tokens / seen.seconds == pytest.approx(said.tokens / said.seconds, rel=0.02)


def test_time_of_whisper(recordings: Sessions) -> None:
    """Whisper builds a new graph for each token: its counter lies between the graphs' time and the time that passed."""
    recorded = recordings("pywhispercpp")
    said = recorded.said.computing["decode"]
    seen = computing(recorded.process, "decode", 1)
    (decode,) = (phase for phase in recorded.report["phases"] if phase["phase"] == "decode")
    assert decode["tokens"] == seen.tokens == said.tokens
    assert seen.seconds < said.seconds < decode["seconds"] * 1.02


def computing(process: Process, phase: str, tokens_of_run: int) -> Speed:
    """What the runs of a phase add up to: their graphs, and the copies of results that follow each.

    Args:
        process: What was recorded.
        phase: One of the phases.
        tokens_of_run: Prefills of another size are not the prompt: a server tries what it has loaded.
    """
    runs, clock = process.runs, process.clock
    chosen = runs.phase == PHASES.index(phase)
    if phase == "prefill":
        chosen &= runs.tokens == tokens_of_run
    fetched = process.copies[process.copies["to"] == 0]
    run_before = np.searchsorted(runs.begin, fetched["start"]) - 1
    ticks = runs.duration[chosen].sum() + shifted(fetched, "duration")[chosen[run_before]].sum()
    return Speed(int(runs.tokens[chosen].sum()), float(clock.seconds(np.array([ticks]))[0]))


MIB = 1 << 20


def test_buffers_are_as_large_as_llama_cpp_says(recordings: Sessions) -> None:
    recorded = recordings("llama-simple")
    lines = re.findall(r"(\S+) +(model|output|KV|compute) buffer size = +([\d.]+) MiB", recorded.stderr)
    said = {(backend, kind): float(size) for backend, kind, size in lines}
    seen = {
        (buffer["backend"], buffer["usage"]): buffer["bytes"] / MIB for buffer in recorded.report["memory"]["buffers"]
    }
    assert seen == {
        ("CPU_Mapped", "weights"): pytest.approx(said["CPU_Mapped", "model"], abs=0.005),
        ("CPU", "kv"): pytest.approx(said["CPU", "KV"], abs=0.005),
        ("CPU", "compute"): pytest.approx(said["CPU", "compute"], abs=0.005),
        ("CPU", "other"): pytest.approx(said["CPU", "output"], abs=0.005),
    }


def test_copies_bring_tokens_in_and_logits_out(recordings: Sessions) -> None:
    recorded = recordings("llama-simple")
    out = [copy for copy in recorded.report["copies"] if copy["to"] == "application"]
    # The logits of one token after each run: 49 152 of them, 4 bytes each.
    assert [(copy["from"], copy["count"], copy["bytes"]) for copy in out] == [
        ("CPU", recorded.truth.runs, recorded.truth.runs * 49152 * 4)
    ]
