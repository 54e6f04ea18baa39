"""Each node by itself, on request: true on every backend, and nothing that a program sees is different."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections import Counter
from pathlib import Path

from tests.integration.conftest import GGML_VIZ, report
from tests.integration.test_truth import executed
from tests.native import compiling
from tests.support import runtimes, shim

from ggml_viz.model.trace import Process, Trace
from ggml_viz.native import KIND_NODE

NATIVE_TESTS = compiling.ROOT / "tests" / "native"
ON = {"GGML_VIZ_PER_NODE_SYNC": "1"}


def recorded(program: runtimes.Program, trace: Path) -> runtimes.Ran:
    return program.run(GGML_VIZ, "run", "--quiet", "-o", trace, "--", env=ON)


def llama_eval_callback() -> runtimes.Program:
    """Prints each tensor of a graph, from a callback of its own."""
    argv = (str(runtimes.llama_cpp("llama-eval-callback")), "-m", str(runtimes.smollm2()), "-p", "Once upon a time")
    argv += ("-n", "1", "-t", "2", "--seed", "1")
    env = {"OMP_WAIT_POLICY": "passive"}
    return runtimes.Program("llama-eval-callback", "0.25.3", argv, lambda out, err: runtimes.Said(out), env)


def nodes_by_backend(process: Process) -> dict[str, Counter[str]]:
    """Recorded nodes by the backend of the split in which they were computed, and op."""
    backends = process.file.definitions.backends
    # A node is computed in the split that begins with it.
    split_of = {
        (run, first): backends[backend] for run, first, backend in process.splits[["run", "first", "backend"]].tolist()
    }
    graphs = dict(zip(process.runs.number.tolist(), process.runs.graph.tolist(), strict=True))
    nodes: dict[str, Counter[str]] = {}
    for records, _ in process.nodes():
        for run, node in records[records["kind"] == KIND_NODE][["run", "node"]].tolist():
            op = process.graphs[graphs[run]].op(node)
            nodes.setdefault(split_of[run, node], Counter())[op] += 1
    return nodes


def test_a_program_with_a_callback_of_its_own(tmp_path: Path) -> None:
    program = llama_eval_callback()
    bare = program.run()
    _, (truth,) = shim.count(program, tmp_path / "truth.json")
    ran = recorded(program, tmp_path / "t")
    assert len(bare.stdout) > 100_000
    assert ran.stdout == bare.stdout
    seen = report(tmp_path / "t")
    assert executed(seen) == truth.nodes["CPU"]
    assert seen["trace"]["processes"][0]["distorting"]
    assert seen["trace"]["processes"][0]["not_seen"] == []
    assert not any("+" in op["op"] for op in seen["ops"]), "nothing is fused"
    assert seen["threads"] == []


def test_every_backend_is_timed(tmp_path: Path) -> None:
    program = runtimes.llama_simple_blas()
    bare, (truth,) = shim.count(program, tmp_path / "truth.json")
    ran = recorded(program, tmp_path / "t")
    assert ran.said.text == bare.text
    (process,) = Trace.open(tmp_path / "t").watched
    assert nodes_by_backend(process) == truth.nodes
    assert truth.nodes["BLAS"]["MUL_MAT"] > 100
    text = [note.text for note in process.file.definitions.notes if "by itself" in note.text]
    assert len(text) == 1
    assert re.search(r"nothing is fused.*each node is a split", text[0])


def test_filters_hold_there_too(tmp_path: Path) -> None:
    program = runtimes.llama_simple_blas()
    _, (truth,) = shim.count(program, tmp_path / "truth.json")
    env = {**ON, "GGML_VIZ_BACKENDS": "BLAS", "GGML_VIZ_OPS": "MUL_MAT"}
    program.run(GGML_VIZ, "run", "--quiet", "-o", tmp_path / "t", "--", env=env)
    (process,) = Trace.open(tmp_path / "t").watched
    assert nodes_by_backend(process) == {"BLAS": {"MUL_MAT": truth.nodes["BLAS"]["MUL_MAT"]}}


def test_schedulers_from_before_the_agent_came_are_left_alone(tmp_path: Path) -> None:
    """One of them may have a callback that the agent knows nothing of: this one's are told of each run."""
    libraries = [runtimes.llama_cpp().with_name(f"libggml-{name}.so.0") for name in ("base", "cpu")]
    flags = (
        f"-I{runtimes.ggml_headers()}",
        *libraries,
        "-Wl,--allow-shlib-undefined",
        f"-Wl,-rpath,{libraries[0].parent}",
    )
    program = compiling.program(tmp_path, NATIVE_TESTS / "eval_callback.c", (), "plain", flags)
    trace = tmp_path / "t"
    runs = 30_000
    with subprocess.Popen(
        [program, "count", str(runs)], stdout=subprocess.PIPE, env={**os.environ, "OMP_WAIT_POLICY": "passive"}
    ) as process:
        time.sleep(0.3)
        runtimes.call(GGML_VIZ, "attach", str(process.pid), "--per-node-sync", "--duration", "0.5", "-o", trace)
        assert process.poll() is None, "it was to run on"
        stdout, _ = process.communicate(timeout=60)
    nodes = 3 * 3
    assert stdout.decode().splitlines() == [f"asked {runs * nodes}, told {runs * 3}"] * 2
    seen = report(trace)
    assert seen["graphs"]["runs"] > 10
    allocations, schedulers = seen["trace"]["processes"][0]["not_seen"]
    assert "what was allocated and computed before the agent came" in allocations
    assert "schedulers that were made before the agent came" in schedulers


def test_paused_it_distorts_nothing(tmp_path: Path) -> None:
    program = runtimes.llama_simple()
    env = {**ON, "GGML_VIZ_START_PAUSED": "1"}
    ran = program.run(GGML_VIZ, "run", "--quiet", "-o", tmp_path / "t", "--", env=env)
    assert ran.said.text == program.run().said.text
    assert report(tmp_path / "t")["trace"]["records"] == 0
