"""What a server has to show: which files it takes for traces, and that many may ask for the same one at once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.tracefile import trace_from_text
from tests.unit.test_tables import TRACE

from ggml_viz.errors import UserError
from ggml_viz.sources.source import Catalog, NotThereError
from ggml_viz.sources.traces import TraceFiles, TraceSource

PATIENCE_S = 20


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "run.ggmlviz"
    path.write_bytes(trace_from_text(TRACE))
    return path


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("impatient")
def test_all_who_ask_at_once_for_a_trace_that_is_not_open_yet_are_answered(trace: Path) -> None:
    for _ in range(40):
        source = TraceSource("run", trace)
        answers = together(source.report, source.opened, source.memory, source.tables, source.graphs)
        assert all("error" not in answer or answer["error"] is None for answer in answers)
        assert answers[0]["schema"] == 1


def together(*questions: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers to questions that are asked in as many threads at the same time."""
    answers: list[dict[str, Any]] = [{}] * len(questions)
    begin = threading.Barrier(len(questions))

    def ask(index: int) -> None:
        begin.wait()
        answers[index] = questions[index]()

    threads = [threading.Thread(target=ask, args=(index,), daemon=True) for index in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads), "some wait for each other"
    return answers


def test_of_a_folder_only_its_traces_are_shown(tmp_path: Path, trace: Path) -> None:
    folder = tmp_path / "traces"
    folder.mkdir()
    (folder / "mine.ggmlviz").write_bytes(trace.read_bytes())
    (folder / ".hidden.ggmlviz").write_bytes(trace.read_bytes())
    (folder / "notes.txt").write_text("no trace")
    (folder / "leads-out.ggmlviz").symlink_to(trace)
    (folder / "folder.ggmlviz").mkdir()
    (folder / "deeper").mkdir()
    (folder / "deeper" / "below.ggmlviz").write_bytes(trace.read_bytes())
    catalog = Catalog([TraceFiles([], folder)])
    assert [source.id for source in catalog.sources()] == ["mine"]
    for name in ("leads-out", "../run", "hidden", "below", "/etc/passwd"):
        with pytest.raises(NotThereError):
            catalog.get(name)


def test_ids_are_told_apart_and_fit_an_address(tmp_path: Path, trace: Path) -> None:
    paths = []
    for name in ("a/run.ggmlviz", "b/run.ggmlviz", "b/my run (2) é.ggmlviz"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(trace.read_bytes())
        paths.append(path)
    files = TraceFiles(paths)
    assert [source.id for source in files.sources()] == ["run", "run-2", "my-run-2-"]


def test_a_file_that_is_no_trace_fails_alone(tmp_path: Path, trace: Path) -> None:
    broken = tmp_path / "broken.ggmlviz"
    broken.write_bytes(b"GGMLVIZ2 and then nothing of use")
    catalog = Catalog([TraceFiles([broken, trace])])
    with pytest.raises(UserError):
        catalog.get("broken").report()
    deadline = time.monotonic() + PATIENCE_S
    while (state := catalog.get("broken").describe()["state"]) == "loading" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert state == "failed"
    assert catalog.get("run").report()["schema"] == 1
