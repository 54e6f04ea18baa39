"""Everything that reads a trace: what each hostile one is given to."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ggml_viz.analysis.contents import describe
from ggml_viz.analysis.diff import compare
from ggml_viz.analysis.sql import Database
from ggml_viz.analysis.summary import summarize
from ggml_viz.commands.export import FORMATS, PICTURES
from ggml_viz.errors import UserError
from ggml_viz.export.selection import Selection
from ggml_viz.model.phases import PHASES
from ggml_viz.model.tables import FIELDS
from ggml_viz.model.trace import Trace
from ggml_viz.settings.model import Ui
from ggml_viz.terminal.diff import print_diff
from ggml_viz.terminal.info import print_info
from ggml_viz.terminal.report import print_report
from ggml_viz.terminal.rows import print_table
from ggml_viz.views.graph import graph_list, layer_layout, layers_of
from ggml_viz.views.memory import arena_map, memory_over_time
from ggml_viz.views.nodes import describe_node, occurrence, search

_SQL = (
    "SELECT * FROM {0}",
    "SELECT count(*), max({1}) FROM {0}",
    "SELECT {1}, count(*) FROM {0} GROUP BY ALL ORDER BY 2 DESC LIMIT 5",
    "SELECT * FROM {0} NATURAL JOIN processes LIMIT 20",
)


class Look(NamedTuple):
    """One way to read a trace.

    Attributes:
        name: What to call it.
        one_in: How many traces it is given one of.
        read: Does it, with random numbers to choose what; a UserError is an answer.
    """

    name: str
    one_in: int
    read: Callable[[Trace, random.Random], object]


def _tables(trace: Trace, rng: random.Random) -> None:
    for name in rng.sample(list(FIELDS), len(FIELDS)):
        lengths = {len(column) for column in trace.table(name).load().values()}
        assert len(lengths) == 1, f"{name} has columns of {lengths} rows"


def _report(trace: Trace, rng: random.Random) -> None:
    print_report(summarize(trace), io.StringIO(), Ui())


def _report_json(trace: Trace, rng: random.Random) -> None:
    json.dumps(summarize(trace).to_json(), allow_nan=False)


def _info(trace: Trace, rng: random.Random) -> None:
    print_info(describe(trace.file), io.StringIO(), Ui())


def _shown(trace: Trace, rng: random.Random) -> None:
    repr(trace)
    trace._repr_html_()
    for name in FIELDS:
        repr(trace.table(name))
        trace.table(name)._repr_html_()


def _diff(trace: Trace, rng: random.Random) -> None:
    print_diff(compare([trace.file.path], [trace.file.path]), io.StringIO(), Ui())


def _sql(trace: Trace, rng: random.Random) -> None:
    database = Database(trace)
    for _ in range(3):
        table = rng.choice(list(FIELDS))
        column = rng.choice(FIELDS[table]).name
        result = database.query(rng.choice(_SQL).format(table, column))
        print_table(result.columns, result.batches, 1000, io.StringIO(), Ui())


def _frames(trace: Trace, rng: random.Random) -> None:
    for name in rng.sample(list(FIELDS), 3):
        table = trace.table(name)
        lengths = {len(table.to_arrow()), len(table.to_polars()), len(table.to_pandas()), len(table)}
        assert len(lengths) == 1, f"{name} has {lengths} rows"


def _export(form: str) -> Callable[[Trace, random.Random], None]:
    def write(trace: Trace, rng: random.Random) -> None:
        whole = form == "dot" or rng.random() < 0.6
        selection = Selection(
            trace,
            from_s=0.0 if whole else rng.choice((0.0, 0.0001, 0.0003, 1e9)),
            until_s=0.0004 if rng.random() < 0.2 and not whole else float("inf"),
            ops=frozenset(() if whole else rng.choice(((), ("MUL_MAT",), ("ADD", "?")))),
            phases=frozenset(() if whole else rng.choice(((), (rng.choice(PHASES),)))),
        )
        numbers = (None, None, 0, 1, 7)
        chosen = {"table": rng.choice(list(FIELDS)), "picture": rng.choice(PICTURES), "to": form}
        args = argparse.Namespace(**chosen, graph=rng.choice(numbers), layer=rng.choice(numbers))
        out = io.BytesIO()
        FORMATS[form](selection, args, out)
        if form in ("chrome", "speedscope", "json"):
            json.loads(out.getvalue(), parse_constant=_no_number)

    return write


def _no_number(text: str) -> None:
    raise AssertionError(f"{text} is no number in JSON")


def _views(trace: Trace, rng: random.Random) -> None:
    shown: list[Any] = [
        graph_list(trace),
        memory_over_time(trace),
        search(trace, rng.choice(("a", "decode", "mul_mat"))),
    ]
    numbers = [(row["process"], row["graph"]) for row in shown[0]["graphs"]] + [(0, 1), (0, 7)]
    process, graph = rng.choice(numbers)
    node, run = rng.randrange(12), rng.randrange(12)
    looks: tuple[Callable[[], Any], ...] = (
        lambda: layers_of(trace, process, graph),
        lambda: layer_layout(trace, process, graph, rng.choice((None, 0, 1))),
        lambda: arena_map(trace, process, graph, 1, rng.randrange(1, 4)),
        lambda: occurrence(trace, process, graph, node, after_s=0.0),
        lambda: occurrence(trace, process, graph, node, before_s=1e9),
        lambda: describe_node(trace, process, run, node),
    )
    for look in looks:
        with contextlib.suppress(UserError):
            shown.append(look())
    json.dumps(shown, allow_nan=False)


# What takes long compared with the rest is given fewer traces.
_EXPORTS = {"svg": 800, "png": 3200, "parquet": 32}

LOOKS = (
    Look("tables", 1, _tables),
    Look("report", 1, _report),
    Look("report --json", 8, _report_json),
    Look("info", 8, _info),
    Look("repr", 16, _shown),
    Look("diff", 32, _diff),
    Look("query", 200, _sql),
    Look("data frames", 32, _frames),
    Look("views", 2, _views),
    *(Look(form, _EXPORTS.get(form, 16), _export(form)) for form in FORMATS),
)
"""What reads a trace, in this order. One more is one more line."""


def looks_at(number: int) -> list[Look]:
    """What a trace is given to, by its number."""
    rng = random.Random(number)
    return [look for look in LOOKS if rng.randrange(look.one_in) == 0]


def opened(path: Path) -> Trace:
    """The trace at a path.

    Raises:
        UserError: It is none.
    """
    return Trace.open(path)
