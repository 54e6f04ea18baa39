"""docs/python-api.md lists every column there is.

To write it anew: UPDATE_GOLDEN=1 pytest tests/unit/test_python_api_document.py
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ggml_viz.model.tables import FIELDS

DOCUMENT = Path(__file__).parents[2] / "docs" / "python-api.md"
BEGIN, END = "<!-- tables -->\n", "<!-- end of tables -->"


def tables() -> str:
    parts = []
    for name, fields in FIELDS.items():
        rows = "".join(f"| `{field.name}` | {field.meaning} |\n" for field in fields)
        parts.append(f"### {name}\n\n| column | |\n|---|---|\n{rows}\n")
    return "\n" + "".join(parts)


def test_lists_every_column() -> None:
    text = DOCUMENT.read_text()
    found = re.search(f"{BEGIN}(.*){END}", text, re.DOTALL)
    assert found
    if os.environ.get("UPDATE_GOLDEN") == "1":
        DOCUMENT.write_text(text.replace(found[0], BEGIN + tables() + END))
    assert tables() in DOCUMENT.read_text()


def test_every_table_and_column_has_a_meaning_of_its_own() -> None:
    for fields in FIELDS.values():
        assert len({field.name for field in fields}) == len(fields)
        assert all(field.meaning for field in fields)
