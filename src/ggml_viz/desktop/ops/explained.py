"""How each figure of an op, role or layer is known, in words."""

from __future__ import annotations

from typing import Any

from ggml_viz.desktop.ops.parts import Part
from ggml_viz.numbers import count, duration, percent, plural, significant, size

MEANINGS = {
    "name": "",
    "share": "Of the time that graphs took",
    "seconds": "From its begin until all threads are done, all executions together",
    "count": "How often it was executed",
    "p50_us": "Half of the executions took at most so long",
    "p99_us": "99 of 100 executions took at most so long",
    "wait": "Of the threads’ time in it, the part spent waiting for other threads",
    "imbalance": "Work of the busiest thread over the mean of all; 1 is even",
    "bytes": "Moved, by the tensors’ shapes and types",
    "gbps": "Bytes over time",
    "gflops": "Operations, by the tensors’ shapes, over time",
    "floor_share": "The shortest time that this machine could do it in, over the time it took",
}


def explained(part: Part, field: str, whole: str, peak: dict[str, Any] | None) -> str:
    """How a figure is known: what it means, from what it is made, where that comes from.

    Args:
        part: Whose.
        field: Which, as in MEANINGS.
        whole: Of what the share is: `all graphs` or a phase.
        peak: What the machine was measured to do; None: it was not.
    """
    took = duration(part.seconds).strip()
    times = plural(part.count, "execution")
    lines = {
        "name": facts(part, whole),
        "share": [f"{percent(part.share)} of {whole}: {took} of its time."],
        "seconds": [f"{times}, {took}; a mean of {_mean(part.seconds, part.count)}."],
        "count": [f"{count(part.count)}, counted from the records."],
        "p50_us": [f"The median of {times}."],
        "p99_us": [f"{times}; the slowest 1 % took so long or longer."],
        "wait": [
            f"The threads worked {_time(part.work_s)} and waited {_time(part.wait_s)} for each other: "
            f"{_time(part.wait_s)} / ({_time(part.work_s)} + {_time(part.wait_s)})."
        ],
        "imbalance": ["Of the work of each thread, all executions together."],
        "bytes": [f"{size(part.bytes)} in {times}."] if part.bytes is not None else [],
        "gbps": [f"{significant(part.gbps)} GB/s: {size(part.bytes)} in {took}."]
        if part.gbps is not None and part.bytes is not None
        else [],
        "gflops": [f"{significant(part.gflops)} GFLOP/s: {significant(part.flops / 1e9)} GFLOP in {took}."]
        if part.gflops is not None and part.flops is not None
        else [],
        "floor_share": _floor(part),
    }[field]
    meaning = MEANINGS[field]
    sources = _source(field, peak)
    return "\n".join([*([f"{meaning}."] if meaning else []), *lines, *([sources] if sources else [])])


def facts(part: Part, whole: str) -> list[str]:
    """All that is known of it, a line each."""
    lines = [
        f"{part.name}: {_time(part.seconds)}, {percent(part.share)} of {whole}",
        f"executed {plural(part.count, 'time')}",
        f"one takes {_us(part.p50_us)} (half of them at most)" if part.p50_us is not None else "",
        f"the slowest 1 % take {_us(part.p99_us)} or more" if part.p99_us is not None else "",
        f"threads worked {_time(part.work_s)}, waited {_time(part.wait_s)} for each other",
        f"moved {size(part.bytes)}, by the tensors’ shapes and types" if part.bytes is not None else "",
        f"computed {significant(part.flops / 1e9)} GFLOP, by the tensors’ shapes" if part.flops is not None else "",
        f"reached {significant(part.gbps)} GB/s, {significant(part.gflops or 0)} GFLOP/s"
        if part.gbps is not None
        else "",
        f"what this machine was measured to do would take {percent(part.floor_share)} of that time"
        if part.floor_share is not None
        else "",
    ]
    return [line for line in lines if line]


def _floor(part: Part) -> list[str]:
    if part.floor_share is None:
        return []
    return [
        f"{percent(part.floor_share)}, over {plural(part.count, 'execution')}. The shortest time of one is the "
        "larger of its bytes over the measured bandwidth and its operations over the measured rate."
    ]


def _source(field: str, peak: dict[str, Any] | None) -> str:
    threads = plural(peak["threads"], "thread") if peak else ""
    if field in ("share", "seconds", "p50_us", "p99_us", "wait", "imbalance"):
        return "Source: the clock at the begin and end of each node, on each thread."
    if field == "gbps" and peak:
        bandwidth = max(peak["triad_bytes_per_s"], peak["read_bytes_per_s"]) / 1e9
        return f"{significant(bandwidth)} GB/s were measured here with {threads} (ggml-viz probe)."
    if field == "gflops" and peak:
        return (
            f"{significant(peak['flops_per_s'] / 1e9)} GFLOP/s of f32 and {significant(peak['int8_ops_per_s'] / 1e9)} "
            f"of int8 were measured here with {threads} (ggml-viz probe)."
        )
    if field == "floor_share" and peak:
        return f"Source: ggml-viz probe, with {threads}."
    return ""


def _time(seconds: float) -> str:
    return duration(seconds).strip()


def _us(microseconds: float) -> str:
    return _time(microseconds * 1e-6)


def _mean(seconds: float, executions: int) -> str:
    return _time(seconds / max(executions, 1))
