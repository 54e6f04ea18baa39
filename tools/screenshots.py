"""Takes the pictures of the documentation: `make screenshots`.

Records the demo's language model, then looks at it in the terminal, the browser and the window, and at a process that
generates meanwhile. What they show is what this machine did.
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

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text
from tests.support import desktop
from tests.support.dashboard import looked_at, serving
from tests.support.generating import generating
from tests.support.tmux import Terminal

IMAGES = Path(__file__).parents[1] / "docs" / "images"
GGML_VIZ = [sys.executable, "-m", "ggml_viz"]
_INK, _PAPER = (226, 228, 232), (24, 26, 30)
_COLOURS = [
    *((60, 64, 72), (255, 107, 94), (31, 191, 148), (240, 174, 46)),
    *((61, 155, 224), (217, 139, 182), (124, 200, 242), (226, 228, 232)),
]
_PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: rgb{paper} }}
pre {{ margin: 16px; font: 15px/1.35 monospace; color: rgb{ink} }}
</style>{code}"""
_SIZE = """(() => {
  const text = document.querySelector("pre"), range = document.createRange();
  range.selectNodeContents(text);
  const width = range.getBoundingClientRect().width, height = text.getBoundingClientRect().height;
  return [Math.ceil(width) + 32, Math.ceil(height) + 32];
})()"""


def main() -> int:
    """Takes them all."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trace = folder / "SmolLM2.ggmlviz"
        subprocess.run([*GGML_VIZ, "demo", "--quiet", "-o", trace], check=True)
        _report(folder, trace)
        _web(trace)
        _windows(trace)
        with _live(folder) as pid:
            _top(folder, pid)
            _live_window(pid)
    for image in sorted(IMAGES.glob("*.png")):
        print(f"{image.relative_to(IMAGES.parents[1])}  {image.stat().st_size / 1e3:.0f} kB")
    return 0


def _report(folder: Path, trace: Path) -> None:
    command = [*GGML_VIZ, "report", "--color", "always", "--width", "90", trace]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    _picture_of_text(said, folder, IMAGES / "report.png", 90)


def _top(folder: Path, pid: int) -> None:
    terminal = Terminal(folder, [*GGML_VIZ, "top", str(pid)], lines=30)
    try:
        terminal.until(lambda lines: any("MUL_MAT" in line for line in lines))
        time.sleep(5)
        _picture_of_text(terminal.styled(), folder, IMAGES / "top.png", 80)
    finally:
        terminal.close()


def _picture_of_text(text: str, folder: Path, path: Path, columns: int) -> None:
    """Has a browser draw what a terminal would."""
    console = Console(record=True, width=columns, file=(folder / "null").open("w"), force_terminal=True)
    console.print(Text.from_ansi(text), soft_wrap=True)
    theme = TerminalTheme(_PAPER, _INK, _COLOURS, _COLOURS)
    code = console.export_html(theme=theme, inline_styles=True, code_format="<pre>{code}</pre>")
    page = folder / "terminal.html"
    page.write_text(_PAGE.format(paper=_PAPER, ink=_INK, code=code))
    with looked_at(page.as_uri(), 100) as looked:
        size = looked.page.evaluate(_SIZE)
        looked.page.set_viewport_size({"width": size[0], "height": size[1]})
        looked.page.screenshot(path=path)


def _web(trace: Path) -> None:
    with serving(trace) as served:
        source = served.source("trace", "ready")["id"]
        for page, dark in (("overview", False), ("timeline", True), ("graph", False)):
            with looked_at(f"{served.url}#/{source}/{page}", 1280, 800, dark) as looked:
                looked.page.wait_for_timeout(2500)
                looked.page.screenshot(path=IMAGES / f"web-{page}.png")


def _windows(trace: Path) -> None:
    """The desktop on a trace."""
    with desktop.display(), desktop.application([trace], theme="dark") as application:

        def use(ctx: Any) -> None:
            space = application.space
            desktop.wait_until(ctx, lambda: space.is_ready)
            middle = 0.6 * space.duration_s
            space.view = middle, middle + 0.02
            _settle(ctx, 2)
            left, _, right, bottom = application.panels["Timeline"].box
            ctx.mouse_move_to_pos((0.3 * left + 0.7 * right, bottom - 60))
            ctx.mouse_click()
            ctx.mouse_move_to_pos((left + 5, bottom - 5))
            space.to_front.append("Ops")
            _settle(ctx, 2)
            desktop.picture(ctx, IMAGES / "desktop.png")
            space.to_front.append("Graph")
            _settle(ctx, 2)
            desktop.picture(ctx, IMAGES / "desktop-graph.png")

        desktop.drive(application, use)


def _live_window(pid: int) -> None:
    """The desktop on a process."""
    with desktop.display(), desktop.application(live=pid, theme="light") as application:

        def use(ctx: Any) -> None:
            desktop.wait_until(ctx, lambda: application.space.is_ready and application.space.duration_s > 8)
            # Slowly: drawing in software takes the cores that the program needs.
            _settle(ctx, 8, 0.5)
            desktop.picture(ctx, IMAGES / "desktop-live.png")

        desktop.drive(application, use)


def _settle(ctx: Any, seconds: float, frame_s: float = 0.02) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ctx.yield_()
        time.sleep(frame_s)


@contextmanager
def _live(folder: Path) -> Iterator[int]:
    """A process that generates while it is looked at."""
    # Under names that say what they are: the command line is in the pictures.
    _, script, model, binding, times = generating()
    for name, target in (("chat.py", script), ("SmolLM2.gguf", model), ("xllamacpp", binding)):
        (folder / name).symlink_to(target)
    command = [*GGML_VIZ, "run", "--quiet", "-o", "live.ggmlviz", "--"]
    command += ["python", "chat.py", "SmolLM2.gguf", "xllamacpp", str(times)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=folder, env={**os.environ, "PATH": path}) as run:
        assert run.stdin is not None
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
        deadline = time.monotonic() + 60
        while not (found := children.read_text().split()):
            assert time.monotonic() < deadline, "the program does not start"
            time.sleep(0.1)
        time.sleep(8)
        yield int(found[0])
        run.communicate(timeout=60)


if __name__ == "__main__":
    raise SystemExit(main())
