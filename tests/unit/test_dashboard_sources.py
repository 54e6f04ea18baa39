"""What the dashboard's sources repeat of the Python side says the same there."""

from __future__ import annotations

import re
from pathlib import Path

from ggml_viz.model import kinds

_KINDS_TS = Path(__file__).parents[2] / "web" / "src" / "kinds.ts"
_NAMES = dict(zip(("matrix", "attention", "elements", "movement", "other"), kinds.KINDS, strict=True))


def test_kinds_are_told_by_the_same_words_in_the_same_order() -> None:
    table = _KINDS_TS.read_text().split("WORDS", 1)[1].split("];", 1)[0]
    rows = re.findall(r'"([a-z]+)",\s*\[([^\]]+)\]', table)
    told = [(tuple(re.findall(r'"(\w+)"', words)), _NAMES[kind]) for kind, words in rows]
    assert told == list(kinds._BY_WORD)
