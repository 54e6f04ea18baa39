"""A dashboard's server as the benchmarks start it, and viewers that take no time of their own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright
from websockets.sync.client import connect

_CHROMIUM = "/usr/bin/chromium"
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
_READY_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Serving:
    """A running `ggml-viz serve`."""

    process: subprocess.Popen[str]
    url: str

    def get(self, path: str) -> Any:
        """What it answers at a path below /api/v1."""
        with urllib.request.urlopen(f"{self.url}api/v1{path}", timeout=60) as response:
            return json.load(response)

    def source(self, kind: str, state: str) -> dict[str, Any]:
        """The source of that kind, once it is in that state."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            for source in self.get("/sources")["sources"]:
                if source["kind"] == kind and source["state"] == state:
                    return dict(source)
            time.sleep(0.05)
        raise AssertionError(f"no {kind} is {state}")

    def cpu_seconds(self) -> float:
        """What it has used of a CPU so far."""
        return cpu_seconds(self.process.pid)


def cpu_seconds(pid: int) -> float:
    """What a process has used of a CPU so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextlib.contextmanager
def serving(*arguments: str | Path) -> Iterator[Serving]:
    """Starts a server at any free port."""
    command = [sys.executable, "-m", "ggml_viz", "serve", "--port", "0", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        match = re.match(r"http://\S+", line)
        assert match, f"the server did not start: {line}"
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield Serving(process, match[0])
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def viewers(url: str, source: str, count: int, width_s: float = 10.0) -> Iterator[list[int]]:
    """So many viewers that follow a source and draw nothing; yields how many tiles each has got."""
    stop = threading.Event()
    tiles = [0] * count

    def view(number: int) -> None:
        with connect(url.replace("http", "ws", 1) + "api/v1/socket", max_size=None) as socket:
            socket.send(json.dumps({"type": "watch", "source": source}))
            follow = {"type": "follow", "source": source, "request": 1, "width_s": width_s, "columns": 1600}
            socket.send(json.dumps(follow))
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    if isinstance(socket.recv(timeout=0.5), bytes):
                        tiles[number] += 1
                        socket.send(json.dumps({"type": "drawn", "request": 1}))

    threads = [threading.Thread(target=view, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield tiles
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


@contextlib.contextmanager
def browser_page(script: Path | None = None) -> Iterator[Page]:
    """A page of a headless Chromium, 1600 by 900."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_FLAGS))
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        if script is not None:
            page.add_init_script(path=script)
        yield page
        browser.close()
