"""What `diff` says of two sets of tiny recordings, and what it does not say because it may be chance."""

from __future__ import annotations

import contextlib
import io
import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import tracefile
from tests.support.tracefile import NODE, RUN, Record, Writer, trace_from_text

from ggml_viz.analysis import diff as diff_module
from ggml_viz.analysis.diff import Diff, compare, compare_profiles
from ggml_viz.analysis.profile import profile
from ggml_viz.cli import main
from ggml_viz.errors import UserError
from ggml_viz.settings.model import Ui
from ggml_viz.terminal.diff import print_diff

LAYERS = 4
# Of one layer, each with its time in µs.
OPS = {"attn_norm": ("RMS_NORM", 8), "Qcur": ("MUL_MAT", 120), "ffn_up": ("MUL_MAT", 250), "ffn_inp": ("ADD", 6)}
WEIGHTS = {"Qcur": "attn_q.weight", "ffn_up": "ffn_up.weight"}


def recording(
    seed: int = 0,
    slower: Mapping[str, float] | None = None,
    *,
    noise: float = 0.0,
    decodes: int = 6,
    between_us: float = 20,
    threads: int = 2,
    deep_from: int | None = None,
    omit: Sequence[str] = (),
    extra: str = "",
    command: str = "llama-bench -m model.gguf",
) -> str:
    """A prompt of 8 tokens and some decodes of a model of few layers.

    Args:
        seed: Of its noise: 1/3 of it is the whole recording's, the rest each execution's.
        slower: By a node's name, with or without its layer (`ffn_up`, `ffn_up-2`), by what its time is multiplied.
        noise: As a share.
        decodes: Runs of one token.
        between_us: Between the runs.
        threads: That the splits used.
        deep_from: From which decode on its graph is of a greater depth.
        omit: Nodes that there are none of.
        extra: An op at the end of each graph.
        command: Its command line.
    """
    rng = np.random.default_rng(seed)
    whole = math.exp(rng.normal(0, noise / 3))
    names = [(name, layer) for layer in range(LAYERS) for name in OPS if name not in omit]
    lines = [f"process command='{command}'"]
    for graph, tokens, depth in ((1, 8, 32), (2, 1, 32), (3, 1, 64)):
        lines += [f"graph {graph}", "leaf token_embd.weight q4_1 [64,1000]", f"leaf inp_tokens i32 [{tokens}]"]
        lines += [f"leaf blk.{i}.{w} q4_1 [64,64]" for i in range(LAYERS) for w in WEIGHTS.values()]
        lines += [f"leaf mask f32 [{depth},{tokens}]"]
        lines += [f"node embd GET_ROWS f32 [64,{tokens}] token_embd.weight inp_tokens"]
        before = "embd"
        for name, layer in names:
            sources = f"blk.{layer}.{WEIGHTS[name]} {before}" if name in WEIGHTS else before
            shape = f"[{depth},{tokens}]" if name == "ffn_inp" else f"[64,{tokens}]"
            lines.append(f"node {name}-{layer} {OPS[name][0]} f32 {shape} {sources}")
            before = f"{name}-{layer}"
        if extra:
            lines.append(f"node extra {extra} f32 [64,{tokens}] {before}")
    at = 0.0
    for run in range(decodes + 1):
        deep = deep_from is not None and run > deep_from
        graph, factor = (1, 5.0) if run == 0 else (3 if deep else 2, 1.0)
        begin = at
        executed = [("embd", 2.0)]
        for name, layer in names:
            times = math.prod((slower or {}).get(key, 1) for key in (name, f"{name}-{layer}"))
            executed.append((name, OPS[name][1] * times))
        if extra:
            executed.append(("extra", 30.0))
        nodes = []
        for index, (_, us) in enumerate(executed):
            us *= factor * whole * math.exp(rng.normal(0, noise))
            nodes.append(f"exec {index} run={run + 1} at={at:.3f} work={us:.3f}")
            at += us
        at += 3
        lines.append(f"run {run + 1} graph={graph} at={begin:.3f} for={at - begin:.3f} threads={threads}")
        lines.append(f"split CPU run={run + 1} count=99 at={begin + 1:.3f} for={at - begin - 2:.3f} threads={threads}")
        lines += nodes
        lines.append(f"copy get CPU>application run={run + 1} bytes=4 at={at + 1:.3f} for=2")
        at += between_us * whole
    return "\n".join([*lines, "done ended"])


def written(folder: Path, **sets: Sequence[str]) -> list[list[str]]:
    """The paths of some sets of traces."""
    paths = []
    for name, texts in sets.items():
        paths.append([str(folder / f"{name}{i}.ggmlviz") for i in range(len(texts))])
        for path, text in zip(paths[-1], texts, strict=True):
            Path(path).write_bytes(trace_from_text(text))
    return paths


def five(first_seed: int = 0, slower: Mapping[str, float] | None = None, noise: float = 0.02, **more: Any) -> list[str]:
    return [recording(seed, slower, noise=noise, **more) for seed in range(first_seed, first_seed + 5)]


def diff_of(folder: Path, a: Sequence[str], b: Sequence[str]) -> Diff:
    return compare(*written(folder, a=a, b=b))


def assert_adds_up(diff: Diff) -> None:
    for phase in diff.phases:
        nodes = [row for row in diff.operations if row.phase == phase.phase]
        assert phase.a_s is not None
        assert phase.b_s is not None
        assert phase.change_s is not None
        scale = max(phase.a_s, phase.b_s)
        for column, whole in (("a_s", phase.a_s), ("b_s", phase.b_s), ("change_s", phase.change_s)):
            parts = sum(getattr(row, column) for row in [*nodes, *phase.outside])
            assert parts == pytest.approx(whole, abs=1e-9 * scale)
        for roll_up in (diff.ops, diff.roles):
            mine = sum(row.change_s for row in roll_up if row.phase == phase.phase)
            assert mine == pytest.approx(sum(row.change_s for row in nodes), abs=1e-9 * scale)


# --- what differs ---


@pytest.mark.parametrize(
    ("name", "op", "role"), [("ffn_up", "MUL_MAT", "ffn_up"), ("attn_norm", "RMS_NORM", "attn_norm")]
)
def test_what_became_slower_is_named_first(name: str, op: str, role: str, tmp_path: Path) -> None:
    diff = diff_of(tmp_path, five(), five(5, {name: 2}))
    assert diff.unit == "file"
    first = diff.findings[0]
    assert (first.op, first.role, first.verdict) == (op, role, "slower")
    assert first == next(row for row in diff.operations if row.phase == first.phase)
    assert first.ratio == pytest.approx(2, rel=0.05)
    assert first.ratio_low is not None
    assert first.ratio_high is not None
    assert first.ratio_low < 2.1
    assert first.ratio_high > 1.9
    assert first.p == pytest.approx(2 / 252)
    assert first.p_corrected == pytest.approx(2 / 252)
    assert {(row.op, row.role) for row in diff.findings} == {(op, role)}
    assert_adds_up(diff)


def test_what_became_faster_is_named(tmp_path: Path) -> None:
    diff = diff_of(tmp_path, five(0, {"Qcur": 1.5}), five(5))
    assert {(row.verdict, row.role) for row in diff.findings} == {("faster", "attn_q")}
    assert {phase.verdict for phase in diff.phases} == {"faster"}


def test_a_layer_is_named_only_within_what_differs(tmp_path: Path) -> None:
    diff = diff_of(tmp_path, five(), five(5, {"ffn_up-2": 1.6}))
    first = diff.findings[0]
    assert (first.role, first.verdict) == ("ffn_up", "slower")
    assert [(row.layer, row.verdict) for row in first.details if row.verdict != "same"] == [(2, "slower")]
    assert len(first.details) == LAYERS
    assert all(not row.details for row in diff.operations if row.verdict == "same")
    assert "in layer 2" in drawn(diff)


def test_two_sets_of_one_build_are_the_same_in_19_of_20_cases(tmp_path: Path) -> None:
    same = 0
    for seed in range(0, 200, 10):
        diff = diff_of(tmp_path, five(seed, noise=0.05), five(seed + 5, noise=0.05))
        same += not diff.findings and all(phase.verdict == "same" for phase in diff.phases)
    assert same >= 19


def test_any_two_halves_of_ten_recordings_of_one_build_are_the_same(tmp_path: Path) -> None:
    from itertools import combinations

    (paths,) = written(tmp_path, a=five(noise=0.05) + five(5, noise=0.05))
    profiles = [profile(path, executions=False) for path in paths]
    halves = [chosen for chosen in combinations(range(10), 5) if 0 in chosen]
    different = 0
    for chosen in halves:
        others = [profiles[i] for i in range(10) if i not in chosen]
        diff = compare_profiles([profiles[i] for i in chosen], others)
        different += bool(diff.findings) or any(phase.verdict != "same" for phase in diff.phases)
    assert different <= 0.05 * len(halves)


def test_an_interrupted_node_hides_nothing(tmp_path: Path) -> None:
    """Of a prompt each node is executed once: there is no median that would not see it."""
    a, b = five(decodes=0), five(5, {"attn_norm": 4}, decodes=0)
    a[1] = recording(1, {"attn_norm-1": 500, "ffn_up-1": 10}, noise=0.02, decodes=0)
    b[2] = recording(7, {"attn_norm": 4, "attn_norm-3": 100, "Qcur-2": 10}, noise=0.02, decodes=0)
    diff = diff_of(tmp_path, a, b)
    assert [(row.role, row.verdict) for row in diff.findings] == [("attn_norm", "slower")]


def test_a_difference_of_no_use_is_not_called_one(tmp_path: Path) -> None:
    """An ADD that doubles is sure, but less than 1 % of a token: 4 x 6 µs of 1.5 ms."""
    diff = diff_of(tmp_path, five(noise=0.002), five(5, {"ffn_inp": 1.5}, noise=0.002))
    (add,) = [row for row in diff.operations if row.phase == "decode" and row.op == "ADD"]
    assert add.p_corrected is not None
    assert add.p_corrected < 0.01
    assert add.verdict == "same"
    assert not diff.findings


def test_the_same_file_twice_is_the_same(tmp_path: Path) -> None:
    ((path,),) = written(tmp_path, a=[recording(noise=0.1)])
    diff = compare([path], [path])
    assert not diff.findings
    assert all(row.p == 1 for row in diff.operations)
    assert {(phase.verdict, phase.ratio) for phase in diff.phases} == {("same", 1.0)}


def test_few_files_cannot_tell_and_say_so(tmp_path: Path) -> None:
    diff = diff_of(tmp_path, five()[:3], five(5, {"ffn_up": 2})[:3])
    assert not diff.can_tell
    assert not diff.findings
    assert "3 against 3 files cannot tell anything apart" in diff.notes[0]
    assert all(row.p == pytest.approx(0.1) for row in diff.operations if row.role == "ffn_up")


def test_one_file_on_a_side_compares_executions_and_warns(tmp_path: Path) -> None:
    a, b = recording(1, noise=0.02, decodes=40), recording(2, {"ffn_up": 1.5}, noise=0.02, decodes=40)
    diff = diff_of(tmp_path, [a], [b])
    assert (diff.unit, diff.can_tell) == ("execution", True)
    assert "two runs of the same build" in diff.notes[0]
    first = diff.findings[0]
    assert (first.phase, first.role, first.verdict) == ("decode", "ffn_up", "slower")
    assert first.ratio_low is not None
    assert 1.4 < first.ratio_low < 1.5 < (first.ratio_high or 0) < 1.6
    (decode,) = [phase for phase in diff.phases if phase.phase == "decode"]
    assert decode.verdict == "slower"
    assert (decode.p_corrected or 1) < 0.001
    # A single run of a phase has no interval, and nothing can be said of it.
    assert [(row.ratio_low, row.verdict) for row in diff.phases if row.phase == "prefill"] == [(None, "same")]
    assert_adds_up(diff)


# --- what is not there on both sides ---


def test_ops_of_one_side_are_new_or_gone(tmp_path: Path) -> None:
    diff = diff_of(tmp_path, five(extra="SCALE"), five(5, extra="CLAMP"))
    found = {(row.op, row.verdict) for row in diff.findings if row.phase == "decode"}
    assert found == {("SCALE", "gone"), ("CLAMP", "new")}
    (new,) = [row for row in diff.findings if row.verdict == "new" and row.phase == "decode"]
    assert new.ratio is None
    assert (new.a_s, new.a_executions, new.b_executions) == (0, 0, 1)
    assert new.b_s == pytest.approx(30e-6, rel=0.1)
    assert_adds_up(diff)


def test_another_depth_is_not_new(tmp_path: Path) -> None:
    """Shapes that only one set has are compared with all of the same op, role and layer."""
    diff = diff_of(tmp_path, five(), five(5, deep_from=2))
    assert not diff.findings
    (add,) = [row for row in diff.operations if row.phase == "decode" and row.op == "ADD"]
    assert add.shapes_differ
    assert add.verdict == "same"
    # Where all shapes are on both sides, none differs.
    (norm,) = [row for row in diff.operations if row.phase == "prefill" and row.op == "RMS_NORM"]
    assert not norm.shapes_differ


def test_a_phase_of_one_side_is_gone(tmp_path: Path) -> None:
    diff = diff_of(tmp_path, five(), five(5, decodes=0))
    rows = {phase.phase: phase for phase in diff.phases}
    assert (rows["prefill"].verdict, rows["decode"].verdict) == ("same", "gone")
    assert rows["decode"].b_per_second is None
    assert not rows["decode"].fell(0)


# --- what it does not depend on ---


def test_the_number_of_threads_is_only_noted(tmp_path: Path) -> None:
    diff = diff_of(tmp_path, five(), five(5, threads=4))
    assert not diff.findings
    assert "the numbers of threads differ: 2 and 4" in diff.notes


def test_the_number_of_tokens_does_not_matter(tmp_path: Path) -> None:
    diff = diff_of(tmp_path, five(decodes=4), five(5, decodes=9))
    assert not diff.findings
    assert_adds_up(diff)


def test_time_between_graphs_explains_a_change_too(tmp_path: Path) -> None:
    diff = diff_of(tmp_path, five(noise=0.005), five(5, noise=0.005, between_us=200))
    decode = next(phase for phase in diff.phases if phase.phase == "decode")
    assert decode.verdict == "slower"
    assert not diff.findings
    outside = {part.part: part.change_s for part in decode.outside}
    assert outside["between graphs"] == pytest.approx(180e-6 * 5 / 6, rel=0.02)
    assert outside["copies between graphs"] == pytest.approx(0, abs=1e-9)
    assert_adds_up(diff)
    assert "between graphs" in drawn(diff)


def test_graphs_without_tokens_are_compared_by_graph(tmp_path: Path) -> None:
    def vad(us: int) -> str:
        runs = "".join(
            f"run {i} graph=1 at={i * 300} for={us + i}\nexec 0 run={i} at={i * 300} work={us}\n" for i in range(20)
        )
        return f"process command=vad\ngraph 1\nnode conv MUL_MAT f32 [64,1]\n{runs}done ended"

    diff = diff_of(tmp_path, [vad(100 + i) for i in range(5)], [vad(150 + i) for i in range(5)])
    (phase,) = diff.phases
    assert (phase.phase, phase.per, phase.verdict) == ("other", "graph", "slower")
    assert phase.a_per_second is not None
    assert phase.fell(1)
    assert_adds_up(diff)


# --- the command ---


def drawn(diff: Diff, width: int = 80) -> str:
    page = io.StringIO()
    print_diff(diff, page, Ui(width=width, color="never"))
    return page.getvalue()


def test_drawn_on_one_screen(tmp_path: Path) -> None:
    diff = diff_of(tmp_path, five(extra="SCALE"), five(5, {"ffn_up": 1.5, "attn_norm": 3}, extra="CLAMP"))
    for width in (60, 80, 120):
        text = drawn(diff, width)
        lines = text.splitlines()
        assert len(lines) <= 24
        assert max(map(len, lines)) <= max(width, 80)
        assert "\x1b" not in text
    named = [
        line.split()[:3] for line in drawn(diff).splitlines() if line.startswith(("slower", "faster", "new", "gone"))
    ]
    assert named[0] == ["slower", "MUL_MAT", "ffn_up"]


def test_fail_above_is_an_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c = written(tmp_path, a=five(), b=five(5, {"ffn_up": 2}), c=five(10))
    assert main(["diff", "--a", *a, "--b", *b, "--fail-above", "5"]) == 1
    assert main(["diff", "--a", *a, "--b", *b, "--fail-above", "60%"]) == 0
    assert main(["diff", "--a", *b, "--b", *a, "--fail-above", "5"]) == 0, "faster is no failure"
    assert main(["diff", "--a", *a, "--b", *c, "--fail-above", "0"]) == 0
    assert main(["diff", "--a", *a, "--b", *b]) == 0
    assert "slower" in capsys.readouterr().out


def test_what_git_bisect_has_to_skip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, empty, other = written(
        tmp_path,
        a=five()[:2],
        empty=["process\ndone ended"],
        other=["process\ngraph 1\nnode x ADD f32 [4]\nrun 1 graph=1 at=0 for=9\ndone ended"],
    )
    assert main(["diff", a[0], str(tmp_path / "missing")]) == 125
    assert "No such file" in capsys.readouterr().err
    assert main(["diff", a[0], empty[0]]) == 125
    assert "no graph was computed" in capsys.readouterr().err
    assert main(["diff", a[0], other[0]]) == 125
    assert "no phase in common" in capsys.readouterr().err
    assert main(["diff", "--a", *a, "--b", *a, "--fail-above", "3"]) == 125
    assert "2 against 2 files" in capsys.readouterr().err
    assert main(["diff", "--a", *a, "--b", *a]) == 0


@pytest.mark.parametrize(
    "arguments", [[], ["one"], ["a", "b", "c"], ["a", "b", "--a", "c"], ["--a", "a"], ["a", "b", "--fail-above", "x"]]
)
def test_a_wrong_command_line_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["diff", *arguments])
    assert ended.value.code == 2
    assert "ggml-viz diff: error" in capsys.readouterr().err


NODE_CHANGE = {"phase", "op", "role", "layer", "shape", "verdict", "a_executions", "b_executions", "a_median_s"} | {
    *("b_median_s", "a_s", "b_s", "change_s", "share", "least_share", "ratio", "ratio_low", "ratio_high", "p"),
    *("p_corrected", "shapes_differ", "details"),
}
PHASE_CHANGE = {"phase", "verdict", "per", "a_per_second", "b_per_second", "a_s", "b_s", "change_s", "ratio"} | {
    *("ratio_low", "ratio_high", "p", "p_corrected", "outside")
}


def test_json_is_schema_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = written(tmp_path, a=five(), b=five(5, {"ffn_up": 2}))
    assert main(["diff", "--json", "--a", *a, "--b", *b]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == diff_module.SCHEMA == 1
    assert {"a", "b", "unit", "can_tell", "notes", "phases", "findings", "operations", "ops", "roles"} <= set(data)
    assert data["a"]["files"] == a
    assert set(data["a"]) >= {"files", "commands", "ggml_versions", "threads"}
    assert set(data["phases"][0]) >= PHASE_CHANGE
    assert set(data["phases"][0]["outside"][0]) >= {"part", "a_s", "b_s", "change_s", "share"}
    assert set(data["findings"][0]) >= NODE_CHANGE
    assert set(data["findings"][0]["details"][0]) >= NODE_CHANGE
    assert data["findings"][0]["role"] == "ffn_up"


def test_nonsense_with_right_checksums_is_compared(tmp_path: Path) -> None:
    """A file in which any byte was changed, and the checksum with it, against the whole one."""
    text = recording(decodes=2)
    (whole,) = written(tmp_path, whole=[text])
    chunks = tracefile.read_chunks(trace_from_text(text))
    path = tmp_path / "nonsense.ggmlviz"
    rng = random.Random(1)
    for _ in range(150):
        data = bytearray(tracefile.file_header())
        chosen = rng.randrange(len(chunks))
        for index, (kind, process, payload) in enumerate(chunks):
            changed = bytearray(payload)
            if index == chosen:
                at = rng.randrange(len(changed))
                changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, changed[at] ^ 1 << rng.randrange(8)))
            data += tracefile.chunk(kind, process, bytes(changed))
        path.write_bytes(data)
        with contextlib.suppress(UserError):
            for times in (1, 2):
                diff = compare(whole * times, [str(path)] * times)
                json.dumps(diff.to_json(), allow_nan=False)
                drawn(diff)


def test_absurd_times_are_compared_without_complaint(tmp_path: Path) -> None:
    """What a damaged trace may hold: durations of centuries, of nothing, and graphs that nobody defined."""
    paths = []
    for name, worst in (("a", 0), ("b", 2**32 - 1)):
        writer = Writer()
        writer.begin_process()
        tracefile._define_graph(writer, 1, [["node", "a", "MUL_MAT", "f32", "[64,1]"]])
        for run in range(1, 12):
            shift = 15 if worst else 0
            writer.record(1, Record(NODE, writer.start, run, (0, worst, worst, worst), 0, shift))
            writer.record(
                0, Record(RUN, writer.start + (run << 40) * (worst > 0), run, (run % 3, 0, worst, 1), 0, shift)
            )
        writer.heard = writer.start
        writer.end_process()
        path = tmp_path / f"{name}.ggmlviz"
        path.write_bytes(writer.data)
        paths.append(str(path))
    for a, b in ((0, 1), (1, 0), (1, 1), (0, 0)):
        for times in (1, 5):
            diff = compare([paths[a]] * times, [paths[b]] * times)
            text = json.dumps(diff.to_json(), allow_nan=False)
            assert json.loads(text)["schema"] == 1
            drawn(diff)
