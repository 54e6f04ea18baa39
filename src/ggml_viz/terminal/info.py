"""Draws what lies in a trace file."""

from __future__ import annotations

from typing import TextIO

from ggml_viz.analysis.contents import Contents, ProcessContents
from ggml_viz.settings.model import Ui
from ggml_viz.terminal.text import BOLD, DIM, WARNING, Page, count, plural, printable, size
from ggml_viz.trace.chunks import VERSION
from ggml_viz.trace.reader import END_CUT

_MAX_PROCESSES = 20


def print_info(contents: Contents, file: TextIO, ui: Ui) -> None:
    """Prints what lies in a trace file."""
    page = Page(file, ui)
    head = f"{printable(contents.path)} · ggml-viz trace, version {contents.format} · {size(contents.file_bytes)}"
    lines = [page.paint(head, BOLD), *_integrity(page, contents), "", *_chunks(page, contents)]
    for process in contents.processes[:_MAX_PROCESSES]:
        lines += ["", *_process(page, process, contents.format)]
    if len(contents.processes) > _MAX_PROCESSES:
        lines += ["", f"…{len(contents.processes) - _MAX_PROCESSES} more processes (--json)"]
    page.print(lines)


def _integrity(page: Page, contents: Contents) -> list[str]:
    readable = contents.readable_bytes
    if contents.damage:
        where = f"readable up to byte {readable} of {contents.file_bytes}, then {contents.damage}"
        return page.wrap("", where, WARNING, indent=0)
    if contents.format < VERSION:
        return ["ends with a whole event; version 1 has no checksums"]
    if contents.checked_bytes == readable:
        return ["whole, all checksums are right"]
    return [f"whole, checksums of {size(contents.checked_bytes)} are right; --verify checks the records' too"]


def _chunks(page: Page, contents: Contents) -> list[str]:
    title = "chunks" if contents.format == VERSION else "events"
    width = max((10, *(len(row.kind) + 2 for row in contents.chunks)))
    lines = [page.paint(f"{title:<{width}}{'count':>8}{'bytes':>12}", DIM)]
    for row in contents.chunks:
        text = f"{row.kind:<{width}}{row.count:>8}{row.bytes:>12}"
        if row.kind == "RECS" and contents.records:
            text += f"   {plural(contents.records, 'record')}, {row.bytes / contents.records:.1f} bytes each"
        lines.append(text)
    return lines


def _process(page: Page, process: ProcessContents, trace_format: int) -> list[str]:
    ended = {
        "ended": "ran to its end",
        "detached": "ran on when the recording stopped",
        "abnormal": "died while a graph was computed",
        "cut": "its recording was cut short",
    }[process.end]
    known = [
        ("pid", f"{process.pid} · {printable(process.command)}"),
        ("started", f"{process.started or '?'} · {ended}"),
        *(("ggml", f"{printable(version) or 'unknown version'} · {printable(path)}") for version, path in process.ggml),
        (
            "agent",
            f"{printable(process.agent_version)} by {printable(process.method)} · detail {process.detail} · clock "
            f"{process.clock}, {plural(process.calibrations, 'calibration')} · {process.ns_per_record:.1f} ns a record",
        ),
    ]
    rows = [
        # A file of version 1 says nothing of the program.
        *(known if trace_format == VERSION else []),
        ("records", _records(process)),
        (
            "defined",
            f"{plural(process.graphs, 'graph')}, {plural(process.placements, 'placement')}, "
            f"{plural(process.buffers, 'buffer')} · backends: {_names(process.backends)} · places: "
            f"{_names(process.places)}",
        ),
        *((note.level, printable(note.text)) for note in process.notes),
    ]
    return [line for label, text in rows for line in page.wrap(label, text, indent=13)]


def _names(names: list[str]) -> str:
    return ", ".join(printable(name) for name in names) or "none"


def _records(process: ProcessContents) -> str:
    text = count(process.records)
    if (counters := process.counters) is None:
        return text
    missing = [
        f"{count(counters[name])} {what}"
        for name, what in (
            ("lost", "lost"),
            ("dropped", "found no ring"),
            ("skipped", "left out on request"),
            ("definitions_dropped", "definitions dropped"),
        )
        if counters[name] or name == "lost"
    ]
    if process.let_go:
        missing.append(f"{count(process.let_go)} older ones let go to keep the file within its limit")
    # The counters of a trace that was cut are from before its last records.
    written = "" if process.end == END_CUT else f" of {count(counters['written'])}"
    return f"{text}{written} · {', '.join(missing)} · segment {size(counters['touched_bytes'])}"
