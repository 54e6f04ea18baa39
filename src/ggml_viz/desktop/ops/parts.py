"""Rows of one shape for ops, roles and layers, so that one table and one roofline show any of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ggml_viz.model.kinds import kind_index

GROUPINGS = ("op", "role", "layer")


@dataclass(frozen=True)
class Part:
    """A part of what was computed; figures are the report's.

    Attributes:
        key: Op, role or layer as the report has it.
        name: The same in words.
        kind: Index in KINDS; None: a mixture.
        seconds: All executions together.
        share: Of the time that graphs took, or of the phase.
        count: Executions.
        p50_us: Half of them took at most so long.
        p99_us: 99 of 100 took at most so long.
        work_s: Thread-seconds.
        wait_s: Thread-seconds.
        wait: Share of these that was waiting.
        imbalance: Work of the busiest thread over the mean.
        flops: Operations.
        bytes: Bytes moved.
        gflops: 1e9 operations a second.
        gbps: 1e9 bytes a second.
        floor_share: The shortest time this machine could do it in, over the time it took.
    """

    key: str
    name: str
    kind: int | None
    seconds: float
    share: float
    count: int
    p50_us: float | None
    p99_us: float | None
    work_s: float
    wait_s: float
    wait: float
    imbalance: float | None
    flops: float | None
    bytes: float | None
    gflops: float | None
    gbps: float | None
    floor_share: float | None


def parts_of(report: dict[str, Any], grouping: str, phase: str) -> list[Part]:
    """The rows of a grouping, most time first; ops are those of all phases together."""
    if grouping == "op":
        imbalances = {row["op"]: row["imbalance"] for row in report["thread_use"]["ops"]}
        return [
            _part(row, row["op"], row["op"], kind_index(row["op"]), imbalances.get(row["op"])) for row in report["ops"]
        ]
    name = _role_name if grouping == "role" else _layer_name
    rows = [
        _part(row, row[grouping], name(row[grouping]), None, None)
        for row in report[f"{grouping}s"]
        if row["phase"] == phase
    ]
    return sorted(rows, key=lambda part: -part.seconds)


def phases_of(report: dict[str, Any]) -> tuple[list[str], str]:
    """The phases that have roles and layers, and that which took longest."""
    phases = report["phases"]
    longest = max(phases, key=lambda row: row["seconds"], default={"phase": "other"})
    return [row["phase"] for row in phases], longest["phase"]


def peak_of(report: dict[str, Any]) -> dict[str, Any] | None:
    """What the machine was measured to do with as many threads as there were; None: it was not measured."""
    machine = report["roofline"]["machine"]
    peaks = machine["peaks"] if machine else []
    threads = max((process["threads"] for process in report["trace"]["processes"]), default=1)
    return next((peak for peak in peaks if peak["threads"] == max(threads, 1)), peaks[-1] if peaks else None)


def _part(row: dict[str, Any], key: str, name: str, kind: int | None, imbalance: float | None) -> Part:
    busy = row["work_s"] + row["wait_s"]
    return Part(
        key=key,
        name=name,
        kind=kind,
        p50_us=row.get("p50_us"),
        p99_us=row.get("p99_us"),
        wait=row["wait_s"] / busy if busy > 0 else 0.0,
        imbalance=imbalance,
        **{
            field: row[field]
            for field in (
                "seconds",
                "share",
                "count",
                "work_s",
                "wait_s",
                "flops",
                "bytes",
                "gflops",
                "gbps",
                "floor_share",
            )
        },
    )


def _role_name(role: str) -> str:
    return role or "not known by name"


def _layer_name(layer: str) -> str:
    return f"layer {layer}" if layer else "outside layers"
