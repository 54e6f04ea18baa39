"""Gives a trace to everything that reads one."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

from ggml_viz.analysis.contents import describe
from ggml_viz.analysis.diff import compare
from ggml_viz.analysis.summary import summarize
from ggml_viz.errors import UserError
from ggml_viz.export import chrome, perfetto, speedscope, table
from ggml_viz.export.selection import Selection
from ggml_viz.model.tables import FIELDS
from ggml_viz.model.trace import Trace
from ggml_viz.settings.model import Ui
from ggml_viz.terminal.diff import print_diff
from ggml_viz.terminal.info import print_info
from ggml_viz.terminal.report import print_report


def consume(path: Path, number: int) -> bool:
    """Reads a trace with all analyses, and with some of the others by turns. Returns whether it is one at all.

    Raises:
        Exception: Something that is no UserError: what this looks for.
    """
    try:
        trace = Trace.open(path)
    except UserError:
        return False
    for name in FIELDS:
        trace.table(name).load()
    summary = summarize(trace)
    print_report(summary, io.StringIO(), Ui())
    turn = number % 8
    selection = Selection(trace, *((0.0001, 0.0005) if number % 3 == 0 else ()))
    if turn == 0:
        json.loads(_written(chrome.write, selection))
    elif turn == 1:
        _written(perfetto.write, selection)
    elif turn == 2:
        json.loads(_written(speedscope.write, selection))
    elif turn == 3:
        table.write_csv(selection, list(FIELDS)[number // 8 % len(FIELDS)], io.BytesIO())
    elif turn == 4:
        repr(trace)
        trace._repr_html_()
        for name in FIELDS:
            repr(trace.table(name))
    elif turn == 5:
        with contextlib.suppress(UserError):
            print_diff(compare([str(path)], [str(path)]), io.StringIO(), Ui())
    elif turn == 6:
        print_info(describe(trace.file), io.StringIO(), Ui())
    else:
        json.dumps(summary.to_json(), allow_nan=False)
    return True


def _written(write: object, selection: Selection) -> bytes:
    out = io.BytesIO()
    write(selection, out)  # type: ignore[operator]
    return out.getvalue()
