"""Questions in SQL: what a query may name, what it may not reach, and how answers are written."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import polars
import pytest
from tests.support.tracefile import trace_from_text
from tests.unit.test_tables import TRACE

from ggml_viz.analysis.sql import Database
from ggml_viz.cli import main
from ggml_viz.errors import UserError
from ggml_viz.model.tables import FIELDS
from ggml_viz.model.trace import Trace

DOCUMENT = Path(__file__).parents[2] / "docs" / "sql.md"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "t.ggmlviz"
    path.write_bytes(trace_from_text(TRACE))
    return path


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    return [row for batch in Database(Trace.open(path)).query(sql).batches for row in batch]


def test_answers(path: Path) -> None:
    assert ask(path, "SELECT op, sum(wall_ns) FROM spans GROUP BY op ORDER BY 2 DESC") == [
        ("GET_ROWS", 90_000),
        ("RMS_NORM", 50_000),
        ("MUL_MAT", 20_000),
    ]
    assert ask(path, "SELECT count(*) FROM worker_spans") == [(5,)]
    assert ask(path, "SELECT buffer FROM buffers WHERE freed_ns IS NULL") == [(1,)]
    joined = "SELECT name, role FROM spans JOIN nodes USING (process, graph, node) WHERE layer = 3 AND executions > 0"
    assert ask(path, joined + " ORDER BY node") == [("norm-3", "norm"), ("Qcur-3", "attn_q")]


@pytest.mark.parametrize("table", FIELDS)
@pytest.mark.parametrize(
    "sql", ["FROM {}", "SELECT * FROM {}", "SELECT t.* FROM {} AS t", "SELECT COLUMNS('.*') FROM {}"]
)
def test_all_columns_of_every_table(table: str, sql: str, path: Path) -> None:
    result = Database(Trace.open(path)).query(sql.format(table))
    assert result.columns == [field.name for field in FIELDS[table]]


def test_only_what_a_query_names_is_made(path: Path) -> None:
    trace = Trace.open(path)
    database = Database(trace)
    list(database.query("SELECT max(wall_ns), count(*) FROM spans WHERE op = 'a * b'").batches)
    assert set(trace.spans._columns) == {"wall_ns", "op", "process"}
    list(database.query("SELECT max(work_ns) FROM spans").batches)
    assert "begin_ns" not in trace.spans._columns


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELEKT 1", "syntax error"),
        ("SELECT foo FROM spans", "foo"),
        ("SELECT * FROM '/etc/passwd'", "disabled|does not exist"),
        ("SELECT * FROM read_text('/etc/passwd')", "disabled"),
        ("COPY (SELECT 1) TO '/tmp/never-written.csv'", "disabled"),
        ("ATTACH '/tmp/never-made.db'", "disabled"),
        ("SET enable_external_access = true", "locked|Cannot"),
        ("INSTALL httpfs", "disabled"),
    ],
)
def test_what_is_wrong_or_not_allowed_is_told_in_a_line(sql: str, said: str, path: Path) -> None:
    with pytest.raises(UserError, match=said) as caught:
        ask(path, sql)
    assert "\n" not in caught.value.message


def test_formats(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    sql = (
        "SELECT op, wall_ns, CASE WHEN node = 0 THEN NULL ELSE 'nan'::DOUBLE END AS x FROM spans ORDER BY node LIMIT 2"
    )
    assert main(["query", str(path), sql]) == 0
    table = capsys.readouterr().out
    assert table == "op        wall_ns    x\nGET_ROWS    90000\nRMS_NORM    50000  nan\n2 rows\n"
    assert main(["query", str(path), sql, "--format", "csv"]) == 0
    answer = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert answer == [["op", "wall_ns", "x"], ["GET_ROWS", "90000", ""], ["RMS_NORM", "50000", "nan"]]
    assert main(["query", str(path), sql, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"op": "GET_ROWS", "wall_ns": 90000, "x": None},
        {"op": "RMS_NORM", "wall_ns": 50000, "x": None},
    ]
    out = tmp_path / "answer.parquet"
    assert main(["query", str(path), "SELECT op, wall_ns FROM spans", "--format", "parquet", "-o", str(out)]) == 0
    assert polars.read_parquet(out)["wall_ns"].sum() == 160_000
    assert main(["query", str(path), "FROM spans", "--format", "parquet"]) == 2
    assert main(["query", str(path), "SELECT 1 WHERE false", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_prompt(path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        ".tables\n.schema runs\nSELECT count(*) AS n\nFROM runs;\nSELECT nothing;\n.schema none\n.help\nFROM backends\n"
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(said))
    assert main(["query", str(path)]) == 0
    told = capsys.readouterr()
    assert "worker_spans" in told.out
    assert "duration_ns        how long it took, in ns" in told.out
    assert "n\n1\n1 row" in told.out
    assert "CPU" in told.out
    assert "nothing" in told.err
    assert "there is no table none" in told.err


def questions() -> list[tuple[str, str]]:
    text = DOCUMENT.read_text()
    return re.findall(r"^## \d+\. (.*?)\n.*?```sql\n(.*?)```", text, re.DOTALL | re.MULTILINE)


def test_there_are_twenty_questions() -> None:
    assert len(questions()) == 20


@pytest.mark.parametrize(("question", "sql"), questions())
def test_documented_questions_have_answers(question: str, sql: str, path: Path) -> None:
    assert question.endswith("?")
    result = Database(Trace.open(path)).query(sql)
    list(result.batches)
    assert result.columns
