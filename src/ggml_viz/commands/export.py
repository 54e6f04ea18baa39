"""`ggml-viz export`: a trace in another tool's format."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from ggml_viz.errors import UserError
from ggml_viz.export.output import whole_file
from ggml_viz.export.selection import Selection
from ggml_viz.model.phases import PHASES
from ggml_viz.model.tables import FIELDS
from ggml_viz.model.trace import Trace
from ggml_viz.settings import add_ui_arguments

PICTURES = ("timeline", "ops", "roofline", "memory", "layer")

NAME = "export"
HELP = "turn a trace into what other tools open"
EXAMPLES = """\
  chrome       timeline in JSON: Perfetto (ui.perfetto.dev), chrome://tracing
  perfetto     the same in Perfetto's own format, smaller and faster to open
  speedscope   flame graphs: phase, layer, role, op (speedscope.app)
  csv, json    a table (--table; docs/python-api.md lists them)
  parquet      the same, for polars, pandas, DuckDB (extra "arrow")
  svg, png     a picture (--picture; extra "plots")
  dot          a graph for Graphviz; --layer: one layer's nodes

examples:
  ggml-viz export run.ggmlviz --to perfetto -o run.perfetto-trace
  ggml-viz export run.ggmlviz --to chrome --from 1.5 --until 2 -o run.json
  ggml-viz export run.ggmlviz --to parquet --table spans -o spans.parquet
  ggml-viz export run.ggmlviz --to svg --picture roofline -o roofline.svg
  ggml-viz export run.ggmlviz --to csv --table runs --phase decode -o - | head
  ggml-viz export run.ggmlviz --to dot --layer 0 -o - | dot -Tsvg -O
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `export`."""
    parser.add_argument("file", metavar="FILE", help="a trace (.ggmlviz)")
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format", metavar="FORMAT")
    parser.add_argument("-o", "--output", required=True, metavar="PATH", help="the file to write; -: standard output")
    parser.add_argument("--table", choices=FIELDS, default="spans", metavar="NAME", help="of csv, json, parquet")
    parser.add_argument(
        "--from", dest="from_s", type=_seconds, default=0.0, metavar="S", help="seconds after its begin"
    )
    parser.add_argument(
        "--until", dest="until_s", type=_seconds, default=math.inf, metavar="S", help="seconds, likewise"
    )
    parser.add_argument("--op", action="append", default=[], metavar="OP", help="only nodes of this op, or of several")
    parser.add_argument(
        "--phase", action="append", choices=PHASES, default=[], help="only runs of this phase, or of several"
    )
    parser.add_argument("--picture", choices=PICTURES, default="ops", help="of svg, png (default: ops)")
    parser.add_argument("--layer", type=_number, metavar="N", help="of --picture layer and dot (default: 0, and all)")
    parser.add_argument(
        "--graph", type=_number, metavar="N", help="likewise (default: the one decoded with most often)"
    )
    add_ui_arguments(parser, "naming")


def run(args: argparse.Namespace) -> int:
    """Writes the file."""
    if args.from_s >= args.until_s:
        raise UserError("--from is not before --until: nothing is left to export", exit_status=2)
    trace = Trace.open(args.file, args.settings.ui.naming)
    records = sum(process.file.record_count for process in trace.watched)
    with _progress(records) as advance, _output(args.output) as out:
        ops = frozenset(op.upper() for op in args.op)
        selection = Selection(trace, args.from_s, args.until_s, ops, frozenset(args.phase), advance)
        FORMATS[args.to](selection, args, out)
    return 0


def _seconds(text: str) -> float:
    seconds = float(text.removesuffix("s"))
    if not 0 <= seconds < math.inf:
        raise ValueError
    return seconds


def _number(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


@contextlib.contextmanager
def _output(name: str) -> Iterator[BinaryIO]:
    """The file to write to, which is there when it is whole, or not at all."""
    if name == "-":
        yield sys.stdout.buffer
        return
    with whole_file(Path(name)) as file:
        yield file


@contextlib.contextmanager
def _progress(records: int) -> Iterator[Callable[[int], None]]:
    """Shows on stderr how far it is, where that is a terminal and it takes a while."""
    if not sys.stderr.isatty() or records < 1 << 20:
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("exporting", total=records)
        yield lambda done: progress.advance(task, done)


def _chrome(selection: Selection, args: argparse.Namespace, out: BinaryIO) -> None:
    from ggml_viz.export import chrome

    chrome.write(selection, out)


def _perfetto(selection: Selection, args: argparse.Namespace, out: BinaryIO) -> None:
    from ggml_viz.export import perfetto

    perfetto.write(selection, out)


def _speedscope(selection: Selection, args: argparse.Namespace, out: BinaryIO) -> None:
    from ggml_viz.export import speedscope

    speedscope.write(selection, out)


def _csv(selection: Selection, args: argparse.Namespace, out: BinaryIO) -> None:
    from ggml_viz.export import table

    table.write_csv(selection, args.table, out)


def _json(selection: Selection, args: argparse.Namespace, out: BinaryIO) -> None:
    from ggml_viz.export import table

    table.write_json(selection, args.table, out)


def _parquet(selection: Selection, args: argparse.Namespace, out: BinaryIO) -> None:
    from ggml_viz.export import table

    table.write_parquet(selection, args.table, out)


def _picture(selection: Selection, args: argparse.Namespace, out: BinaryIO) -> None:
    from ggml_viz.export import pictures

    pictures.write(selection, args.to, args.picture, args.graph, args.layer, out)


def _dot(selection: Selection, args: argparse.Namespace, out: BinaryIO) -> None:
    from ggml_viz.export import dot

    dot.write(selection, args.graph, args.layer, out)


FORMATS: dict[str, Callable[[Selection, argparse.Namespace, BinaryIO], None]] = {
    "chrome": _chrome,
    "perfetto": _perfetto,
    "speedscope": _speedscope,
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
    "svg": _picture,
    "png": _picture,
    "dot": _dot,
}
"""What a trace can be turned into. Each imports what it takes when it is asked for."""
