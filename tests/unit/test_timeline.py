"""The timeline shows what was recorded: spans where they are, and shares that add up, at every zoom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.tiles import Spans, read_tile
from tests.support.tracefile import trace_from_text, write_large_trace

from ggml_viz.model.kinds import KINDS, kind_of
from ggml_viz.model.trace import Trace
from ggml_viz.views import timeline
from ggml_viz.views.series import over_time
from ggml_viz.views.timeline import FIRST_WORKER, Timeline

GOLDEN = Path(__file__).parents[1] / "golden"


def opened(path: Path) -> tuple[Trace, Timeline]:
    trace = Trace.open(path)
    timeline = Timeline(trace)
    timeline.build()
    return trace, timeline


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trace, Timeline]:
    path = tmp_path_factory.mktemp("timeline") / "small.ggmlviz"
    text = (GOLDEN / "two_threads.txt").read_text().partition("\n$ ")[0]
    path.write_bytes(trace_from_text(text))
    return opened(path)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trace, Timeline]:
    path = tmp_path_factory.mktemp("timeline") / "large.ggmlviz"
    write_large_trace(path, 400_000, threads=2)
    return opened(path)


def test_lanes_are_named(small: tuple[Trace, Timeline]) -> None:
    described = small[1].describe()
    assert [(lane["group"], lane["name"]) for lane in described["lanes"]] == [
        ("phases", "phase"),
        ("graphs", "graphs"),
        ("splits", "splits on CPU"),
        ("ops", "thread 0"),
        ("ops", "thread 1"),
    ]
    assert described["kinds"] == list(KINDS)


def test_spans_are_where_they_were_recorded(small: tuple[Trace, Timeline]) -> None:
    _, timeline = small
    labels = timeline.describe()["labels"]
    # From 200 µs to 300 µs: the fused normalisation and the beginning of the product.
    tile = read_tile(timeline.tile(200e-6, 300e-6, 1000, request=7))
    assert (tile.request, tile.columns) == (7, 1000)
    spans = tile.lanes[FIRST_WORKER + 1]
    assert isinstance(spans, Spans)
    assert [labels[label]["text"].split()[0] for label in spans.label.tolist()] == ["RMS_NORM+MUL", "MUL_MAT"]
    assert [KINDS[labels[label]["kind"]] for label in spans.label.tolist()] == [kind_of("NORM"), kind_of("MUL_MAT")]
    assert spans.begin == pytest.approx([0.0, 0.52], abs=1e-3)
    assert spans.duration == pytest.approx([0.5, 2.48], abs=1e-3)
    assert spans.wait == pytest.approx([0.2, 0.4], abs=1e-3)  # inside and at the end
    assert (spans.run.tolist(), spans.node.tolist()) == ([1, 1], [1, 4])
    graphs = tile.lanes[1]
    assert isinstance(graphs, Spans)
    assert labels[int(graphs.label[0])]["text"] == "decode, 2 tokens"
    assert graphs.begin[0] == pytest.approx(-1.0, abs=1e-3)


@pytest.mark.parametrize("width", [1.0, 0.3, 0.05, 0.011, 0.002])
def test_shares_are_those_of_the_spans(large: tuple[Trace, Timeline], width: float) -> None:
    trace, timeline = large
    begin = 0.31 * trace.duration_s if width < 1 else 0.0
    end = begin + width * trace.duration_s
    shares = read_tile(timeline.tile(begin, end, 64)).lanes[FIRST_WORKER]
    assert isinstance(shares, np.ndarray)
    exact = read_tile(timeline.tile(begin, end, 64, [FIRST_WORKER], spans_only=True)).lanes[FIRST_WORKER]
    assert isinstance(exact, Spans)
    labels = timeline.describe()["labels"]
    kinds = np.array([label["kind"] for label in labels])[exact.label]
    # By hand: what of each span falls into the window, by kind, as a share of it.
    left = exact.begin.astype(float)
    worked, right = left + exact.duration - exact.wait, left + exact.duration
    for kind in range(len(KINDS)):
        mine = kinds == kind
        for part, (low, high) in enumerate(((left, worked), (worked, right))):
            expected = np.clip(np.minimum(high, 1) - np.maximum(low, 0), 0, None)[mine].sum()
            assert shares[:, kind, part].mean() / 255 == pytest.approx(expected, abs=0.004)


def test_zooming_in_ends_in_single_spans(large: tuple[Trace, Timeline]) -> None:
    trace, timeline = large
    middle = trace.duration_s / 2
    spans = read_tile(timeline.tile(middle, middle + 100e-6, 1600)).lanes[FIRST_WORKER]
    assert isinstance(spans, Spans)
    assert 1 <= len(spans.begin) < 50


def test_a_window_outside_is_empty(small: tuple[Trace, Timeline]) -> None:
    tile = read_tile(small[1].tile(5.0, 6.0, 100))
    assert all(isinstance(lane, Spans) and not len(lane.begin) for lane in tile.lanes.values())


@pytest.mark.parametrize("window", [(1, 1, 100), (2, 1, 100), (0, 1, 0), (0, 1, 10**6), (float("nan"), 1, 100)])
def test_no_window_at_all(small: tuple[Trace, Timeline], window: tuple[float, float, int]) -> None:
    with pytest.raises(ValueError, match="tile"):
        small[1].tile(*window)


def test_tokens_per_second_add_up(small: tuple[Trace, Timeline]) -> None:
    trace = small[0]
    rates = over_time(trace, 0.0, 0.001, 50)
    (decode,) = rates["phases"]
    # Two runs of two tokens each within this millisecond.
    assert decode["phase"] == "decode"
    assert sum(decode["tokens_per_second"]) * 0.001 / 50 == pytest.approx(4, rel=1e-3)
    # Before the first run began there was nothing.
    assert decode["tokens_per_second"][:4] == [0.0] * 4


def test_of_intervals_long_ago_the_time_that_they_took_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    def shares(of: timeline._IntervalLane) -> np.ndarray[Any, Any]:
        mode, columns, payload = of.payload(timeline._Window(0, 100_000, 20), spans_only=False)
        assert (mode, columns) == (timeline.SHARES, 20)
        return np.frombuffer(payload, np.uint8).reshape(20, -1, 2)

    lane = timeline.Lane(1, "graphs", "graphs", 1)
    everything, newest = timeline._IntervalLane(lane), timeline._IntervalLane(lane)
    monkeypatch.setattr(newest, "_BLOCK_ROWS", 16)
    monkeypatch.setattr(newest, "_MOST_BLOCKS", 2)
    begin = np.arange(0, 100_000, 10, np.float64)
    for first in range(0, len(begin), 25):
        some = begin[first : first + 25]
        rows = timeline._intervals(begin=some, end=some + 6, kind=np.arange(len(some)) % 2, run=1, node=1, label=0)
        for each in (everything, newest):
            each.add(rows)
            each.payload(timeline._Window(0, 1, 1), spans_only=True)
    assert len(newest._old) <= 2 * newest._MOST_BLOCKS
    assert np.abs(shares(everything).astype(int) - shares(newest)).max() <= 2
    assert shares(everything)[:, :2, 0].sum() == pytest.approx(20 * 0.6 * 255, rel=0.02)
