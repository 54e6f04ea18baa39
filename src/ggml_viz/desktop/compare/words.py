"""How a comparison is said: the words and numbers of `ggml-viz diff`."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from ggml_viz.numbers import count, duration, significant

VERDICTS = {
    "slower": "slower",
    "faster": "faster",
    "new": "new",
    "gone": "gone",
    "same": "cannot be told apart",
}


class Row(NamedTuple):
    """One of the things whose changes add up to that of a phase.

    Attributes:
        name: What it is.
        op: What computes it; empty: it is in no node, or several do.
        verdict: A key of VERDICTS.
        a_s: Time of a token or graph before.
        b_s: After.
        share: The change, of the phase's time before.
        change: All that is known of it; None: it is in no node.
    """

    name: str
    op: str
    verdict: str
    a_s: float
    b_s: float
    share: float
    change: dict[str, Any] | None


def shown_phase(diff: dict[str, Any], wanted: str | None) -> dict[str, Any] | None:
    """The wanted phase, if it can be explained; else the one in which something was found, else one that changed."""
    phases: list[dict[str, Any]] = [row for row in diff["phases"] if row["ratio"] is not None]
    found = diff["findings"][0]["phase"] if diff["findings"] else None
    changed = next((row["phase"] for row in phases if row["verdict"] != "same"), None)
    first = wanted or found or changed
    return next((row for row in phases if row["phase"] == first), phases[0] if phases else None)


def rows_of(diff: dict[str, Any], phase: dict[str, Any], by: str) -> list[Row]:
    """What explains the change of a phase, what explains most first.

    Args:
        diff: As `diff --json` has it.
        phase: One of its phases.
        by: `operations`, `ops` or `roles`.
    """
    rows = [
        Row(
            *(" ".join(part for part in (row["op"], row["role"]) if part) or "not known by name", row["op"] or ""),
            *(row["verdict"], row["a_s"], row["b_s"], row["share"], row),
        )
        for row in diff[by]
        if row["phase"] == phase["phase"]
    ]
    rows += [Row(p["part"], "", "same", p["a_s"], p["b_s"], p["share"], None) for p in phase["outside"]]
    return sorted(rows, key=lambda row: -abs(row.share))


def side(of: dict[str, Any]) -> str:
    """One of the two: what was recorded, with which ggml, on how many threads."""
    threads = ""
    if any(of["threads"]):
        threads = f"{', '.join(map(str, of['threads']))} thread{'' if of['threads'] == [1] else 's'}"
    versions = f"ggml {', '.join(of['ggml_versions'])}" if of["ggml_versions"] else ""
    files = ", ".join(os.path.basename(file) for file in of["files"])
    return " · ".join(part for part in (files, versions, threads) if part)


def phase_title(phase: dict[str, Any]) -> str:
    """What happened to a phase."""
    change = phase["change_s"] or 0.0
    sign = "+" if change > 0 else ""
    ratio = f" ({signed(phase['ratio'] - 1)})" if phase["ratio"] else ""
    chance_only = ", perhaps by chance" if phase["verdict"] == "same" else ""
    return f"{phase['phase']}: {sign}{time(change)}{ratio} a {phase['per']}{chance_only}"


def row_hint(change: dict[str, Any]) -> str:
    """How one knows."""
    lines = [
        f"{side}: {significant(change[f'{end}_executions'])} executions for each, median "
        f"{duration(change[f'{end}_median_s']).strip()}"
        for end, side in (("a", "before"), ("b", "after"))
        if change[f"{end}_executions"] and change[f"{end}_median_s"]
    ]
    if change["ratio"]:
        lines.append(f"ratio of medians {ratio(change)} (95 %)")
    if change["p_corrected"] is not None:
        lines.append(f"p {chance(change['p_corrected'])}, corrected for all that was compared")
    layers = sorted({d["layer"] for d in change["details"] if d["verdict"] == change["verdict"]} - {-1, None})
    if layers and change["verdict"] != "same":
        lines.append(f"in {count(len(layers))} layers: {', '.join(map(str, layers[:12]))}" + ("…" * (len(layers) > 12)))
    return "\n".join(lines)


def rate(per_second: float) -> str:
    """Tokens or graphs per second."""
    return f"{per_second:.1f}" if per_second >= 10 else f"{per_second:.2f}"


def signed(share: float) -> str:
    """A change as a share: `+1.2 %`."""
    percent = share * 100
    sign = "+" if percent > 0 else "−" if percent < 0 else ""
    return f"{sign}{abs(percent):.{0 if abs(percent) >= 99.5 else 1}f} %"


def time(seconds: float) -> str:
    """A time, which of what overlaps may be negative."""
    return f"{'−' if seconds < 0 else ''}{duration(abs(seconds)).strip()}" if seconds else "none"


def chance(p: float | None) -> str:
    """A p-value."""
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.{3 if p < 0.1 else 2}f}"


def interval(phase: dict[str, Any]) -> str:
    """The 95 % interval of the change of what a phase does in a second."""
    low, high = phase["ratio_low"], phase["ratio_high"]
    return f"{signed(1 / high - 1)} … {signed(1 / low - 1)}" if low and high else ""


def ratio(change: dict[str, Any], with_interval: bool = True) -> str:
    """The ratio of medians."""
    if not change["ratio"]:
        return ""
    low, high = change["ratio_low"], change["ratio_high"]
    ends = f"  {low:.2f} … {high:.2f}" if low and high and with_interval else ""
    return f"×{change['ratio']:.2f}{ends}"
