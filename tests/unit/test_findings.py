"""Each rule, on a trace in which it is so, and on one in which it is not quite."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.tracefile import trace_from_text

from ggml_viz.analysis.findings import RULES, Finding
from ggml_viz.analysis.summary import summarize
from ggml_viz.model.trace import Trace

MODEL = """
graph {number}
  leaf token_embd.weight q4_1 [64,1000]
  leaf inp_tokens i32 [{tokens}]
  leaf blk.0.ffn_up.weight q4_1 [1024,1024]
  leaf x f32 [1024]
  node embd GET_ROWS f32 [64,{tokens}] token_embd.weight inp_tokens
  node kq-0 MUL_MAT f32 [64,1] embd embd
  node ffn_up-0 MUL_MAT f32 [1024,1] blk.0.ffn_up.weight x
"""


def found(tmp_path: Path, *statements: str, process: str = "process cpus=8") -> list[Finding]:
    text = "\n".join([process, *statements, "done ended"])
    path = tmp_path / "trace.ggmlviz"
    path.write_bytes(trace_from_text(text))
    return summarize(Trace.open(path)).findings


def model(number: int = 1, tokens: int = 1) -> str:
    return MODEL.format(number=number, tokens=tokens)


def run(number: int, at: float, took: float, *nodes: str, graph: int = 1, threads: int = 1) -> str:
    return "\n".join([f"run {number} graph={graph} at={at} for={took} threads={threads}", *nodes])


def rules(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.rule, finding.phase) for finding in findings]


@pytest.mark.parametrize(("wait", "expected"), [(40, [("barrier-waits", "decode")]), (20, [])])
def test_barrier_waits(wait: int, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    nodes = [
        "exec 2 run=1 worker=0 at=0 work=100",
        f"exec 2 run=1 worker=1 at=0 work={100 - 2 * wait} wait={2 * wait}",
    ]
    findings = found(tmp_path, model(), run(1, 0, 100, *nodes, threads=2))
    assert rules(findings) == expected
    for finding in findings:
        # Each thread waited 40 of 100 µs on average: without, a token would take 60.
        assert finding.cost_s == pytest.approx(40e-6)
        assert finding.cost_share == pytest.approx(0.4)
        assert finding.cost_tokens_per_second == pytest.approx(1 / 60e-6 - 1 / 100e-6)
        assert finding.severity == "high"
        assert finding.at_most


def test_barrier_waits_name_a_count_of_threads_that_is_as_fast(tmp_path: Path) -> None:
    nodes = [f"exec 2 run=1 worker={worker} at=0 work=25 wait=75" for worker in range(1, 4)]
    findings = found(tmp_path, model(), run(1, 0, 100, "exec 2 run=1 worker=0 at=0 work=100", *nodes, threads=4))
    assert [finding.advice for finding in findings] == ["try -t 2 (2 would have been as fast)"]


@pytest.mark.parametrize(("took", "expected"), [(20, [("no-flash-attention", "decode")]), (8, [])])
def test_no_flash_attention(took: int, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    nodes = [f"exec 1 run=1 worker=0 at=0 work={took}", f"exec 2 run=1 worker=0 at={took} work={100 - took}"]
    assert rules(found(tmp_path, model(), run(1, 0, 100, *nodes))) == expected


@pytest.mark.parametrize(("bandwidth", "expected"), [("1e10", [("below-the-roofline", "decode")]), ("3e9", [])])
def test_below_the_roofline(bandwidth: str, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    """663 552 bytes in 1 ms are 0.66 GB/s: 7 % of 10 GB/s, and 22 % of 3."""
    machine = f"machine triad={bandwidth} read={bandwidth} flops=1e12 int8=1e12\nprocess cpus=8"
    findings = found(tmp_path, model(), run(1, 0, 1000, "exec 2 run=1 worker=0 at=0 work=1000"), process=machine)
    assert rules(findings) == expected
    for finding in findings:
        assert finding.cost_s == pytest.approx(1e-3 - 663_552 / 1e10)
        assert "ffn_up reaches 7 %" in finding.sentence


@pytest.mark.parametrize(("graphs", "expected"), [(20, [("graphs-rebuilt", "decode")]), (2, [])])
def test_graphs_rebuilt(graphs: int, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    models = [
        model(number).replace("x f32 [1024]", f"x{number} f32 [1024]").replace("weight x", f"weight x{number}")
        for number in range(1, graphs + 1)
    ]
    runs = [run(i + 1, i * 100, 70, graph=1 + i % graphs) for i in range(20)]
    findings = found(tmp_path, *models, *runs)
    assert rules(findings) == expected
    for finding in findings:
        assert finding.evidence == "20 different graphs in 20 runs"
        assert finding.cost_s == pytest.approx(19 * 30e-6)


@pytest.mark.parametrize(("first", "expected"), [(300_000, [("first-run-cold", "decode")]), (150_000, [])])
def test_first_run_cold(first: int, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    runs = [
        run(1, 0, first),
        run(2, first, 100_000),
        run(3, first + 100_000, 100_000),
        run(4, first + 200_000, 100_000),
    ]
    findings = found(tmp_path, model(), *runs)
    assert rules(findings) == expected
    for finding in findings:
        assert finding.cost_s == pytest.approx(0.2)
        assert not finding.at_most


def test_what_is_missing_from_the_capture(tmp_path: Path) -> None:
    findings = found(tmp_path, model(), run(1, 0, 100), "lost 5", "note distorting 'each node alone'")
    assert set(rules(findings)) == {("records-lost", ""), ("capture-distorts", "")}


def test_recording_that_is_felt(tmp_path: Path) -> None:
    nodes = ["exec 2 run=1 worker=0 at=0 work=100"]
    process = "process cpus=8 put_cost_ns=2000"
    assert rules(found(tmp_path, model(), run(1, 0, 100, *nodes), process=process)) == [("capture-distorts", "")]


def test_every_rule_has_a_test_or_a_golden_trace() -> None:
    golden = "".join(path.read_text() for path in (Path(__file__).parents[1] / "golden").glob("*.txt"))
    tested = Path(__file__).read_text()
    for name in ("too-many-threads", "flash-attention-on-cpu", "splits-and-copies"):
        assert name in golden
    for name in ("barrier-waits", "no-flash-attention", "below-the-roofline", "graphs-rebuilt", "first-run-cold"):
        assert f'"{name}"' in tested
    assert len(RULES) == 9
