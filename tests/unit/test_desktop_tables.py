"""The arithmetic behind the desktop's tables, its roofline and its map of memory; no window is needed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ggml_viz.desktop.memory import bars
from ggml_viz.desktop.memory.steps import buffers_at, events_of, stacked, steps_of
from ggml_viz.desktop.ops.explained import MEANINGS, explained
from ggml_viz.desktop.ops.parts import Part, parts_of, peak_of, phases_of
from ggml_viz.desktop.ops.roofline import (
    Box,
    limits_of,
    nearest,
    place_names,
    points_of,
    radii,
    roof_lines,
    roofs_of,
)
from ggml_viz.desktop.sorting import in_order, matches

PEAK = {
    "threads": 2,
    "triad_bytes_per_s": 20e9,
    "read_bytes_per_s": 25e9,
    "flops_per_s": 100e9,
    "int8_ops_per_s": 400e9,
}


def made(name: str, seconds: float, flops: float | None, moved: float | None) -> Part:
    return Part(
        key=name, name=name, kind=0, seconds=seconds, share=0.5, count=10, p50_us=1.0, p99_us=2.0, work_s=3.0,
        wait_s=1.0, wait=0.25, imbalance=1.0, flops=flops, bytes=moved,
        gflops=None if flops is None else flops / seconds / 1e9,
        gbps=None if moved is None else moved / seconds / 1e9, floor_share=0.5,
    )  # fmt: skip


def row(**more: Any) -> dict[str, Any]:
    known = {"count": 1, "seconds": 1.0, "share": 0.5, "work_s": 1.5, "wait_s": 0.5, "flops": None, "bytes": None}
    return {**known, "gflops": None, "gbps": None, "floor_share": None, **more}


def report() -> dict[str, Any]:
    return {
        "ops": [
            row(op="MUL_MAT", p50_us=1.0, p99_us=2.0),
            row(op="NOTHING", p50_us=1.0, p99_us=2.0, work_s=0, wait_s=0),
        ],
        "roles": [
            row(phase="prefill", role="ffn_up"),
            row(phase="decode", role="", seconds=1.0),
            row(phase="decode", role="attn_q", seconds=2.0),
        ],
        "layers": [row(phase="decode", layer="7"), row(phase="decode", layer="")],
        "phases": [{"phase": "prefill", "seconds": 1.0}, {"phase": "decode", "seconds": 3.0}],
        "thread_use": {"ops": [{"op": "MUL_MAT", "imbalance": 1.25}], "phases": []},
        "roofline": {"machine": {"peaks": [{**PEAK, "threads": 1}, PEAK]}},
        "trace": {"processes": [{"threads": 2}]},
    }


# --- sorting ---


@pytest.mark.parametrize("descending", [False, True])
def test_unknown_values_come_last_whatever_the_order(descending: bool) -> None:
    order = in_order([None, 2.0, 3.0, None, 1.0], descending)
    assert order == ([2, 1, 4] if descending else [4, 1, 2]) + [0, 3]


def test_equal_values_stay_as_they_were() -> None:
    assert in_order([1, 0, 1, 0], True) == [0, 2, 1, 3]


def test_layers_are_sorted_by_number() -> None:
    names = ["layer 10", "layer 2", "Layer 1", "outside layers", "layer 2b"]
    assert [names[i] for i in in_order(names, False)] == [
        "Layer 1",
        "layer 2",
        "layer 2b",
        "layer 10",
        "outside layers",
    ]


def test_a_filter_wants_every_word_in_any_case() -> None:
    assert matches("MUL_MAT ffn_up", "up mul")
    assert not matches("MUL_MAT ffn_up", "mul down")
    assert matches("anything", "  ")


# --- rows ---


def test_ops_are_of_all_phases_and_know_their_imbalance() -> None:
    first, second = parts_of(report(), "op", "decode")
    assert (first.key, first.wait, first.imbalance) == ("MUL_MAT", 0.25, 1.25)
    assert (second.wait, second.imbalance) == (0.0, None)


def test_roles_and_layers_are_of_one_phase_and_named_in_words() -> None:
    assert [part.name for part in parts_of(report(), "role", "decode")] == ["attn_q", "not known by name"]
    assert [part.name for part in parts_of(report(), "layer", "decode")] == ["layer 7", "outside layers"]
    assert phases_of(report()) == (["prefill", "decode"], "decode")


def test_the_peak_is_that_of_as_many_threads_or_the_last() -> None:
    found = report()
    assert peak_of(found) == PEAK
    found["trace"]["processes"][0]["threads"] = 8
    assert peak_of(found) == PEAK
    found["roofline"]["machine"]["peaks"] = []
    assert peak_of(found) is None
    found["roofline"]["machine"] = None
    assert peak_of(found) is None


def test_each_figure_says_how_it_is_known() -> None:
    part = made("MUL_MAT", 2.0, 4e9, 8e9)
    texts = {field: explained(part, field, "all graphs", PEAK) for field in MEANINGS}
    assert all(texts.values())
    assert "3.00 s and waited 1.00 s" in texts["wait"]
    assert "8.00 GB in 2.00 s" in texts["gbps"]
    assert "25.0 GB/s were measured here with 2 threads" in texts["gbps"]
    assert "10 executions" in texts["p50_us"]
    nothing = made("X", 2.0, None, None)
    assert all(explained(nothing, field, "decode", None) for field in MEANINGS)


# --- roofline ---


def test_points_are_operations_per_byte_and_rates() -> None:
    points = points_of([made("a", 2.0, 4e9, 8e9), made("b", 1.0, None, 1.0), made("c", 1.0, 0.0, 1e9)])
    assert [(point.part.key, point.intensity, point.rate) for point in points] == [("a", 0.5, 2.0)]


def test_roofs_meet_where_memory_allows_the_highest_rate() -> None:
    roofs = roofs_of(PEAK)
    assert roofs is not None
    assert roofs.bandwidth == 25.0
    assert roofs.flat == [("f32", 100.0), ("int8", 400.0)]
    limits = limits_of(points_of([made("a", 2.0, 4e9, 8e9)]), roofs)
    assert limits.left <= 0.5 < 16.0 <= limits.right
    assert limits.bottom <= 2.0 < 400.0 <= limits.top
    xs, ys, flat = roof_lines(roofs, limits)
    assert (xs[1], ys[1]) == (16.0, 400.0)
    assert math.isclose(ys[0], xs[0] * 25.0)
    assert [line[0] for line in flat] == [4.0, 16.0]
    assert roofs_of(None) is None


def test_without_points_and_roofs_there_is_a_plot_all_the_same() -> None:
    limits = limits_of([], None)
    assert 0 < limits.left < limits.right
    assert 0 < limits.bottom < limits.top


def test_an_area_stands_for_a_time() -> None:
    large, small = radii(points_of([made("a", 4.0, 4e9, 8e9), made("b", 1.0, 4e9, 8e9)]))
    assert large == 1.0
    assert small == pytest.approx(0.24 + 0.76 * 0.5)


def test_names_cover_neither_points_nor_each_other_nor_the_edge() -> None:
    dots = [(50.0, 50.0, 10.0), (55.0, 52.0, 4.0), (190.0, 50.0, 5.0)]
    within = Box(0, 0, 200, 100)
    placed = place_names(dots, [(40.0, 12.0)] * 3, within)
    boxes = [Box(left, top, left + 40, top + 12) for _, left, top in placed]
    assert len(boxes) >= 2
    for box in boxes:
        assert 0 <= box.left < box.right <= 200
    assert not any(a.meets(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    for (index, _, _), box in zip(placed, boxes, strict=True):
        others = [Box(x - r, y - r, x + r, y + r) for i, (x, y, r) in enumerate(dots) if i != index]
        assert not any(box.meets(other) for other in others)


def test_the_smallest_point_under_the_pointer_is_meant() -> None:
    dots = [(50.0, 50.0, 10.0), (55.0, 52.0, 2.0)]
    assert nearest(dots, 55, 52, 1) == 1
    assert nearest(dots, 45, 50, 1) == 0
    assert nearest(dots, 150, 50, 1) is None


# --- memory over time ---

CHANGES = [
    {"at_s": 1.0, "usage": "weights", "backend": "CPU", "bytes": 100, "total_bytes": 100},
    {"at_s": 2.0, "usage": "compute", "backend": "CPU", "bytes": 40, "total_bytes": 140},
    {"at_s": 2.0, "usage": "kv", "backend": "GPU", "bytes": 10, "total_bytes": 150},
    {"at_s": 3.0, "usage": "compute", "backend": "CPU", "bytes": 0, "total_bytes": 110},
]


def test_steps_hold_until_the_next() -> None:
    steps = steps_of(CHANGES)
    assert steps.at_s.tolist() == [1.0, 2.0, 3.0]
    assert steps.totals.tolist() == [100, 150, 110]
    assert steps.sizes.sum(axis=0).tolist() == [100, 150, 110]
    assert steps.peak == 1
    assert [steps.step_at(at) for at in (0.5, 1.0, 2.9, 9.0)] == [None, 0, 1, 2]
    assert steps_of([]).peak is None


def test_areas_stand_one_upon_the_other() -> None:
    moments, edges = stacked(steps_of(CHANGES), 5.0)
    assert moments.tolist() == [1.0, 2.0, 2.0, 3.0, 3.0, 5.0]
    assert edges[-1].tolist() == [100, 100, 150, 150, 110, 110]
    assert (np.diff(edges, axis=0) >= 0).all()
    empty = stacked(steps_of([]), 5.0)
    assert empty[0].shape == (0,)


def test_events_say_by_how_much() -> None:
    assert [event.by_bytes for event in events_of(CHANGES)] == [100, 40, 10, -40]


def test_buffers_at_a_moment_are_those_that_there_were() -> None:
    assert buffers_at(CHANGES, 2.5) == [("weights", "CPU", 100), ("compute", "CPU", 40), ("kv", "GPU", 10)]
    assert buffers_at(CHANGES, 0.5) == []


# --- the map of an arena ---


def arena() -> dict[str, Any]:
    def tensor(offset: int, size: int, born: int, dies: int, node: int | None, reuses: int | None) -> dict[str, Any]:
        return {
            "name": f"t{born}", "op": "ADD", "kind": 2, "offset": offset, "bytes": size, "born": born, "dies": dies,
            "node": node, "reuses": reuses,
        }  # fmt: skip

    return {
        "bytes": 2000,
        "nodes": 100,
        "tensors": [
            tensor(0, 100, -1, 9, None, None),
            tensor(0, 50, 10, 19, 10, 0),
            tensor(900, 100, 10, 99, 11, None),
        ],
    }


def test_tensors_are_alive_from_birth_to_last_use() -> None:
    tensors = bars.tensors_of(arena())
    assert tensors.alive[0] == 100
    assert tensors.alive[9] == 100
    assert tensors.alive[10] == 150
    assert tensors.alive[20] == 100
    assert tensors.peak == 10
    assert tensors.related(0).tolist() == [True, True, False]
    assert tensors.related(2).tolist() == [False, False, True]


def test_true_to_scale_an_offset_goes_where_it_is() -> None:
    tensors = bars.tensors_of(arena())
    scale = bars.scale_of(tensors, closed=False)
    assert scale.bytes.tolist() == [0, 100, 900, 1000]
    assert scale.places.tolist() == pytest.approx([0, 0.1, 0.9, 1.0])
    assert scale.used_share == pytest.approx(0.2)
    assert bars.is_sparse(tensors)


def test_closed_gaps_leave_the_room_to_what_is_used() -> None:
    scale = bars.scale_of(bars.tensors_of(arena()), closed=True)
    widths = np.diff(scale.places)
    assert widths[1] < 0.01
    assert widths[0] == pytest.approx(widths[2])
    assert scale.places[-1] == pytest.approx(1.0)


def test_bars_are_where_offsets_and_nodes_are() -> None:
    tensors = bars.tensors_of(arena())
    scale = bars.scale_of(tensors, closed=False)
    boxes = bars.boxes_of(tensors, scale, tensors.whole, (10.0, 20.0), (1000.0, 1010.0))
    # A node is 10 pixels high, less one between bars.
    assert boxes.tolist() == [[10, 20, 110, 129], [10, 130, 60, 229], [910, 130, 1010, 1029]]
    assert bars.hit(boxes, 50, 140) == 1
    assert bars.hit(boxes, 109, 50) == 0
    assert bars.hit(boxes, 111, 50) == 0, "nearly is near enough"
    assert bars.hit(boxes, 500, 500) is None
    one_node = tensors.whole._replace(first=10.0, last=20.0)
    assert bars.boxes_of(tensors, scale, one_node, (0.0, 0.0), (100.0, 100.0))[1].tolist() == [0, 0, 5, 99]


def test_what_is_alive_has_no_more_bars_than_pixels() -> None:
    tensors = bars.tensors_of(arena())
    boxes = bars.alive_boxes(tensors, tensors.whole, (0.0, 0.0), (60.0, 20.0))
    assert 0 < len(boxes) <= 20
    assert boxes[:, 2].max() == 60.0
    every = bars.alive_boxes(tensors, tensors.whole, (0.0, 0.0), (60.0, 1010.0))
    assert len(every) == 100


def test_zooming_keeps_the_place_under_the_pointer_and_stays_inside() -> None:
    whole = bars.View(0.0, 1.0, -1.0, 99.0)
    half = bars.zoomed(whole, 0.5, 0.25, whole)
    assert (half.first, half.last) == (11.5, 61.5)
    assert bars.zoomed(half, 8.0, 0.5, whole) == whole
    deep = whole
    for _ in range(30):
        deep = bars.zoomed(deep, 0.5, 1.0, whole)
    assert deep.last - deep.first == 12.0
    assert deep.last == 99.0
    wide = bars.widened(whole, 0.5, 0.5)
    assert (wide.left, wide.right) == (0.25, 0.75)
    assert bars.widened(wide, 9.0, 0.1) == whole
    assert bars.moved(half, 0.0, -1000.0, whole).first == -1.0
    assert bars.moved(half, 0.0, 1000.0, whole).last == 99.0


def test_a_chosen_tensor_is_brought_into_view() -> None:
    whole = bars.View(0.0, 1.0, -1.0, 99.0)
    view = bars.View(0.0, 1.0, 0.0, 12.0)
    assert bars.revealing(view, 3.0, 5.0, whole) == view
    seen = bars.revealing(view, 50.0, 60.0, whole)
    assert seen.first < 50.0 < seen.last
    assert seen.last - seen.first == 12.0


@pytest.mark.parametrize(("least", "step"), [(0.3, 1), (1.0, 1), (1.2, 2), (3.0, 5), (7.0, 10), (130.0, 200)])
def test_steps_of_the_axis_are_round(least: float, step: int) -> None:
    assert bars.nice_step(least) == step


def test_an_empty_arena_has_a_map() -> None:
    tensors = bars.tensors_of({"bytes": 0, "nodes": 0, "tensors": []})
    scale = bars.scale_of(tensors, closed=True)
    boxes = bars.boxes_of(tensors, scale, tensors.whole, (0.0, 0.0), (10.0, 10.0))
    assert boxes.shape == (0, 4)
    assert bars.hit(boxes, 1, 1) is None
