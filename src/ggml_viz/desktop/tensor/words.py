"""How what is known of a tensor is said."""

from __future__ import annotations

from typing import Any, NamedTuple

from ggml_viz.model.kinds import KINDS
from ggml_viz.numbers import count, duration, percent, significant, size


class Fact(NamedTuple):
    """Something that is known.

    Attributes:
        name: What it is of.
        value: In words.
        more: What is said beneath, fainter.
        hint: How one knows.
    """

    name: str
    value: str
    more: str = ""
    hint: str = ""


def title(details: dict[str, Any]) -> str:
    """What it is, in short."""
    op = details["op"] if details["computed"] else "Not computed in this graph"
    layer = f", layer {details['layer']}" if details["layer"] is not None else ""
    return f"{op} {details['role']}".strip() + layer


def what(details: dict[str, Any]) -> list[Fact]:
    """What it is."""
    shape, strides = shortened(details["shape"], details["strides"])
    facts = [
        Fact("op", details["op"]) if details["computed"] else Fact("op", "none: a weight, an input or a cache"),
        Fact("role", details["role"] or "names do not tell"),
        Fact("layer", "outside layers" if details["layer"] is None else str(details["layer"])),
        Fact("shape", listed(shape), hint="Elements of its dimensions, innermost first."),
        Fact("strides", f"{listed(strides)} B", hint="From one element of a dimension to the next, in bytes."),
        Fact("type", details["type"]),
        Fact("size", size(details["size"]), hint=f"{details['size']} bytes"),
    ]
    if details["computed"]:
        facts.append(Fact("kind", KINDS[details["kind"]]))
        facts.append(Fact("backend", details["backend"] or "not seen", hint="In the graph's last run."))
    tokens = f", {details['tokens']} tokens" if details["tokens"] > 1 else ""
    facts.append(Fact("of", f"{details['phase']}{tokens}, graph {details['graph']}, node {details['node']}"))
    return facts


def memory(details: dict[str, Any]) -> list[Fact]:
    """Where it lies, and from when to when."""
    place, life = details["place"], details["life"]
    facts = []
    if place is None:
        facts.append(Fact("buffer", "not known", "The program recorded no layout of this graph."))
    else:
        of = f"buffer {place['buffer']} of {size(place['buffer_bytes'])}"
        facts.append(Fact("buffer", f"{place['usage']}, {place['backend']}", of))
        facts.append(Fact("offset", f"{size(place['offset'])} into it", hint=f"{place['offset']} bytes"))
    written = "before the first node" if life["born"] is None else node_text(life["born"], life["born_name"])
    read = "by no node" if life["dies"] is None else node_text(life["dies"], life["dies_name"])
    facts.append(Fact("written", written, hint="The node that writes it."))
    facts.append(
        Fact("last read", read, hint="The last node that reads it, or a view of it; then its memory is free again.")
    )
    return facts


def times(details: dict[str, Any]) -> list[Fact]:
    """What all executions took, and how near that is to what the machine can do."""
    taken = details["times"]
    if taken is None:
        return [Fact("took", "not timed"), *_limits(details)]
    last = taken["of_last"]
    of = f"the last {last} of {taken['count']}" if last is not None else f"{taken['count']}"
    how = (
        f"Of {of} executions: median {duration(taken['median_s']).strip()}, p99 {duration(taken['p99_s']).strip()}. "
        "From the first thread's begin until the closing barrier opened."
    )
    all_s = taken["work_s"] + taken["wait_s"]
    waits = f"{percent(taken['wait_s'] / all_s)} waiting" if all_s else ""
    return [
        Fact("count", count(taken["count"]), f"{duration(taken['seconds']).strip()} in all", how),
        Fact("median", duration(taken["median_s"]).strip(), f"of the last {last}" if last is not None else "", how),
        Fact("p99", duration(taken["p99_s"]).strip(), hint=how),
        Fact("min", duration(taken["min_s"]).strip(), hint=how),
        Fact("max", duration(taken["max_s"]).strip(), hint=how),
        Fact(
            "work, wait",
            f"{duration(taken['work_s']).strip()}, {duration(taken['wait_s']).strip()}",
            waits,
            f"Thread-seconds of all executions, of {taken['threads']} threads at the most.",
        ),
        *_limits(details),
    ]


def _limits(details: dict[str, Any]) -> list[Fact]:
    facts = []
    if details["bytes"] is not None:
        facts.append(
            Fact("moves", size(details["bytes"]), hint="Result and sources, each once, by a formula over their shapes.")
        )
    rates = []
    if details["gbps"] is not None:
        rates.append(f"{significant(details['gbps'])} GB/s")
    if details["gflops"] is not None:
        rates.append(f"{significant(details['gflops'])} GFLOP/s")
    if rates:
        facts.append(Fact("achieved", ", ".join(rates), hint="Of all executions, over the time that they took."))
    facts += _floor(details)
    return facts


def _floor(details: dict[str, Any]) -> list[Fact]:
    """The least time, and the formula that it comes from."""
    floor = details["floor_s"]
    if floor is None:
        if details["bytes"] is None:
            return []
        return [Fact("floor", "not known", "ggml-viz probe measures what the machine can do.")]
    if details["floor_by"] == "bytes":
        formula = f"{size(details['bytes'])} / {significant(details['peak_gbps'])} GB/s"
    else:
        formula = f"{significant(details['flops'] * 1e-9)} GFLOP / {significant(details['peak_gflops'])} GFLOP/s"
    taken = details["times"]
    share = ""
    if taken is not None and taken["seconds"]:
        share = f", {percent(floor * taken['count'] / taken['seconds'])} of the time it took"
    hint = (
        "The least time that the machine could do it in: the larger of its bytes over the peak of bandwidth and its "
        "operations over the peak of operations, as ggml-viz probe measured them with as many threads."
    )
    return [Fact("floor", f"{duration(floor).strip()}{share}", f"= {formula}", hint)]


def execution(span: dict[str, Any]) -> list[Fact]:
    """What one execution took."""
    typical = span["typical"]
    middle = f"median of {count(typical['count'])}: {duration(typical['median_s']).strip()}" if typical else ""
    facts = [
        Fact("begins", duration(span["begin_s"]).strip(), f"in run {span['run']}, {span['phase']}"),
        Fact("took", duration(span["wall_s"]).strip(), middle),
    ]
    all_s = span["work_s"] + span["wait_s"]
    if all_s:
        both = f"{duration(span['work_s']).strip()}, {duration(span['wait_s']).strip()}"
        facts.append(
            Fact("work, wait", both, f"{percent(span['wait_s'] / all_s)} waiting", "Thread-seconds of all workers.")
        )
    rates = []
    if span["gbps"] is not None:
        rates.append(f"{significant(span['gbps'])} GB/s")
    if span["gflops"] is not None:
        rates.append(f"{significant(span['gflops'])} GFLOP/s")
    if rates:
        facts.append(Fact("achieved", ", ".join(rates), hint="Of this execution, over the time that it took."))
    if span["floor_s"] is not None and span["wall_s"] > 0:
        facts.append(Fact("floor", f"{percent(span['floor_s'] / span['wall_s'])} of the time it took"))
    return facts


def worked(worker: dict[str, Any]) -> float:
    """How long a worker was at it, in seconds."""
    return float(worker["work_s"] + worker["inner_s"] + worker["wait_s"])


def node_text(node: int, name: str) -> str:
    """A node by its place and name."""
    return f"node {node}" + (f", {name}" if name and name != f"node_{node}" else "")


def shortened(shape: list[int], strides: list[int]) -> tuple[list[int], list[int]]:
    """A shape without the dimensions of 1 at its end, and the strides of what is left."""
    length = len(shape)
    while length > 1 and shape[length - 1] == 1:
        length -= 1
    return shape[:length], strides[:length]


def listed(numbers: list[int]) -> str:
    """Numbers as a shape is written: `[576, 1536]`."""
    return f"[{', '.join(map(str, numbers))}]"


def flat(details: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """All of it as names and values, unrounded: what is in it is named `times.median_s`, lists are joined."""
    rows: list[tuple[str, Any]] = []
    for name, value in details.items():
        if isinstance(value, dict):
            rows += flat(value, f"{before}{name}.")
        elif isinstance(value, list):
            rows.append((before + name, ", ".join(_item(item) for item in value)))
        else:
            rows.append((before + name, value))
    return rows


def _item(item: Any) -> str:
    return str(item["name"] or item["op"]) if isinstance(item, dict) else str(item)
