"""What the dashboard's sources repeat of the Python side says the same there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ggml_viz.model import kinds

_WEB = Path(__file__).parents[2] / "web" / "src"
_KINDS = dict(zip(("matrix", "attention", "elements", "movement", "other"), kinds.KINDS, strict=True))


def test_kinds_are_told_by_the_same_words_in_the_same_order() -> None:
    table = (_WEB / "kinds.ts").read_text().split("WORDS", 1)[1].split("];", 1)[0]
    rows = re.findall(r'"([a-z]+)",\s*\[([^\]]+)\]', table)
    told = [(tuple(re.findall(r'"(\w+)"', words)), _KINDS[kind]) for kind, words in rows]
    assert told == list(kinds._BY_WORD)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_are_those_of_every_face(theme: str) -> None:
    palette = pytest.importorskip("ggml_viz.views.palette")
    text = (_WEB / "palette.ts").read_text().split(f"const {theme.upper()}: Palette = {{", 1)[1].split("};", 1)[0]

    def colours(group: str) -> dict[str, str]:
        return dict(re.findall(r'(\w+): "(#[0-9A-Fa-f]{6})"', text.split(f"{group}: {{", 1)[1].split("}", 1)[0]))

    for group, expected in (
        ("kinds", {name: palette.KIND_COLOURS[kind] for name, kind in _KINDS.items()}),
        ("phases", palette.PHASE_COLOURS),
        ("usages", palette.USAGE_COLOURS),
    ):
        assert colours(group) == {name: getattr(colour, theme) for name, colour in expected.items()}
