"""What is said of a span, of a column of shares, and of a selected range."""

from __future__ import annotations

from typing import Any

from imgui_bundle import imgui

from ggml_viz.desktop import draw
from ggml_viz.desktop.theme import packed
from ggml_viz.desktop.timeline.axis import moment
from ggml_viz.desktop.timeline.pick import Column, Span
from ggml_viz.desktop.timeline.view import View
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.model.kinds import KINDS
from ggml_viz.model.phases import OTHER, PHASES
from ggml_viz.numbers import count, duration, percent, plural, significant, size

_MOST_OPS = 8
_MOST_WORKERS = 16
# What took less of a column is not worth a line.
_LEAST_SHARE = 0.001


def took(seconds: float) -> str:
    """A time, without what fills a column of a table."""
    return duration(seconds).strip()


def span_card(space: Workspace, span: Span, label: str, details: dict[str, Any] | None, view: View) -> None:
    """What is known of a span: what the tile says at once, the rest when it has come."""
    lane = span.lane
    if details is None:
        imgui.text_unformatted(label)
        imgui.text_disabled(lane.name)
    else:
        if lane.in_phases:
            phase = details["phase"] if details["phase"] in PHASES else label.split(",")[0]
            _dot(space.theme.phases[PHASES.index(phase if phase in PHASES else OTHER)])
        else:
            _dot(space.theme.kinds[details["kind"]])
        imgui.text_unformatted(details["title"] or label)
        layer = "" if details["layer"] is None else f"layer {details['layer']}"
        parts = (details["tensor"], details["op"], details["role"], layer, lane.name)
        imgui.text_disabled(" · ".join(part for part in parts if part))
    if not imgui.begin_table("##span", 2, imgui.TableFlags_.sizing_fixed_fit):
        return
    _line("begins", moment(span.begin if details is None else details["begin_s"], view))
    if details is None:
        _line("took", took(span.end - span.begin))
        if span.wait:
            _line("of that waiting", took(span.wait))
    else:
        _facts(details, span)
    imgui.end_table()
    if details is not None and details["workers"]:
        _workers(space, details)


def _facts(details: dict[str, Any], span: Span) -> None:
    wall_s, busy_s = details["wall_s"] or span.end - span.begin, details["work_s"] + details["wait_s"]
    typical = details["typical"]
    _line("took", took(wall_s), f"median of {count(typical['count'])}: {took(typical['median_s'])}" if typical else "")
    if busy_s:
        waits = f"{percent(details['wait_s'] / busy_s)} waiting"
        _line("work, wait", f"{took(details['work_s'])}, {took(details['wait_s'])}", waits)
    rates = [
        f"{significant(details[name])} {unit}"
        for name, unit in (("gbps", "GB/s"), ("gflops", "GFLOP/s"))
        if details[name] is not None
    ]
    if rates:
        _line("achieved", ", ".join(rates), size(details["bytes"]) if details["bytes"] is not None else "")
    if details["floor_s"] is not None:
        share = f"{percent(details['floor_s'] / wall_s)} of the time it took" if wall_s else ""
        _line("floor", took(details["floor_s"]), share)
    if details["shape"]:
        _line("shape", str(details["shape"]), details["types"])
    for i, source in enumerate(details["sources"]):
        title = "" if i else "sources" if len(details["sources"]) > 1 else "source"
        _line(title, source["name"] or source["op"], f"{source['type']} {source['shape']}")
    if details["backend"]:
        _line("backend", details["backend"])
    node = f", node {details['node']}" if span.lane.group == "ops" else ""
    _line("of", f"{details['phase']}, run {details['run']}, graph {details['graph']}{node}")


def _workers(space: Workspace, details: dict[str, Any]) -> None:
    workers = details["workers"][:_MOST_WORKERS]
    longest = max(max(each["work_s"] + each["inner_s"] + each["wait_s"] for each in workers), 1e-12)
    work, wait = (packed(colours[details["kind"]]) for colours in (space.theme.kinds, space.theme.waits))
    if not imgui.begin_table("##workers", 4, imgui.TableFlags_.sizing_fixed_fit):
        return
    for title in ("worker", "work", "wait", ""):
        imgui.table_next_column()
        imgui.text_disabled(title)
    for each in workers:
        waited = each["inner_s"] + each["wait_s"]
        draw.cell(str(each["worker"]))
        draw.cell(took(each["work_s"]))
        draw.cell(took(waited))
        imgui.table_next_column()
        em = imgui.get_font_size()
        at, line = imgui.get_cursor_screen_pos(), imgui.get_text_line_height()
        middle, end = (at.x + 9 * em * part / longest for part in (each["work_s"], each["work_s"] + waited))
        lines = imgui.get_window_draw_list()
        lines.add_rect_filled((at.x, at.y + line * 0.2), (middle, at.y + line * 0.8), work)
        lines.add_rect_filled((middle, at.y + line * 0.2), (end, at.y + line * 0.8), wait)
        imgui.dummy((9 * em, line))
    imgui.end_table()
    if len(details["workers"]) > len(workers):
        imgui.text_disabled(f"{len(details['workers']) - len(workers)} more")


def column_card(space: Workspace, column: Column, view: View) -> None:
    """What took the time of a column of shares."""
    lane = column.lane
    imgui.text_unformatted(lane.name)
    imgui.text_disabled(f"{moment(column.begin, view)}, {took(column.end - column.begin)} in a pixel")
    names = PHASES if lane.in_phases else KINDS
    colours = space.theme.phases if lane.in_phases else space.theme.kinds
    parts = [
        (kind, work, wait)
        for kind, (work, wait) in enumerate(column.shares[: len(names)])
        if work + wait >= _LEAST_SHARE
    ]
    if not parts:
        imgui.text_unformatted("nothing")
        return
    if not imgui.begin_table("##column", 3, imgui.TableFlags_.sizing_fixed_fit):
        return
    for title in ("share of the time", "work", "wait"):
        imgui.table_next_column()
        imgui.text_disabled(title)
    for kind, work, wait in parts:
        draw.cell(names[kind], colours[kind])
        draw.cell(percent(work))
        draw.cell(percent(wait) if wait else "")
    idle = 1 - sum(work + wait for _, work, wait in parts)
    if idle >= 0.005:
        draw.cell("nothing")
        draw.cell(percent(idle))
    imgui.end_table()


def range_card(space: Workspace, report: dict[str, Any] | None, shown: View, view: View) -> None:
    """The statistics of a selected range: of the runs that began in it."""
    imgui.text_unformatted(f"{took(shown.width)} selected")
    imgui.text_disabled(f"{moment(shown.begin, view)} to {moment(shown.end, view)}")
    if report is None:
        imgui.text_disabled("Adding up…")
        return
    if not report["graphs"]["runs"]:
        imgui.text_wrapped("No graph began to run in this range: select a wider one.")
        return
    imgui.text_unformatted(plural(report["graphs"]["runs"], "graph"))
    for phase in report["phases"]:
        if phase["runs"]:
            rate = phase["tokens_per_second"]
            told = f"{phase['phase']} {plural(phase['tokens'], 'token')}"
            _dot(space.theme.phases[PHASES.index(phase["phase"])])
            imgui.text_unformatted(told if rate is None else f"{told}, {significant(rate)} t/s")
            draw.hint(f"{plural(phase['runs'], 'run')} in {took(phase['seconds'])}; tokens over that time.")
    flags = imgui.TableFlags_.sizing_fixed_fit | imgui.TableFlags_.row_bg | imgui.TableFlags_.no_keep_columns_visible
    if imgui.begin_table("##ops", 6, flags):
        draw.header("op", "share", "time", "calls", "median", "wait")
        for op in report["ops"][:_MOST_OPS]:
            busy = op["work_s"] + op["wait_s"]
            draw.cell(op["op"])
            draw.hint(
                f"{plural(op['count'], 'execution')}, median {took(op['p50_us'] / 1e6)}, p99 {took(op['p99_us'] / 1e6)}"
            )
            draw.number(percent(op["share"]))
            draw.number(took(op["seconds"]))
            draw.number(count(op["count"]))
            draw.number(took(op["p50_us"] / 1e6))
            draw.number(percent(op["wait_s"] / busy) if busy else "")
        imgui.end_table()
    if len(report["ops"]) > _MOST_OPS:
        imgui.text_disabled(f"{len(report['ops']) - _MOST_OPS} more")
    busy_of = " · ".join(f"worker {each['worker']} {percent(each['busy'])}" for each in report["threads"])
    imgui.push_style_color(imgui.Col_.text, imgui.get_style_color_vec4(imgui.Col_.text_disabled))
    imgui.text_wrapped(f"busy: {busy_of}")
    imgui.pop_style_color()


def _dot(colour: tuple[int, int, int]) -> None:
    at, line = imgui.get_cursor_screen_pos(), imgui.get_text_line_height()
    side = round(line * 0.6)
    top = at.y + round((line - side) / 2)
    imgui.get_window_draw_list().add_rect_filled((at.x, top), (at.x + side, top + side), packed(colour))
    imgui.dummy((side, line))
    imgui.same_line()


def _line(title: str, text: str, more: str = "") -> None:
    imgui.table_next_column()
    imgui.text_disabled(title)
    imgui.table_next_column()
    imgui.text_unformatted(text)
    if more:
        imgui.same_line()
        imgui.text_disabled(f"· {more}")
