"""What the timeline shows, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ggml_viz.desktop.panel import Rows
from ggml_viz.desktop.timeline.lanes import Lane
from ggml_viz.desktop.timeline.plate import Labels
from ggml_viz.desktop.timeline.tile import Spans, Tile
from ggml_viz.desktop.timeline.view import View
from ggml_viz.model.kinds import KINDS
from ggml_viz.model.phases import PHASES

_COLUMNS = ["lane", "pid", "begin_s", "wall_s", "what", "work_s", "wait_s", "run", "node"]


def rows_of(tile: Tile, lanes: Sequence[Lane], labels: Labels, view: View) -> Rows:
    """Spans one by one, and of lanes that hold too many for that how much time each kind took in each column."""
    rows: list[list[Any]] = []
    width = tile.view.width
    begin, end = (view.begin - tile.view.begin) / width, (view.end - tile.view.begin) / width
    for lane in lanes:
        shown = tile.lanes.get(lane.id)
        if isinstance(shown, Spans):
            first, last = shown.reaching(begin, end)
            for i in range(first, last):
                at, took, wait = (float(each[i]) * width for each in (shown.begin, shown.duration, shown.wait))
                label = int(shown.label[i])
                what = labels.texts[label] if label < len(labels) else ""
                who = int(shown.run[i]), int(shown.node[i])
                rows.append([lane.name, lane.pid, tile.view.begin + at, took, what, took - wait, wait, *who])
        elif shown is not None:
            count = len(shown.shares)
            names, column = PHASES if lane.in_phases else KINDS, width / count
            first, last = max(int(begin * count), 0), min(int(np.ceil(end * count)), count)
            for at, kind in np.argwhere(shown.shares[first:last, : len(names)].any(axis=2)).tolist():
                work, wait = (float(share) / 255 * column for share in shown.shares[first + at, kind])
                since = tile.view.begin + (first + at) * column
                rows.append([lane.name, lane.pid, since, column, names[kind], work, wait, None, None])
    return Rows(list(_COLUMNS), rows)
