"""Pictures of a trace, drawn by matplotlib: a timeline, time by op, a roofline, memory, and a layer of the graph."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ggml_viz.analysis.contents import wall_time
from ggml_viz.analysis.memory import MemoryChange, memory_use
from ggml_viz.analysis.operations import OpTotal, op_totals
from ggml_viz.analysis.roofline import Limits, Point
from ggml_viz.errors import UserError, printable
from ggml_viz.export.lanes import COLUMNS, SPLITS, WAITING, Lane, lanes_of, time_range
from ggml_viz.export.placing import place
from ggml_viz.export.timeline import process_name
from ggml_viz.model.kinds import KINDS, MATRIX, OTHER, kind_of
from ggml_viz.model.part import PartOfTrace
from ggml_viz.model.phases import DECODE, MIXED, PHASES, PREFILL
from ggml_viz.numbers import count, duration, percent, plural, significant, size
from ggml_viz.views.layer import ChosenGraph, Layer, LayerNode, choose_graph, has_layers, layer_of
from ggml_viz.views.palette import HEAT, KIND_COLOURS, PHASE_COLOURS, USAGE_COLOURS

if TYPE_CHECKING:
    from ggml_viz.export.selection import Selection

# Inches and dots an inch: 1200 × 700 pixels.
_WIDTH, _HEIGHT, _DPI = 12.0, 7.0, 100

# Pictures stand on white.
_KIND_COLOURS = {kind: colour.light for kind, colour in KIND_COLOURS.items()}
_PHASE_COLOURS = {phase: colour.light for phase, colour in PHASE_COLOURS.items()}
_USAGE_COLOURS = {usage: colour.light for usage, colour in USAGE_COLOURS.items()}
_USAGE_NAMES = {"kv": "KV cache"}
_PHASE_MARKERS = {PREFILL: "s", DECODE: "o", MIXED: "D", "other": "^"}
_WAIT, _SPLIT, _INK, _FAINT = "#E5E5E5", "#555555", "#222222", "#777777"

_HIGH_LANES = 10
_MAX_OPS = 16
_MAX_LABELLED_POINTS = 12
# Points so many pixels from each other share a name.
_SAME_PLACE = 12
_MAX_POINTS = 500
_MAX_LAYER_NODES = 48
_LONGEST = 150


def write(selection: Selection, form: str, picture: str, graph: int | None, layer: int | None, out: BinaryIO) -> None:
    """Writes a picture.

    Args:
        selection: What of the trace.
        form: `svg` or `png`.
        picture: One of PICTURES.
        graph: Number of the graph whose layer is wanted; None: see `choose_graph`.
        layer: The layer's number; None: the first.
        out: Where to.

    Raises:
        UserError: matplotlib is not installed, or there is nothing to draw.
    """
    if picture == "layer":
        of = choose_graph(selection.trace, graph)
        write_layer(selection, form, of, 0 if layer is None and has_layers(selection.trace, of) else layer, out)
        return
    with _matplotlib() as figure:
        _DRAWN[picture](selection, figure)
        _save(figure, form, out)


def write_layer(selection: Selection, form: str, of: ChosenGraph, number: int | None, out: BinaryIO) -> None:
    """Writes the picture of a layer.

    Args:
        selection: All of a trace.
        form: `svg` or `png`.
        of: The layer's graph.
        number: The layer's; None: what belongs to no layer.
        out: Where to.

    Raises:
        UserError: matplotlib is not installed, or there is no such layer.
    """
    with _matplotlib() as figure:
        _layer(selection, figure, of, number)
        _save(figure, form, out)


def _save(figure: Any, form: str, out: BinaryIO) -> None:
    metadata = {"Date": None} if form == "svg" else {"Software": "ggml-viz"}
    figure.savefig(out, format=form, metadata=metadata)


@contextmanager
def _matplotlib() -> Iterator[Any]:
    """An empty figure."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError(
            "matplotlib, which draws pictures, is not installed", "Install it with: pip install 'ggml-viz[plots]'"
        ) from None
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "ggml-viz",
        "font.family": ["DejaVu Sans"],
        "font.size": 9,
        # Names of tensors are no formulae.
        "text.parse_math": False,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _FAINT,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        # Ticks say the whole number, not how far it is from another.
        "axes.formatter.useoffset": False,
        "axes.formatter.limits": (-6, 12),
        "xtick.color": _INK,
        "ytick.color": _INK,
        "legend.frameon": False,
        "hatch.linewidth": 0.6,
        "path.simplify": True,
    }
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style)
        # Of characters that the font lacks; the file shows a box, or what the viewer has.
        warnings.simplefilter("ignore", UserWarning)
        figure = Figure((_WIDTH, _HEIGHT), dpi=_DPI)
        FigureCanvasAgg(figure)
        yield figure


def _axes(selection: Selection, figure: Any, title: str, box: tuple[float, float, float, float], note: str = "") -> Any:
    """Axes in a box (left, bottom, right, top; of the figure) below a title, with what was recorded below them."""
    left, bottom, right, top = box
    figure.text(0.02, 0.955, title, fontsize=14, fontweight="bold", va="center")
    if note:
        figure.text(0.02, 0.915, note, fontsize=9, color=_FAINT, va="center")
    figure.text(0.02, 0.022, _caption(selection), fontsize=8, color=_FAINT, va="center")
    return figure.add_axes((left, bottom, right - left, top - bottom))


def _caption(selection: Selection) -> str:
    trace = selection.trace
    names = [printable(process_name(process)) for process in trace.watched]
    command = _short("; ".join(names), 110)
    threads = max((int(process.runs.threads.max(initial=0)) for process in trace.watched), default=0)
    when = wall_time(trace.started_wall_ns)[:16].replace("T", " ")
    parts = (command, f"{when} UTC" if when else "", plural(threads, "thread") if threads else "", _only(selection))
    return " · ".join(part for part in parts if part)


def _only(selection: Selection) -> str:
    chosen = ", ".join([*sorted(selection.phases), *sorted(selection.ops)])
    only = _short(f"only {printable(chosen)}", 60) if chosen else ""
    if isinstance(selection.trace, PartOfTrace):
        from_s, until_s = (f"{at_s * 1e3:.6g} ms" for at_s in selection.trace.interval)
        only = f"only runs that began from {from_s} to {until_s}" + (f" · {only}" if only else "")
    return only


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _of_whole_trace(selection: Selection, picture: str) -> None:
    if selection.from_s > 0 or selection.until_s < math.inf:
        raise UserError(f"--from and --until are for a timeline or memory; {picture} is of all runs", exit_status=2)


def _of_all_nodes(selection: Selection, picture: str) -> None:
    if selection.ops or selection.phases:
        raise UserError(f"--op and --phase are not for the picture of {picture}", exit_status=2)


def _rows(selection: Selection) -> Any:
    """Which of the measured nodes are wanted: bool array [rows]."""
    nodes = selection.trace.measured
    wanted = np.ones(len(nodes), bool)
    if selection.phases:
        wanted &= np.isin(nodes.phase.codes, [PHASES.index(phase) for phase in selection.phases])
    if selection.ops:
        chosen = np.array([*(op.partition("+")[0].upper() in selection.ops for op in nodes.op.values), False])
        wanted &= chosen[nodes.op.codes]
    return wanted


# --- timeline ---


def _timeline(selection: Selection, figure: Any) -> None:
    from matplotlib.patches import Patch

    shown = lanes_of(selection)
    note = "what is too narrow to see fills its share of a column; waits inside of a node are spread over it"
    if shown.left_out:
        note += f"; {plural(shown.left_out, 'lane')} more not shown"
    axes = _axes(selection, figure, "What ran when", (0.12, 0.12, 0.97, 0.84), note)
    colours = {**_PHASE_COLOURS, **_KIND_COLOURS, WAITING: _WAIT, SPLITS: _SPLIT}
    names = [lane.name for lane in shown.lanes]
    edges = np.linspace(shown.from_s, shown.until_s, COLUMNS + 1)
    to_axis = _time_axis(axes, shown.from_s, shown.until_s)
    for row, lane in enumerate(shown.lanes):
        # Where work takes but a part of a high lane, it is the lower one.
        label_at = 0.2 if len(names) <= _HIGH_LANES else 0.45
        _lane(axes, lane, to_axis(edges), len(names) - 1 - row, colours, label_at)
    axes.set_ylim(-0.1, max(len(names), 1))
    axes.set_yticks([len(names) - 1 - row + 0.42 for row in range(len(names))], [printable(name) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    used = {
        (lane.parts is PHASES, part)
        for lane in shown.lanes
        for part, share in zip(lane.parts, lane.shares, strict=True)
        if share.any()
    }
    phases = [(phase, f"{phase} graphs" if phase == OTHER else phase) for phase in PHASES if (True, phase) in used]
    kinds = [(kind, f"{kind} ops" if kind == OTHER else kind) for kind in (*KINDS, WAITING) if (False, kind) in used]
    legend = [Patch(color=colours[part], label=label) for part, label in (*phases, *kinds)]
    if legend:
        figure.legend(handles=legend, loc="upper left", bbox_to_anchor=(0.105, 0.895), ncols=len(legend), fontsize=8.5)


def _lane(axes: Any, lane: Lane, edges: Any, bottom: int, colours: dict[str, str], label_at: float) -> None:
    """Draws a lane as areas one above the other: of a narrow thing's column its share, of a wide thing's all."""
    height = 0.84
    base = np.full(COLUMNS, float(bottom))
    for part, share in zip(lane.parts, lane.shares, strict=True):
        if not share.any():
            continue
        top = base + height * share
        axes.stairs(top, edges, baseline=base, fill=True, color=colours[part], linewidth=0)
        base = top
    per_column = (edges[-1] - edges[0]) / COLUMNS
    for begin, end, text in lane.labels:
        room = int((end - begin) / 6.2)
        axes.text(
            *(
                edges[0] + (begin + end) / 2 * per_column,
                bottom + height * label_at,
                _short(printable(text), max(room, 2)),
            ),
            fontsize=8,
            color="white" if lane.parts == (SPLITS,) or kind_of(text) == MATRIX else "black",
            ha="center",
            va="center",
            clip_on=True,
        )


def _time_axis(axes: Any, from_s: float, until_s: float) -> Callable[[Any], Any]:
    """Makes the x axis one of time. Returns what turns seconds into places on it."""
    scale, unit = _time_unit(until_s - from_s)
    # Long after the beginning, a short range is told from its own begin: else ticks have too many digits.
    origin_s = from_s if from_s > 1e5 * scale else 0.0
    since = f"{from_s:.9g} s after the recording began" if origin_s else "the recording began"
    axes.set_xlabel(f"time since {since}, {unit}")
    axes.set_xlim((from_s - origin_s) / scale, (until_s - origin_s) / scale)
    return lambda seconds: (seconds - origin_s) / scale


def _time_unit(seconds: float) -> tuple[float, str]:
    """The unit for a range of time: how many seconds it is, and its name."""
    return next(((s, unit) for s, unit in ((1.0, "s"), (1e-3, "ms")) if seconds >= 2 * s), (1e-6, "µs"))


# --- ops ---


def _ops(selection: Selection, figure: Any) -> None:
    from matplotlib.patches import Patch

    _of_whole_trace(selection, "time by op")
    totals = _of_rows(selection)
    whole_s = sum(total.seconds for total in totals)
    shown, rest = totals[:_MAX_OPS], totals[_MAX_OPS:]
    spans = sum(total.spans for total in totals)
    each = "of each op: its share, its executions, how much of the threads' time was waiting"
    note = f"{duration(whole_s).strip()} in {count(spans)} executed nodes; {each}" if totals else ""
    axes = _axes(selection, figure, "Time by op", (0.19, 0.12, 0.98, 0.85), note)
    if not totals:
        _nothing(axes, "no op was timed")
        return
    bars = [(total.op, total.seconds, _waiting(total), total.spans, kind_of(total.op)) for total in shown]
    if rest:
        seconds, work, wait = (sum(getattr(t, f) for t in rest) for f in ("seconds", "work_s", "wait_s"))
        bars.append((f"{len(rest)} others", seconds, _share(wait, work + wait), sum(t.spans for t in rest), OTHER))
    scale, unit = _time_unit(max(bar[1] for bar in bars))
    for row, (_, seconds, waiting, executions, kind) in enumerate(bars):
        colour = _KIND_COLOURS[kind]
        wide = seconds / scale
        axes.barh(row, wide * (1 - waiting), 0.72, color=colour)
        hatched: dict[str, Any] = {"facecolor": _faded(colour), "edgecolor": colour, "hatch": "////", "linewidth": 0}
        axes.barh(row, wide * waiting, 0.72, wide * (1 - waiting), **hatched)
        share = percent(_share(seconds, whole_s))
        said = f"{duration(seconds).strip()} · {share} · {count(executions)} × · {percent(waiting)} waiting"
        axes.annotate(said, (wide, row), (5, 0), textcoords="offset points", va="center", fontsize=8.5)
    names = [printable(_short(bar[0], 26)) for bar in bars]
    axes.set_yticks(range(len(bars)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, max(bar[1] for bar in bars) / scale * 1.4 or 1)
    axes.grid(axis="x", color="#E5E5E5", linewidth=0.8)
    axes.set_xlabel(f"time from the first thread's begin until the closing barrier opened, {unit}")
    used = {bar[4] for bar in bars}
    legend = [Patch(color=_KIND_COLOURS[kind], label=kind) for kind in KINDS if kind in used]
    waits: dict[str, Any] = {"facecolor": "#DDDDDD", "edgecolor": "#666666", "hatch": "////", "linewidth": 0}
    legend.append(Patch(**waits, label="share of the threads' time at barriers"))
    axes.legend(handles=legend, loc="lower right", fontsize=9)


def _of_rows(selection: Selection) -> list[OpTotal]:
    nodes = selection.trace.measured
    totals = op_totals(nodes)
    if selection.is_all:
        return totals
    wanted = _rows(selection)
    kept = []
    for total in totals:
        rows = total.rows[wanted[total.rows]]
        if len(rows):
            work_s, wait_s = nodes.work_s[rows].sum(), (nodes.inner_s + nodes.wait_s)[rows].sum()
            seconds, spans = float(nodes.wall_s[rows].sum()), int(nodes.count[rows].sum())
            kept.append(OpTotal(total.op, rows, spans, seconds, float(work_s), float(wait_s), 0.0, 0.0))
    return sorted(kept, key=lambda total: -total.seconds)


def _waiting(total: OpTotal) -> float:
    return _share(total.wait_s, total.work_s + total.wait_s)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _faded(colour: str) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb

    return tuple(1 - 0.35 * (1 - part) for part in to_rgb(colour))


def _nothing(axes: Any, why: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", fontsize=12, color=_FAINT)


# --- roofline ---


def _roofline(selection: Selection, figure: Any) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, NullFormatter

    _of_whole_trace(selection, "a roofline")
    limits = Limits(selection.trace)
    points = limits.points(_rows(selection))[:_MAX_POINTS]
    peaks = None
    if limits.machine and limits.machine.peaks:
        peaks = limits.machine.at(max(int(selection.trace.measured.threads.max(initial=1)), 1))
    note = "a point: an op in a role, its area the time that it took"
    if peaks:
        threads = plural(peaks.threads, "thread")
        note += f"; lines: the machine's peaks with {threads}, as `ggml-viz probe` measured them"
    else:
        note += "; the machine's peaks are not known, so there are no roofs (`ggml-viz probe` measures them)"
    axes = _axes(selection, figure, "What limits each op", (0.09, 0.12, 0.80, 0.87), note)
    if not points:
        _nothing(axes, "of no op that was timed operations and bytes are known")
        return
    axes.set_xscale("log")
    axes.set_yscale("log")
    intensities = [point.flops_per_byte for point in points]
    rates = [point.flops_per_s * 1e-9 for point in points]
    low_x, high_x = min(intensities) / 3, max(intensities) * 5
    low_y, high_y = min(rates) / 3, max(rates) * 3
    if peaks:
        bandwidth = peaks.bandwidth_bytes_per_s * 1e-9
        roofs = [("f32", peaks.flops_per_s * 1e-9), ("int8", peaks.int8_ops_per_s * 1e-9)]
        highest = max(rate for _, rate in roofs)
        high_x, high_y = max(high_x, 3 * highest / bandwidth), max(high_y, 2 * highest)
        axes.plot([low_x, highest / bandwidth], [low_x * bandwidth, highest], color=_INK, linewidth=1.2)
        for name, rate in roofs:
            axes.plot([rate / bandwidth, high_x], [rate, rate], color=_INK, linewidth=1.2)
            text = f"{name}: {significant(rate)} Gop/s"
            axes.annotate(text, (high_x, rate), (-4, 4), textcoords="offset points", ha="right", fontsize=9)
    areas = [12 + 700 * point.seconds / points[0].seconds for point in points]
    for point, area in zip(points, areas, strict=True):
        axes.scatter(
            *(point.flops_per_byte, point.flops_per_s * 1e-9),
            s=area,
            marker=_PHASE_MARKERS[point.phase],
            color=_KIND_COLOURS[kind_of(point.op)],
            alpha=0.65,
            edgecolors="white",
            linewidths=0.8,
        )
    axes.set_xlim(low_x, high_x)
    axes.set_ylim(low_y, high_y)
    if peaks:
        _slope_label(axes, f"memory: {significant(bandwidth)} GB/s", bandwidth)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(color="#EEEEEE", linewidth=0.8)
    axes.set_xlabel("operations for each byte moved, op/byte")
    axes.set_ylabel("operations, 1e9 op/s")
    _name_points(axes, points, areas)
    phases, kinds = {point.phase for point in points}, {kind_of(point.op) for point in points}
    marks = [(_PHASE_MARKERS[phase], _FAINT, phase) for phase in PHASES if phase in phases]
    marks += [("o", _KIND_COLOURS[kind], kind) for kind in KINDS if kind in kinds]
    legend = [Line2D([], [], linestyle="", marker=mark, color=colour, label=name) for mark, colour, name in marks]
    figure.legend(handles=legend, loc="upper left", bbox_to_anchor=(0.81, 0.87), fontsize=9)


def _slope_label(axes: Any, text: str, bandwidth: float) -> None:
    """Writes along the roof of memory, where it enters the picture."""
    box, x, y = axes.get_window_extent(), axes.get_xlim(), axes.get_ylim()
    turn = math.degrees(math.atan2(box.height / math.log(y[1] / y[0]), box.width / math.log(x[1] / x[0])))
    start = max(x[0], y[0] / bandwidth) * 1.15
    axes.annotate(
        *(text, (start, start * bandwidth), (0, 6)),
        textcoords="offset points",
        rotation=turn,
        rotation_mode="anchor",
        fontsize=9,
    )


def _name_points(axes: Any, points: Sequence[Point], areas: Sequence[float]) -> None:
    """Names the first points, those at one place together, where neither a name nor another point stands."""
    box = axes.get_window_extent()
    at = axes.transData.transform([(point.flops_per_byte, point.flops_per_s * 1e-9) for point in points]).tolist()
    radii = (np.sqrt(np.array(areas) / math.pi) * _DPI / 72).tolist()
    # Middles, half widths and half heights.
    taken = [(x, y, radius, radius) for (x, y), radius in zip(at, radii, strict=True)]
    together: list[list[int]] = []
    for i, point in enumerate(points[:_MAX_LABELLED_POINTS]):
        for group in together:
            first = points[group[0]]
            if (point.op, point.phase) == (first.op, first.phase) and math.dist(at[i], at[group[0]]) < _SAME_PLACE:
                group.append(i)
                break
        else:
            together.append([i])
    for group in together:
        x, y = at[group[0]]
        right = max(at[i][0] + radii[i] for i in group) - x + 5
        left = min(at[i][0] - radii[i] for i in group) - x - 5
        above = max(abs(at[i][1] - y) + radii[i] for i in group) + 8
        roles = ", ".join(points[i].role for i in group if points[i].role)
        name = printable(_short(f"{points[group[0]].op} {roles}".strip(), 44))
        half = 3.0 * len(name)
        others = [each for i, each in enumerate(taken) if i not in group]
        for dx, dy in (
            *((right, 0), (left, 0), (0, above), (0, -above)),
            *((right, 13), (left, 13), (right, -13), (left, -13)),
        ):
            side = (dx > 0) - (dx < 0)
            middle = (x + dx + side * half, y + dy)
            inside = box.x0 < middle[0] - half and middle[0] + half < box.x1
            if inside and not any(
                abs(middle[0] - a) < half + w and abs(middle[1] - b) < 6 + h for a, b, w, h in others
            ):
                break
        else:
            continue
        taken.append((*middle, half, 6.5))
        axes.annotate(
            *(name, (points[group[0]].flops_per_byte, points[group[0]].flops_per_s * 1e-9)),
            xytext=(dx * 72 / _DPI, dy * 72 / _DPI),
            textcoords="offset points",
            fontsize=8,
            ha=("center", "left", "right")[side],
            va="center",
        )


# --- memory ---


def _memory(selection: Selection, figure: Any) -> None:
    from matplotlib.patches import Patch
    from matplotlib.ticker import FuncFormatter

    _of_all_nodes(selection, "memory")
    use = memory_use(selection.trace)
    from_s, until_s = time_range(selection)
    note = "bytes in the buffers of all backends, by what they are for" if use.changes else ""
    axes = _axes(selection, figure, "Memory in buffers", (0.09, 0.12, 0.80, 0.87), note)
    if not use.changes:
        _nothing(axes, "no buffer was seen")
        return
    moments, heights = _steps(use.changes, from_s, until_s)
    to_axis = _time_axis(axes, from_s, until_s)
    base = np.zeros(heights.shape[1])
    for row, usage in enumerate(_USAGE_COLOURS):
        top = base + heights[row]
        axes.stairs(top, to_axis(moments), baseline=base, fill=True, color=_USAGE_COLOURS[usage], linewidth=0)
        base = top
    most = max(float(base.max(initial=0)), 1.0)
    axes.set_ylim(0, most * 1.15)
    size_scale, size_unit = _size_unit(most)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / size_scale:g}"))
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    axes.set_ylabel(f"memory, {size_unit}")
    if from_s <= use.peak.at_s <= until_s:
        at = (to_axis(use.peak.at_s), use.peak_bytes)
        late = use.peak.at_s > from_s + 0.7 * (until_s - from_s)
        axes.plot(*at, marker="v", color=_INK, markersize=7, clip_on=False)
        axes.annotate(
            f"peak {size(use.peak_bytes)} at {duration(use.peak.at_s).strip()}",
            *(at, (-10 if late else 10, 10)),
            textcoords="offset points",
            ha="right" if late else "left",
            fontsize=10,
            fontweight="bold",
        )
    of_usage = {usage: sum(row.bytes for row in use.buffers if row.usage == usage) for usage in _USAGE_COLOURS}
    legend = [
        Patch(color=_USAGE_COLOURS[usage], label=f"{_USAGE_NAMES.get(usage, usage)}: {size(at_peak)}")
        for usage, at_peak in reversed(of_usage.items())
        if at_peak
    ]
    figure.legend(
        handles=legend, loc="upper left", bbox_to_anchor=(0.81, 0.87), fontsize=9, title="at the peak", alignment="left"
    )


def _steps(changes: Sequence[MemoryChange], from_s: float, until_s: float) -> tuple[Any, Any]:
    """Edges [n + 1] and the bytes of each usage between them [usages, n]; of what is too narrow to see the most."""
    usages = list(_USAGE_COLOURS)
    now = dict.fromkeys(usages, 0)
    before: dict[tuple[str, str], int] = {}
    # By column: the most that there was, and what there was at its end.
    states: dict[int, tuple[float, list[int]]] = {}
    most: dict[int, tuple[float, list[int]]] = {}
    first = list(now.values())
    for change in changes:
        usage = change.usage if change.usage in now else "other"
        now[usage] += change.bytes - before.get((change.backend, change.usage), 0)
        before[change.backend, change.usage] = change.bytes
        if change.at_s <= from_s:
            first = list(now.values())
        elif change.at_s < until_s:
            column = int((change.at_s - from_s) / (until_s - from_s) * 2 * COLUMNS)
            state = (change.at_s, list(now.values()))
            states[column] = state
            if column not in most or sum(state[1]) > sum(most[column][1]):
                most[column] = state
    kept = dict([(from_s, first), *sorted([*states.values(), *most.values()], key=lambda state: state[0])])
    edges = np.array([*kept, until_s], np.float64)
    return edges, np.array(list(kept.values()), np.float64).T


def _size_unit(most: float) -> tuple[float, str]:
    return next(((s, unit) for s, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if most >= s), (1.0, "bytes"))


# --- layer ---


def _layer(selection: Selection, figure: Any, of: ChosenGraph, number: int | None) -> None:
    _of_whole_trace(selection, "a layer")
    _of_all_nodes(selection, "a layer")
    layered = has_layers(selection.trace, of)
    layer = layer_of(selection.trace, of, number, _MAX_LAYER_NODES)
    what = f"{of.phase}, {plural(of.tokens, 'token')}" if of.tokens else of.phase
    outside = "Outside the layers of graph" if layered else "Graph"
    whole = outside if number is None else f"Layer {number} of graph"
    title = f"{whole} {of.number} ({what}, {plural(of.runs, 'run')})"
    notes = ["views and reshapes are left out"]
    if not layered:
        notes.append("the names of its tensors tell of no layers")
    if layer.left_out:
        notes.append(f"the first {len(layer.nodes)} nodes, {count(layer.left_out)} more not shown")
    axes = _axes(selection, figure, title, (0.02, 0.05, 0.89, 0.89), "; ".join(notes))
    axes.set_axis_off()
    _draw_layer(figure, axes, layer)


def _draw_layer(figure: Any, axes: Any, layer: Layer) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.patches import FancyBboxPatch

    times = [node.mean_s * 1e6 for node in layer.nodes if node.mean_s is not None]
    colours = LinearSegmentedColormap.from_list("time", ["#FFFFFF", "#F5D58A", HEAT.light])
    norm = Normalize(0, max([*times, 1e-3]))
    box = axes.get_window_extent()
    axes.set_xlim(0, box.width)
    axes.set_ylim(box.height, 0)
    placing = place(layer, box.width, box.height)
    for corners in placing.lines:
        axes.annotate(
            *("", corners[-1], corners[-2]),
            arrowprops={"arrowstyle": "-|>", "color": _FAINT, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0},
        )
        if len(corners) > 2:
            axes.plot(*zip(*corners[:-1], strict=True), color=_FAINT, linewidth=0.9, solid_joinstyle="round")
    for node, at in zip(layer.nodes, placing.boxes, strict=True):
        patch = FancyBboxPatch(
            *((at.x + 2, at.y + 2), placing.wide - 4, placing.high - 4),
            boxstyle="round,pad=2,rounding_size=4",
            facecolor="#F4F4F4" if node.mean_s is None else colours(norm(node.mean_s * 1e6)),
            edgecolor=_FAINT if node.outside else _INK,
            linestyle="--" if node.outside else "-",
            linewidth=0.9,
            zorder=3,
        )
        axes.add_patch(patch)
        middle = at.y + placing.high / 2
        for line, (text, weight) in enumerate(zip(_node_lines(node), ("bold", "normal", "normal"), strict=True)):
            axes.text(
                at.x + placing.wide / 2,
                middle + (line - 1) * placing.font * 1.25 * _DPI / 72,
                _short(printable(text), placing.characters),
                fontsize=placing.font,
                fontweight=weight,
                ha="center",
                va="center",
                zorder=4,
            )
    if times:
        bar = figure.colorbar(ScalarMappable(norm, colours), cax=figure.add_axes((0.925, 0.25, 0.014, 0.5)))
        bar.set_label("mean time of one execution, µs")
        bar.outline.set_edgecolor(_FAINT)


def _node_lines(node: LayerNode) -> tuple[str, str, str]:
    took = "" if node.mean_s is None else f" · {duration(node.mean_s).strip()}"
    return "from outside" if node.outside else node.op, node.name, f"{node.shape} {node.type}{took}"


_DRAWN: dict[str, Callable[[Selection, Any], None]] = {
    "timeline": _timeline,
    "ops": _ops,
    "roofline": _roofline,
    "memory": _memory,
}
PICTURES = (*_DRAWN, "layer")
