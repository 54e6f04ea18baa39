"""The timeline of the desktop application, without a window: views, axes, lanes, tiles, pictures, what is asked for."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.tracefile import write_large_trace

from ggml_viz.desktop.theme import Theme
from ggml_viz.desktop.timeline.axis import axis_of, clock, moment
from ggml_viz.desktop.timeline.feed import Need, Window, suffices, window_for
from ggml_viz.desktop.timeline.lanes import Lane, lanes_of, lay_out, name_of, row_at
from ggml_viz.desktop.timeline.listing import rows_of
from ggml_viz.desktop.timeline.pick import column_at, execution_in, span_at
from ggml_viz.desktop.timeline.plate import Labels, Look, Plate, make_plate
from ggml_viz.desktop.timeline.raster import shares_of, stacked
from ggml_viz.desktop.timeline.scene import Area, compose, fitting, visible
from ggml_viz.desktop.timeline.stage import Stage
from ggml_viz.desktop.timeline.tile import Shares, Spans, Tile, TileError, read_tile
from ggml_viz.desktop.timeline.view import View, between, framing, pan, showing, within, zoom
from ggml_viz.model.kinds import KINDS
from ggml_viz.sources.traces import TraceSource

LIMITS = View(0.0, 10.0)
LOOK = Look(Theme(True), frozenset(), "", ())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TraceSource:
    path = tmp_path_factory.mktemp("timeline") / "large.ggmlviz"
    write_large_trace(path, 40_000)
    return TraceSource("large", path)


def plate_of(
    source: TraceSource, begin: float, end: float, columns: int, look: Look = LOOK
) -> tuple[Plate, list[Lane]]:
    told = source.timeline()
    lanes = lanes_of(told)
    tile = read_tile(source.tile(begin, end, columns, None, False, 1))
    return make_plate(tile, lanes, Labels(told), look), lanes


# --- views ---


def test_zooming_keeps_the_moment_under_the_pointer() -> None:
    view = zoom(View(2.0, 6.0), 0.5, 3.0, LIMITS)
    assert view == View(2.5, 4.5)
    assert View(2.0, 6.0).to_x(3.0, 800) == view.to_x(3.0, 800)
    assert zoom(view, 1000, 3.0, LIMITS) == LIMITS
    assert zoom(view, 1e-30, 3.0, LIMITS).width == pytest.approx(50e-9)


def test_a_view_stays_inside_and_as_wide() -> None:
    assert pan(View(1.0, 3.0), -5, LIMITS) == View(0.0, 2.0)
    assert pan(View(1.0, 3.0), 50, LIMITS) == View(8.0, 10.0)
    assert within(View(-5, 20), LIMITS) == LIMITS


def test_framing_and_showing() -> None:
    assert framing(View(4.0, 5.0), LIMITS) == pytest.approx(View(3.875, 5.125))
    assert showing(View(0.0, 2.0), View(1.0, 1.5), LIMITS) == View(0.0, 2.0)
    assert showing(View(0.0, 2.0), View(5.0, 5.5), LIMITS) == View(4.25, 6.25)
    # What would be too narrow to see is made a twentieth of the width.
    assert showing(View(0.0, 2.0), View(5.0, 5.001), LIMITS).width == pytest.approx(0.02)


def test_between_two_views_what_both_show_at_a_place_stays_there() -> None:
    one, other = View(0.0, 8.0), View(3.0, 5.0)
    half = between(one, other, 0.5)
    assert half.width == pytest.approx(4.0)
    assert half.to_x(4.0, 100) == pytest.approx(one.to_x(4.0, 100))
    assert between(one, other, 1.0) == pytest.approx(other)


# --- the axis ---


@pytest.mark.parametrize(
    ("view", "labels"),
    [
        (View(0, 3.7), ["0 s", "0.5 s", "1.0 s", "1.5 s", "2.0 s", "2.5 s", "3.0 s", "3.5 s"]),
        (View(0, 700), ["0:00", "2:00", "4:00", "6:00", "8:00", "10:00"]),
        (View(0, 40e-6), ["0 µs", "5 µs", "10 µs", "15 µs", "20 µs", "25 µs", "30 µs", "35 µs", "40 µs"]),
    ],
)
def test_ticks_are_round(view: View, labels: list[str]) -> None:
    assert [tick.label for tick in axis_of(view, 8).ticks] == labels


def test_far_from_the_beginning_a_base_is_said() -> None:
    axis = axis_of(View(12.345678, 12.345679), 8)
    assert axis.base.startswith("12.345")
    assert all(tick.label.startswith("+") and tick.label.endswith("ns") for tick in axis.ticks)
    assert clock(3725) == "1:02:05"
    assert moment(1.2345678, View(1.0, 2.0)) == "1.235 s"
    assert moment(1.2345678, View(1.2345, 1.2349)) == "1.234 567 8 s"


# --- lanes ---


def test_lanes_fill_the_height_and_groups_collapse() -> None:
    lanes = [Lane(0, "phases", "phase", 7), Lane(1024, "ops", "thread 0", 7), Lane(1025, "ops", "thread 1", 7)]
    layout = lay_out(lanes, set(), 400, 15)
    assert [heading.name for heading in layout.headings] == ["ops (2)"]
    first, last = layout.rows[1:]
    assert first.height == last.height > 100
    assert row_at(layout, last.y + 1, 15) == last
    collapsed = lay_out(lanes, {"7/ops"}, 400, 15)
    assert [row.small for row in collapsed.rows] == [False, True, True]
    assert collapsed.height < 100
    assert name_of(lanes[0], [*lanes, Lane(4096, "phases", "phase", 8)]) == "phase · 7"


# --- tiles and what is made of them ---


def test_what_is_no_tile_is_refused(source: TraceSource) -> None:
    data = source.tile(0.0, 0.1, 100, None, False, 0)
    for bad in (b"", b"\0" * 56, data[:60], data[:-2000]):
        with pytest.raises(TileError):
            read_tile(bad)


def test_wide_windows_are_shares_and_narrow_ones_spans(source: TraceSource) -> None:
    whole, _ = plate_of(source, 0.0, 1.0, 200)
    assert isinstance(whole.tile.lanes[1024], Shares)
    assert whole.image is not None
    assert whole.image.shape[1] == 200
    begin = 0.01
    near, lanes = plate_of(source, begin, begin + 0.0005, 400)
    spans = near.tile.lanes[1024]
    assert isinstance(spans, Spans)
    middle = begin + 0.00025
    span = span_at(near.tile, lanes[-2], middle, 1e-6)
    assert span is not None
    assert span.begin - 1e-9 <= middle <= span.end + 1e-6
    again = execution_in(near.tile, lanes[-2], span.run, span.node)
    assert again == span
    told = source.span(span.lane.id, span.run, span.node, span.begin)
    assert told["begin_s"] == pytest.approx(span.begin, abs=2e-7)
    column = column_at(whole.tile, lanes[-2], 0.01, 0.001)
    assert column is not None
    assert 0.5 < sum(map(sum, column.shares)) <= 1.02


def test_shares_of_spans_are_what_the_source_says(source: TraceSource) -> None:
    """A lane of many spans looks as one of shares: so that nothing jumps when a finer tile comes."""
    tile = read_tile(source.tile(0.01, 0.012, 50, None, True, 0))
    spans = tile.lanes[1024]
    assert isinstance(spans, Spans)
    labels = Labels(source.timeline())
    end = spans.begin + spans.duration
    shares = shares_of(spans.begin, end, labels.kinds[spans.label], len(KINDS), 50)
    coarse = read_tile(source.tile(0.01, 0.012, 50, None, False, 0)).lanes[1024]
    total = shares.sum(axis=1)
    assert total[1:-1] == pytest.approx(np.ones(48), abs=0.05)
    if isinstance(coarse, Shares):
        assert coarse.shares.sum(axis=(1, 2)) / 255 == pytest.approx(total, abs=0.1)


def test_shares_are_stacked_from_the_bottom() -> None:
    shares = np.array([[0.5, 0.25], [0.0, 0.985], [0.0, 0.0]], np.float32)
    picture = stacked(shares, np.array([1, 2, 9], np.uint32), 4)
    assert picture.T[:, ::-1].tolist() == [[1, 1, 2, 9], [2, 2, 2, 2], [9, 9, 9, 9]]


def test_what_is_not_meant_is_dimmed(source: TraceSource) -> None:
    plain, _ = plate_of(source, 0.01, 0.0105, 400)
    hidden, _ = plate_of(source, 0.01, 0.0105, 400, LOOK._replace(hidden=frozenset({0})))
    named, _ = plate_of(source, 0.01, 0.0105, 400, LOOK._replace(text="mul_mat"))
    nothing, _ = plate_of(source, 0.01, 0.0105, 400, LOOK._replace(text="no such thing"))
    changed = (plain.colours != hidden.colours).any(axis=0)
    labels = Labels(source.timeline())
    kinds = labels.kinds[plain.labels]
    texts = [labels.texts[label] for label in plain.labels]
    ops = np.arange(len(kinds)) >= plain.first[1024]
    assert np.array_equal(changed[ops], (kinds == 0)[ops])
    dimmed = (plain.colours != named.colours).any(axis=0)
    assert dimmed[ops].tolist() == ["MUL_MAT" not in text for text, op in zip(texts, ops, strict=True) if op]
    assert np.array_equal(plain.colours, nothing.colours)


def test_never_more_rectangles_than_pixels_can_show(source: TraceSource) -> None:
    width = 300.0
    for shown_s in (1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001):
        view = View(0.02, 0.02 + shown_s)
        plate, lanes = plate_of(source, *view, int(width))
        layout = lay_out(lanes, set(), 400, 15)
        area = Area(10.0, 10.0 + width, 5.0, 5.0, 405.0)
        rows = visible(layout.rows, area)
        drawn = compose(plate, rows, view, area, (10.0, 10.0 + width), 30, 14)
        assert len(drawn.boxes) <= 2 * len(rows) * width / 3 + 2 * len(rows)
        assert len(drawn.boxes) == len(drawn.colours)
        assert len(drawn.boxes) + len(drawn.pictures) > 0
        if len(drawn.boxes):
            assert drawn.boxes[:, 0].min() >= 6
            assert drawn.boxes[:, 2].max() <= 315
            assert (drawn.boxes[:, 2] > drawn.boxes[:, 0]).all()


def test_work_comes_first_in_a_bar_and_waiting_last() -> None:
    lane = Lane(1024, "ops", "thread 0", 7)
    one = {"text": "MUL_MAT", "kind": 0}
    told = {"labels": [one], "lanes": [lane._asdict()]}
    parts = [np.array([value], np.float32) for value in (0.2, 0.4, 0.1, 0.6)]
    numbers = [np.array([value], np.uint32) for value in (1, 2, 0)]
    spans = Spans(*parts[:3], *numbers, parts[3])
    tile = Tile(View(0.0, 1.0), 1.0, 100, False, {1024: spans})
    plate = make_plate(tile, [lane], Labels(told), LOOK)
    rows = lay_out([lane], set(), 100, 15).rows
    area = Area(0.0, 100.0, 0.0, 0.0, 100.0)
    drawn = compose(plate, rows, View(0.0, 1.0), area, (0.0, 100.0), 30, 14)
    assert drawn.boxes[:, [0, 2]].tolist() == [[20, 50], [50, 59]]
    assert drawn.colours.tolist() == LOOK.theme.packed_kinds[:, 0].tolist()
    (name,) = drawn.names
    assert (name.x, name.room, name.label) == (20, 30, 0)


def test_names_are_cut_to_fit() -> None:
    assert fitting("MUL_MAT", 7, len) == "MUL_MAT"
    assert fitting("MUL_MAT", 5, len) == "MUL_…"
    assert fitting("MUL_MAT", 3, len) == ""


def test_as_a_table_spans_are_unrounded(source: TraceSource) -> None:
    told = source.timeline()
    view = View(0.01, 0.0105)
    tile = read_tile(source.tile(*view, 400, None, False, 0))
    table = rows_of(tile, lanes_of(told), Labels(told), view)
    row = next(row for row in table.rows if row[0].startswith("thread"))
    values = dict(zip(table.columns, row, strict=True))
    assert values["work_s"] + values["wait_s"] == pytest.approx(values["wall_s"])
    whole = rows_of(read_tile(source.tile(0, 0.2, 50, None, False, 0)), lanes_of(told), Labels(told), View(0, 0.2))
    assert {row[4] for row in whole.rows if row[0].startswith("thread")} <= set(KINDS)


# --- what is asked for ---


def test_a_tile_has_room_at_both_sides_and_does_until_that_is_used_up() -> None:
    need = Need(View(4.0, 5.0), LIMITS, 1000, None, True)
    window = window_for(need)
    assert (window.view, window.columns) == (View(3.0, 6.0), 3000)

    def does(view: View, resting: bool = True, pictures: bool = True) -> bool:
        return suffices(window, Need(view, LIMITS, 1000, None, resting), pictures)

    assert does(View(4.0, 5.0))
    assert does(View(4.5, 5.5))
    assert not does(View(4.7, 5.7))
    # Zoomed in it is too coarse: at once, or when it comes to rest.
    assert not does(View(4.4, 5.1))
    assert does(View(4.4, 5.1), resting=False)
    assert not does(View(4.4, 4.9), resting=False)
    assert does(View(4.4, 4.5), pictures=False)
    assert window_for(Need(LIMITS, LIMITS, 1000, None, True)) == Window(LIMITS, 1000, None)


def test_lanes_that_were_not_asked_for_are() -> None:
    window = Window(LIMITS, 1000, (1, 2, 3))
    assert suffices(window, Need(LIMITS, LIMITS, 1000, (2, 3), True))
    assert not suffices(window, Need(LIMITS, LIMITS, 1000, (3, 4), True))


# --- the stage ---


def test_levels_are_gone_out_of_one_by_one() -> None:
    stage = Stage()
    stage.set_limits(LIMITS)
    assert stage.is_whole
    stage.frame(View(4.0, 5.0), 0.0)
    stage.step(1.0)
    assert stage.view == pytest.approx(View(3.875, 5.125))
    stage.frame(View(4.4, 4.5), 1.0)
    stage.step(2.0)
    assert stage.out(2.0)
    stage.step(3.0)
    assert stage.view == pytest.approx(View(3.875, 5.125))
    assert stage.out(3.0)
    stage.step(4.0)
    assert stage.is_whole
    assert not stage.out(4.0)


def test_held_keys_move_by_time_and_not_by_frames() -> None:
    reached = []
    for frames in (20, 60):
        stage = Stage()
        stage.set_limits(View(0.0, 1000.0))
        stage.jump(View(0.0, 1.0), 0.0)
        for i in range(frames):
            stage.held(1, 0, 0.5, 0.6 / frames, i * 0.6 / frames)
        reached.append(stage.view.begin)
    assert reached[0] == pytest.approx(reached[1], rel=0.05)
    assert reached[0] > 0.3


def test_following_keeps_the_newest_at_the_edge_until_one_goes_back() -> None:
    stage = Stage()
    stage.set_limits(View(0.0, 100.0))
    stage.follow(10.0)
    assert stage.view == View(90.0, 100.0)
    assert stage.show_newest(100.5, 0.05)
    assert stage.view.end == pytest.approx(100.55)
    assert not stage.show_newest(100.5, 5.0)
    assert stage.view.end == pytest.approx(100.6)
    stage.zoom(0.5, 95.0, 1.0)
    assert stage.is_following
    assert stage.view.width == pytest.approx(5.0)
    stage.pan(1.0, 1.0)
    assert stage.is_following
    stage.pan(-1.0, 1.0)
    assert not stage.is_following
