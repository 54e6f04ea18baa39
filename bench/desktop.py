"""What does a frame of the desktop cost, how soon is there a first one, and what does an idle window cost?

Under Xvfb, with OpenGL in software. A frame's cost is the time that Python used of a core for it; by the clock it takes
longer where threads that prepare answers, or the watched program, want the cores too. What the software renderer takes
comes on top of both, and is none of ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tests.support import desktop, tracefile
from tests.support.tiny import Tiny

from bench.figure import Figure, bootstrap, median
from bench.viewers import cpu_seconds

SPANS, STARTS, IDLE_S, FOLLOW_S = 20_000_000, 15, 20.0, 20.0
# From the whole trace to a single node: each notch of the wheel takes some fifth away.
NOTCHES = 120
# Runs a second of a graph of 32 nodes on one thread: with the runs' own records more than half a million records a
# second, where a core is free for it.
RUNS_PER_SECOND = 17_000


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name, desktop.display():
        folder = Path(name)
        path = folder / "large.ggmlviz"
        count = tracefile.write_large_trace(path, SPANS, threads=1)
        starts = []
        with _opened(path):
            pass  # compiled, and in the page cache
        for turn in range(STARTS):
            with _opened(path) as (process, first_s):
                starts.append((first_s, 0.0))
                if turn == STARTS - 1:
                    yield _idle(process)
        value, low, high = bootstrap(starts, median)
        yield Figure("desktop: start to first frame", value, "s", 1.0, low, high, note=f"{count / 1e6:.0f} M")
        yield _frame("desktop: frame while zooming", _zoom(path), 4)
        took_ms, per_second = _follow(folder)
        yield _frame("desktop: frame, live", took_ms, 8, f"{per_second / 1e3:.0f} 000 records a second; ")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[subprocess.Popen[str], float]]:
    """The application with a trace, and how long its first frame took."""
    # Installed, it is compiled. Its folders are nobody else's: nothing is remembered, and nothing is found.
    environment = {**os.environ, "XDG_CONFIG_HOME": str(path.parent), "PYTHONPYCACHEPREFIX": str(path.parent)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "ggml_viz", "view", "--log-level", "info", path]
    began = time.monotonic()
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")
        assert any("the window is shown" in line for line in said)
        first_s = time.monotonic() - began
        yield process, first_s
        process.kill()


def _idle(process: subprocess.Popen[str]) -> Figure:
    """What a window costs in which nothing changes."""
    time.sleep(10)
    used = cpu_seconds(process.pid)
    time.sleep(IDLE_S)
    share = 100 * (cpu_seconds(process.pid) - used) / IDLE_S
    return Figure("desktop: idle", share, "% of a core", goal=2)


def _zoom(path: Path) -> list[tuple[float, float]]:
    """Milliseconds, used and by the clock, of the frames from the whole trace to a single node."""
    took: list[tuple[float, float]] = []

    def use(ctx: Any) -> None:
        desktop.wait_until(ctx, lambda: application.space.is_ready)
        application.space.to_front.append("Timeline")
        for _ in range(30):
            ctx.yield_()
        left, top, right, bottom = application.panels["Timeline"].box
        ctx.mouse_move_to_pos(((left + right) / 2, (top + bottom) / 2))
        application.window.frames.clear()
        for _ in range(NOTCHES):
            ctx.mouse_wheel_y(1)
            ctx.yield_()
            took.extend(application.window.frames)
            application.window.frames.clear()
        view = application.space.view
        assert view is not None
        assert view[1] - view[0] < 1e-4, "it did not zoom to single nodes"

    with desktop.application([path]) as application:
        desktop.drive(application, use)
    return took


def _follow(folder: Path) -> tuple[list[tuple[float, float]], float]:
    """The same while a process is followed, and how many records a second it really made."""
    took: list[tuple[float, float]] = []
    rates: list[float] = []
    tiny = Tiny.build(folder)
    command = [
        sys.executable,
        "-m",
        "ggml_viz",
        "run",
        "--quiet",
        "-o",
        folder / "t.ggmlviz",
        "--max-size",
        "200MB",
        "--",
    ]
    command += tiny("load", f"paced:{RUNS_PER_SECOND}", threads=1)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline().split()[-1])

        def use(ctx: Any) -> None:
            space = application.space
            desktop.wait_until(ctx, lambda: space.is_ready and space.duration_s > 3)
            application.space.to_front.append("Timeline")
            before, began = space.described["records"], time.monotonic()
            application.window.frames.clear()
            while time.monotonic() - began < FOLLOW_S:
                ctx.yield_()
                time.sleep(0.1)
                took.extend(application.window.frames)
                application.window.frames.clear()
            rates.append((space.described["records"] - before) / (time.monotonic() - began))

        try:
            with desktop.application(live=pid) as application:
                desktop.drive(application, use)
        finally:
            run.communicate()
    return took, rates[0]


def _frame(name: str, took_ms: list[tuple[float, float]], goal: float, at: str = "") -> Figure:
    def tail(rounds: Any) -> Any:
        return np.quantile(rounds[..., 0], 0.95, axis=-1)

    used, low, high = bootstrap(took_ms, tail)
    clock = sorted(by_clock for _, by_clock in took_ms)
    middle = float(np.median([used_ms for used_ms, _ in took_ms]))
    note = f"{at}95 of 100 of {len(took_ms)}; median {middle:.1f}; by the clock {clock[len(clock) * 95 // 100]:.1f}"
    return Figure(name, used, "ms of Python", goal, low, high, note=note)
