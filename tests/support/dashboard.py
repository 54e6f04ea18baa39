"""The dashboard as somebody looks at it: a real server, a real browser."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"
PATIENCE_MS = 60_000


@dataclass(frozen=True)
class Serving:
    """A running `ggml-viz serve`."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    def get(self, path: str) -> Any:
        """What it answers below /api/v1."""
        with urllib.request.urlopen(f"{self.url}api/v1{path}", timeout=60) as response:
            return json.load(response)

    def post(self, path: str, body: dict[str, str]) -> Any:
        """What it answers there to something that is posted."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}api/v1{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def source(self, kind: str, *states: str) -> dict[str, Any]:
        """The first source of a kind, once it is in one of some states."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while time.monotonic() < deadline:
            for source in self.get("/sources")["sources"]:
                if source["kind"] == kind and source["state"] in states:
                    return dict(source)
            time.sleep(0.1)
        raise AssertionError(f"no {kind} is {states}: {self.get('/sources')}")


@contextlib.contextmanager
def serving(*arguments: str | Path, port: int = 0) -> Iterator[Serving]:
    """Starts a server, and ends it as Ctrl-C does."""
    command = [sys.executable, "-m", "ggml_viz", "serve", "--port", str(port), *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = [process.stderr.readline()]
    reader = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
    reader.start()
    try:
        match = re.match(r"https?://\S+", said[0])
        assert match, said
        yield Serving(process, match[0])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(5)
        process.stderr.close()
    assert not any("Traceback" in line for line in said), "".join(said)


@dataclass
class Looked:
    """A page, and what went wrong in it."""

    page: Page
    errors: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """What axe finds of serious or critical accessibility faults."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        return [
            f"{fault['id']}: {fault['nodes'][0]['target']}"
            for fault in found["violations"]
            if fault["impact"] in ("serious", "critical")
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@contextlib.contextmanager
def looked_at(
    url: str, width: int = 1280, height: int = 900, dark: bool = False, script: Path | None = None
) -> Iterator[Looked]:
    """Opens an address; the script runs in the page before its own do."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
        page.set_default_timeout(PATIENCE_MS)
        if script is not None:
            page.add_init_script(path=script)
        looked = Looked(page)
        page.on("pageerror", lambda error: looked.errors.append(str(error)))
        page.on("console", lambda line: looked.errors.append(line.text) if line.type == "error" else None)
        try:
            page.goto(url)
            yield looked
        finally:
            browser.close()
