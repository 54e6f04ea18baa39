"""Pictures of a trace, as SVG or PNG, drawn by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ggml_viz.analysis.contents import command_line, wall_time
from ggml_viz.analysis.memory import memory_use
from ggml_viz.analysis.operations import op_totals
from ggml_viz.errors import UserError, printable
from ggml_viz.export.layer import layer_of
from ggml_viz.machine import machine_of
from ggml_viz.model.measured import group_by
from ggml_viz.model.phases import PHASES

if TYPE_CHECKING:
    from ggml_viz.export.selection import Selection
    from ggml_viz.model.trace import Trace

PICTURES = ("ops", "timeline", "roofline", "memory", "layer")

# Okabe and Ito's colours, told apart by all eyes.
_BLUE, _ORANGE, _GREEN, _PURPLE, _SKY, _YELLOW, _RED, _GREY = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#f0e442", "#d55e00"),
    "#999999",
)
_PHASE_COLOURS = dict(zip(PHASES, (_ORANGE, _BLUE, _PURPLE, _GREY), strict=True))
_USAGE_COLOURS = {"weights": _BLUE, "kv": _ORANGE, "compute": _GREEN, "other": _GREY}
_INCHES, _DPI = (12, 7), 100
_MOST_BARS, _MOST_LABELS = 16, 8
# A timeline is drawn in so many columns: what is narrower is told by how dark its column is.
_COLUMNS = 1200


def write(selection: Selection, picture: str, form: str, layer: int, graph: int | None, out: BinaryIO) -> None:
    """Draws a picture.

    Args:
        selection: What of a trace.
        picture: One of PICTURES.
        form: `svg` or `png`.
        layer: Of the picture of a layer.
        graph: Likewise; None: the one that ran most often.
        out: Where to.

    Raises:
        UserError: matplotlib is not installed, or there is nothing to be seen.
    """
    try:
        import matplotlib
    except ImportError:
        raise UserError("matplotlib is not installed", "Install it with: pip install 'ggml-viz[plots]'") from None
    from matplotlib.figure import Figure

    # Text stays text, so that it can be searched for and read aloud; the same trace gives the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ggml-viz", "axes.spines.top": False}):
        figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
        if picture == "layer":
            _layer(figure, selection.trace, layer, graph)
        else:
            _DRAWN[picture](figure, selection)
        figure.supxlabel(_caption(selection.trace), fontsize=8, color="#555555")
        figure.savefig(out, format=form, metadata={"Date": None} if form == "svg" else None)


def _caption(trace: Trace) -> str:
    commands = "; ".join(command_line(process.file) for process in trace.watched)
    words = " ".join(word.rpartition("/")[2] for word in commands.split())
    threads = max((int(process.runs.threads.max(initial=0)) for process in trace.watched), default=0)
    parts = [printable(words)[:110], f"{threads} threads" if threads else "", wall_time(trace.started_wall_ns)]
    # A dollar sign begins a formula.
    return " · ".join(part for part in [*parts, "recorded by ggml-viz"] if part).replace("$", "\\$")


def _plain(text: str) -> str:
    return printable(text).replace("$", "\\$")


def _ops(figure: Any, selection: Selection) -> None:
    totals = op_totals(selection.trace.measured)[:_MOST_BARS]
    if not totals:
        raise UserError("the trace has no timed ops to draw")
    axes = figure.subplots()
    seconds = np.array([total.seconds for total in totals])
    waiting = np.array([total.wait_s / max(total.work_s + total.wait_s, 1e-30) for total in totals])
    rows = np.arange(len(totals))
    axes.barh(rows, seconds * (1 - waiting), color=_BLUE, label="threads at work")
    axes.barh(rows, seconds * waiting, left=seconds * (1 - waiting), color=_SKY, hatch="//", label="threads waiting")
    whole = sum(float(process.clock.seconds(process.runs.duration).sum()) for process in selection.trace.watched)
    for row, total in zip(rows, totals, strict=True):
        share = total.seconds / whole if whole else 0.0
        axes.text(total.seconds, row, f"  {_time(total.seconds)}, {share * 100:.1f} %", va="center", fontsize=9)
    axes.set_yticks(rows, [_plain(total.op) for total in totals])
    axes.invert_yaxis()
    axes.margins(x=0.14)
    axes.set_xlabel("time from the first thread's begin to the closing barrier, all executions (s)")
    axes.set_title("Where the time in graphs went, by op")
    axes.spines["right"].set_visible(False)
    axes.legend(loc="lower right", frameon=False)


def _time(seconds: float) -> str:
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _timeline(figure: Any, selection: Selection) -> None:
    trace = selection.trace
    until_s = min(selection.until_s, max(trace.duration_s, 1e-9))
    if selection.from_s >= until_s:
        raise UserError(f"the trace ends after {trace.duration_s:.3g} s: nothing of it is in that range")
    axes = figure.subplots()
    lanes: list[str] = []
    edges = np.linspace(selection.from_s, until_s, _COLUMNS + 1)
    for index in range(len(trace.watched)):
        prefix = f"{index}: " if len(trace.watched) > 1 else ""
        runs = selection.rows("runs", ("process", "phase", "begin_ns", "duration_ns"))
        own = np.asarray(runs["process"]) == index
        for phase in PHASES:
            mine = own & (runs["phase"] == phase)
            if np.any(mine):
                _lane(axes, len(lanes), edges, runs, mine, "duration_ns", _PHASE_COLOURS[phase])
        lanes.append(f"{prefix}graphs")
        splits = selection.rows("splits", ("process", "backend", "begin_ns", "duration_ns"))
        for backend in sorted(set(splits["backend"][np.asarray(splits["process"]) == index])):
            mine = (np.asarray(splits["process"]) == index) & (splits["backend"] == backend)
            _lane(axes, len(lanes), edges, splits, mine, "duration_ns", _PURPLE)
            lanes.append(f"{prefix}{_plain(str(backend))}")
        workers = selection.rows("worker_spans", ("process", "worker", "begin_ns", "work_ns", "inner_ns", "wait_ns"))
        workers["all_ns"] = np.sum([np.asarray(workers[f"{part}_ns"]) for part in ("work", "inner", "wait")], axis=0)
        for worker in np.unique(workers["worker"][np.asarray(workers["process"]) == index]).tolist():
            mine = (np.asarray(workers["process"]) == index) & (workers["worker"] == worker)
            _lane(axes, len(lanes), edges, workers, mine, "all_ns", _SKY)
            _lane(axes, len(lanes), edges, workers, mine, "work_ns", _GREEN)
            lanes.append(f"{prefix}worker {worker}")
    axes.set_yticks(range(len(lanes)), lanes)
    axes.set_ylim(max(len(lanes), 6) - 0.5, -0.5)
    axes.set_xlim(selection.from_s, until_s)
    axes.set_xlabel("time since the recording began (s); the darker, the more of it was taken")
    axes.set_title("Timeline")
    axes.spines["right"].set_visible(False)
    from matplotlib.patches import Patch

    ran = [phase for phase in PHASES if np.any(trace.runs["phase"] == phase)]
    named = {**{phase: _PHASE_COLOURS[phase] for phase in ran}, "split": _PURPLE, "at work": _GREEN, "waiting": _SKY}
    handles = [Patch(color=colour, label=name) for name, colour in named.items()]
    axes.legend(handles=handles, loc="lower right", ncols=len(handles), frameon=False)


def _lane(axes: Any, row: int, edges: Any, table: Any, mine: Any, length: str, colour: str) -> None:
    """Draws how much of each column of a lane was taken."""
    begin = np.asarray(table["begin_ns"], np.float64)[mine] * 1e-9
    end = begin + np.asarray(table[length], np.float64)[mine] * 1e-9
    # How much time was taken up to each edge; what overlaps is no more than all of it.
    order = np.argsort(begin)
    begin, end = begin[order], np.maximum.accumulate(end[order])
    begin = np.maximum(begin, np.concatenate([[-math.inf], end[:-1]]))
    lasted = np.concatenate([[0.0], np.cumsum(np.maximum(end - begin, 0.0))])
    at = np.searchsorted(begin, edges, side="right")
    partial = np.where(at > 0, np.maximum(end[np.maximum(at, 1) - 1] - edges, 0.0), 0.0) if len(end) else 0.0
    taken = np.diff(lasted[at] - partial) / np.diff(edges)
    from matplotlib.colors import to_rgb

    image = np.ones((1, len(taken), 4))
    image[0, :, :3] = to_rgb(colour)
    image[0, :, 3] = np.clip(taken, 0.0, 1.0)
    axes.imshow(image, extent=(edges[0], edges[-1], row + 0.4, row - 0.4), aspect="auto", interpolation="nearest")


def _roofline(figure: Any, selection: Selection) -> None:
    trace = selection.trace
    nodes, machine = trace.measured, machine_of(trace.file)
    axes = figure.subplots()
    points = []
    for group in group_by([nodes.phase, nodes.op, nodes.role]):
        rows = group.rows
        known = rows[np.isfinite(nodes.flops[rows]) & np.isfinite(nodes.bytes[rows])]
        flops = float((nodes.flops[known] * nodes.count[known]).sum())
        moved = float((nodes.bytes[known] * nodes.count[known]).sum())
        seconds = float(nodes.wall_s[known].sum())
        if flops > 0 and moved > 0 and seconds > 0:
            points.append((seconds, flops / moved, flops / seconds * 1e-9, *group.key))
    if not points:
        raise UserError("the trace has no op whose operations and bytes are modelled")
    points.sort(reverse=True)
    most = points[0][0]
    for phase in PHASES:
        mine = [point for point in points if point[3] == phase]
        if mine:
            sizes = [20 + 700 * seconds / most for seconds, *_ in mine]
            across, up = [point[1] for point in mine], [point[2] for point in mine]
            axes.scatter(across, up, s=sizes, color=_PHASE_COLOURS[phase], alpha=0.55, linewidths=0, label=phase)
    low, high = min(point[1] for point in points) / 4, max(point[1] for point in points) * 4
    threads = max(int(nodes.threads.max(initial=1)), 1)
    title = "What was reached, against what the machine can do"
    if machine is not None and machine.peaks:
        peaks = machine.at(threads)
        x = np.geomspace(low, high, 200)
        roofs = ((peaks.flops_per_s, "f32 multiply-adds", _RED), (peaks.int8_ops_per_s, "8-bit dot products", "black"))
        for rate, name, colour in roofs:
            y = np.minimum(x * peaks.bandwidth_bytes_per_s, rate) * 1e-9
            axes.plot(x, y, color=colour, label=f"{name}: {rate * 1e-9:.4g} GOP/s")
        bandwidth = peaks.bandwidth_bytes_per_s * 1e-9
        axes.plot([], [], " ", label=f"memory: {bandwidth:.3g} GB/s, {threads} threads, as measured")
    else:
        title = "What was reached (the machine's peaks are not known: ggml-viz probe)"
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_xlabel("operations for each byte moved")
    axes.set_ylabel("1e9 operations per second; the larger the dot, the longer it took")
    axes.legend(loc="upper left", frameon=False, markerscale=0.5)
    _name_points(axes, points[:_MOST_LABELS])
    axes.set_title(title)
    axes.grid(True, which="major", color="#dddddd")
    axes.spines["right"].set_visible(False)


def _name_points(axes: Any, points: Sequence[tuple[float, float, float, str, str, str]]) -> None:
    """Names dots of a roofline, one below the other so that no name covers another."""
    axes.figure.canvas.draw()
    placed = []
    for _, x, y, phase, op, role in points:
        across, up = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))
        placed.append((up, across, x, y, _plain(f"{op} {role}, {phase}")))
    below = 1.0
    for up, across, x, y, name in sorted(placed, reverse=True):
        below = min(up, below - 0.035)
        arrow = {"arrowstyle": "-", "color": "#999999", "linewidth": 0.6}
        at = (min(across + 0.04, 0.8), max(below, 0.01))
        axes.annotate(name, (x, y), at, "data", "axes fraction", fontsize=8, va="center", arrowprops=arrow)


def _memory(figure: Any, selection: Selection) -> None:
    memory = memory_use(selection.trace)
    if not memory.changes:
        raise UserError("the trace has no buffers")
    axes = figure.subplots()
    usages = [usage for usage in _USAGE_COLOURS if any(change.usage == usage for change in memory.changes)]
    now = {(change.backend, change.usage): 0 for change in memory.changes}
    times = [0.0]
    heights: dict[str, list[float]] = {usage: [0.0] for usage in usages}
    for change in memory.changes:
        now[change.backend, change.usage] = change.bytes
        times.append(max(change.at_s, 0.0))
        for usage in usages:
            heights[usage].append(sum(size for (_, of), size in now.items() if of == usage) / 1e6)
    times.append(max(selection.trace.duration_s, times[-1]))
    for usage in usages:
        heights[usage].append(heights[usage][-1])
    colours = [_USAGE_COLOURS[usage] for usage in usages]
    axes.stackplot(times, *heights.values(), labels=usages, colors=colours, step="post", linewidth=0)
    peak_mb = memory.peak_bytes / 1e6
    axes.plot(memory.peak.at_s, peak_mb, "v", color=_RED)
    at = (max(memory.peak.at_s, 0.0), peak_mb)
    axes.annotate(f"peak {peak_mb:.4g} MB", at, xytext=(8, 8), textcoords="offset points", color=_RED)
    axes.margins(x=0, y=0.12)
    axes.set_xlabel("time since the recording began (s)")
    axes.set_ylabel("MB in buffers")
    axes.set_title("Memory in buffers, by what it is for")
    axes.legend(loc="center right")
    axes.spines["right"].set_visible(False)


def _layer(figure: Any, trace: Trace, number: int, graph: int | None) -> None:
    layer = layer_of(trace, number, graph)
    inside = [i for i, node in enumerate(layer.nodes) if node.op]
    reads: dict[int, list[str]] = {}
    edges = []
    for source, target in layer.edges:
        if layer.nodes[source].op:
            edges.append((source, target))
        else:
            reads.setdefault(target, []).append(layer.nodes[source].name)
    levels: dict[int, list[int]] = {}
    for i in inside:
        levels.setdefault(layer.nodes[i].level, []).append(i)
    rows = {level: row for row, level in enumerate(sorted(levels))}
    place = {
        i: (column - (len(members) - 1) / 2, -float(rows[level]))
        for level, members in levels.items()
        for column, i in enumerate(members)
    }
    figure.set_size_inches(_INCHES[0], max(_INCHES[1], 0.62 * len(levels) + 1))
    axes = figure.subplots()
    most = max((node.seconds for node in layer.nodes), default=0.0)
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("time", ["#ffffff", "#fbd58a", _RED])
    for source, target in edges:
        arrow = {"arrowstyle": "->", "color": "#888888", "shrinkA": 14, "shrinkB": 14, "linewidth": 0.9}
        if rows[layer.nodes[target].level] - rows[layer.nodes[source].level] > 1:
            arrow["connectionstyle"] = "arc3,rad=0.35"
        axes.annotate("", place[target], place[source], arrowprops=arrow)
    for i in inside:
        node = layer.nodes[i]
        lines = [" ".join(filter(None, [node.op, node.name, node.shape, _time(node.seconds) if node.seconds else ""]))]
        if i in reads:
            lines.append("reads " + ", ".join(reads[i]))
        style = {
            "boxstyle": "round,pad=0.3",
            "facecolor": shades(node.seconds / most if most else 0.0),
            "edgecolor": "#555555",
        }
        axes.text(*place[i], "\n".join(map(_plain, lines)), ha="center", va="center", fontsize=8, bbox=style)
    widest = max(map(len, levels.values()), default=1)
    axes.set_xlim(-widest / 2, widest / 2)
    axes.set_ylim(-len(levels) + 0.4, 0.6)
    axes.set_axis_off()
    axes.set_title(f"{layer.title}: the darker, the longer all its executions took")


_DRAWN: dict[str, Callable[[Any, Selection], None]] = {
    "ops": _ops,
    "timeline": _timeline,
    "roofline": _roofline,
    "memory": _memory,
}
