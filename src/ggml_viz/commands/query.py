"""`ggml-viz query`: asks a trace in SQL."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ggml_viz.analysis.sql import Database
from ggml_viz.errors import UserError, print_error
from ggml_viz.model.tables import FIELDS
from ggml_viz.model.trace import Trace
from ggml_viz.settings import add_ui_arguments
from ggml_viz.terminal.rows import print_table, write_csv, write_json

NAME = "query"
HELP = "ask a trace in SQL (DuckDB)"
EXAMPLES = """\
docs/python-api.md lists the tables and their columns, docs/sql.md has twenty
worked questions. Without SQL there is a prompt, where .tables and .schema TABLE
tell the same. Needs the extra "sql": pip install 'ggml-viz[sql]'.

examples:
  ggml-viz query run.ggmlviz "SELECT op, sum(wall_ns) FROM spans GROUP BY op"
  ggml-viz query run.ggmlviz "FROM runs LIMIT 10" --format json
  ggml-viz query run.ggmlviz "FROM spans" --format parquet -o spans.parquet
  ggml-viz query run.ggmlviz
"""

_FORMATS = ("table", "csv", "json", "parquet")
_PROMPT, _MORE = "ggml-viz> ", "     ...> "
_PROMPT_HELP = """\
SQL ends with a semicolon. Other commands:
  .tables          the tables
  .schema TABLE    the columns of one, and what they hold
  .help            this
  .quit            end (or Ctrl-D); Ctrl-C ends a query
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `query`."""
    parser.add_argument("file", metavar="FILE", help="a trace (.ggmlviz)")
    parser.add_argument("sql", metavar="SQL", nargs="?", help="the question; none: a prompt")
    parser.add_argument("--format", choices=_FORMATS, default="table", help="of the answer (default: table)")
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help="write the answer to a file")
    parser.add_argument(
        "--max-rows", type=int, default=1000, metavar="N", help="rows that a table shows (default: 1000)"
    )
    add_ui_arguments(parser, "color", "width", "naming")


def run(args: argparse.Namespace) -> int:
    """Answers one question, or many."""
    if args.format == "parquet" and args.output is None:
        raise UserError("parquet is no text: it needs a file to go to", "Name one with -o PATH.", exit_status=2)
    database = Database(Trace.open(args.file, args.settings.ui.naming))
    if args.sql is None:
        return _prompt(database, args)
    if args.format == "parquet":
        database.write_parquet(args.sql, args.output)
        return 0
    with _output(args.output) as file:
        _answer(database, args.sql, args, file)
    return 0


def _answer(database: Database, sql: str, args: argparse.Namespace, file: TextIO) -> None:
    result = database.query(sql)
    if args.format == "csv":
        write_csv(result.columns, result.batches, file)
    elif args.format == "json":
        write_json(result.columns, result.batches, file)
    else:
        print_table(result.columns, result.batches, args.max_rows, file, args.settings.ui)


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def _prompt(database: Database, args: argparse.Namespace) -> int:
    """Reads questions until there are no more."""
    with contextlib.suppress(ImportError):
        importlib.import_module("readline")  # gives input() a history and editing
    lines: list[str] = []
    while True:
        try:
            shown = (_MORE if lines else _PROMPT) if sys.stdin.isatty() else ""
            line = input(shown)
        except EOFError:
            if lines:
                _try(database, "\n".join(lines), args)
            return 0
        except KeyboardInterrupt:
            print()
            lines = []
            continue
        if not lines and line.startswith("."):
            if line.split()[0] in (".quit", ".exit"):
                return 0
            _command(line.split())
            continue
        lines.append(line)
        if line.rstrip().endswith(";"):
            _try(database, "\n".join(lines), args)
            lines = []
        elif not line.strip() and len(lines) == 1:
            lines = []


def _try(database: Database, sql: str, args: argparse.Namespace) -> None:
    try:
        _answer(database, sql, args, sys.stdout)
    except UserError as error:
        print_error(error.message, error.hint)
    except KeyboardInterrupt:
        print("ended", file=sys.stderr)


def _command(words: list[str]) -> None:
    if words[0] == ".tables":
        print("\n".join(FIELDS))
    elif words[0] == ".schema":
        for name in words[1:] or FIELDS:
            if name not in FIELDS:
                print_error(f"there is no table {name}", f"There are: {', '.join(FIELDS)}")
                continue
            print(name)
            for field in FIELDS[name]:
                print(f"  {field.name:<18} {field.meaning}")
    else:
        print(_PROMPT_HELP, end="")
