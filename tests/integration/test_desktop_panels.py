"""Every panel of the desktop, opened and photographed, on a trace and on a process; its figures are the report's."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from tests.integration.conftest import GGML_VIZ, Sessions, report
from tests.support.desktop import application, display, drive, picture, wait_until
from tests.support.generating import generating

from ggml_viz.desktop.application import PANELS
from ggml_viz.desktop.workspace import Chosen

TITLES = [panel.title for panel in PANELS]
# A panel that shows something is of more colours than text and its edges have.
_COLOURS = 60


@pytest.fixture(scope="module", autouse=True)
def screen() -> Iterator[str]:
    with display() as number:
        yield number


def photograph_all(ctx: Any, made: Any, folder: Path) -> None:
    """Brings each panel to the front, waits until it shows something, and photographs it."""
    for title in TITLES:
        made.space.to_front.append(title)
        wait_until(ctx, lambda title=title: made.window.focused is made.panels[title])
        wait_until(ctx, made.panels[title].rows)
        path = folder / f"{title}.png"
        picture(ctx, path, title)
        pixels = (matplotlib.image.imread(path) * 255).astype(np.uint32)
        packed = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
        assert len(np.unique(packed)) > _COLOURS, f"{title} shows nothing"


def phases(rows: Any) -> dict[str, tuple[int, int, float]]:
    """By phase its runs, tokens and tokens per second."""
    assert rows.columns == ["phase", "runs", "tokens", "seconds", "tokens_per_second"]
    return {phase: (runs, tokens, rate) for phase, runs, tokens, _, rate in rows.rows}


def counts_of(found: dict[str, tuple[int, int, float]]) -> dict[str, tuple[int, int]]:
    return {phase: (runs, tokens) for phase, (runs, tokens, _) in found.items()}


def counts(rows: Any) -> dict[str, tuple[int, int]]:
    return counts_of(phases(rows))


def reported(trace: Path) -> dict[str, tuple[int, int, float]]:
    found = report(trace)["phases"]
    return {each["phase"]: (each["runs"], each["tokens"], each["tokens_per_second"]) for each in found}


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_of_a_trace(recordings: Sessions, tmp_path: Path, theme: str) -> None:
    traces = [recordings(name).trace for name in ("xllamacpp", "llama-simple")]
    with application(traces, theme=theme) as made:

        def use(ctx: Any) -> None:
            space = made.space
            wait_until(ctx, lambda: space.is_ready and len(space.sources) == 2)
            space.other = space.sources[1]
            graph = space.source.graphs()["graphs"][0]
            space.choose(Chosen(graph["process"], graph["graph"], 0))
            photograph_all(ctx, made, tmp_path)

        drive(made, use)
        assert phases(made.panels["Overview"].rows()) == reported(traces[0])


def test_of_a_process(recordings: Sessions, tmp_path: Path) -> None:
    other = recordings("llama-simple").trace
    trace = tmp_path / "t.ggmlviz"
    command = [GGML_VIZ, "run", "--quiet", "-o", trace, "--", *generating(times=3)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
        (pid,) = wait_for(lambda: children.read_text().split())
        wait_for(lambda: "generating.py" in Path(f"/proc/{pid}/cmdline").read_text())
        seen: dict[str, tuple[int, int, float]] = {}
        # Until it is watched.
        wait_for(lambda: subprocess.run([GGML_VIZ, "ctl", pid, "resume"], capture_output=True).returncode == 0)
        with application([other], live=int(pid)) as made:

            def use(ctx: Any) -> None:
                space = made.space
                wait_until(ctx, lambda: space.is_ready and space.described.get("records"), 60)
                graphs = wait_until(ctx, lambda: space.source.graphs()["graphs"])
                space.choose(Chosen(graphs[0]["process"], graphs[0]["graph"], 0))
                space.other = space.sources[1]
                photograph_all(ctx, made, tmp_path)
                assert run.stdout is not None
                assert run.stdout.readline() == b"generated\n"
                run.communicate()
                wait_until(ctx, lambda: space.described["state"] == "ended")
                rows = made.panels["Overview"].rows
                made.space.to_front.append("Overview")
                wait_until(ctx, lambda: counts(rows()) == counts_of(reported(trace)))
                seen.update(phases(rows()))

            drive(made, use)
    assert seen["decode"][1] > 290
    assert seen["decode"][2] == pytest.approx(reported(trace)["decode"][2], rel=0.01)


def wait_for(what: Any, patience_s: float = 60) -> Any:
    """Waits until something is true, and returns it."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            if found := what():
                return found
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)
