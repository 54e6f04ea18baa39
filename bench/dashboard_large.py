"""How quick is the dashboard on a trace of 20 million spans, in a headless Chromium on the same cores?"""

from __future__ import annotations

import json
import struct
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from playwright.sync_api import Page
from tests.support import tracefile
from tests.support.dashboard import looked_at, serving
from websockets.http11 import Request, Response
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from bench.figure import Figure, bootstrap, median
from ggml_viz.model.trace import Trace
from ggml_viz.views.timeline import Timeline

SPANS, ROUNDS, WINDOWS = 20_000_000, 5, 400
PAN_S = 3.0
# Seconds of the trace to a window, windows, and how many are asked for at once.
STREAM = 1.0, 60, 3

SPAN_BYTES = 24
# In a tile of one lane, where it says how many spans there are.
_COUNT_AT = 56 + 8
# What a server that only sends is asked for, to know what the browser itself takes.
BARE_FRAMES, BARE_BYTES = 40, 2_000_000

_BARE = """
(address) => new Promise((resolve) => {
  const socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  let bytes = 0, began = 0;
  socket.onopen = () => (began = performance.now());
  socket.onmessage = (event) => (bytes += event.data.byteLength);
  socket.onclose = () => resolve(bytes / (performance.now() - began) / 1e3);
})
"""
# Asks for windows of the trace, spans always, and looks at what comes.
_STREAM = """
async ([source, width, count, sockets]) => {
  let spans = 0, check = 0;
  const stream = async (number) => {
    const socket = new WebSocket(location.origin.replace("http", "ws") + "/api/v1/socket");
    socket.binaryType = "arraybuffer";
    await new Promise((resolve) => (socket.onopen = resolve));
    for (let request = number; request < count; request += sockets) {
      const answer = new Promise((resolve) => (socket.onmessage = (event) => resolve(event.data)));
      const from_s = 1 + request * width;
      socket.send(JSON.stringify({ type: "view", source, request, from_s, until_s: from_s + width, columns: 1600,
                                   lanes: [1024], spans: true }));
      const data = await answer;
      const view = new DataView(data);
      const rows = view.getUint32(56 + 8, true), offset = view.getUint32(56 + 12, true);
      const begins = new Float32Array(data, offset, rows);
      for (let row = 0; row < rows; row++) check += begins[row];
      spans += rows;
    }
    socket.close();
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: sockets }, (_, number) => stream(number)));
  return [spans, performance.now() - began, check];
}
"""
_FRAMES = """
(seconds) => new Promise((resolve) => {
  const times = [];
  const frame = (now) => {
    times.push(now);
    if (now - times[0] < seconds * 1000) requestAnimationFrame(frame); else resolve(times);
  };
  requestAnimationFrame(frame);
})
"""


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.ggmlviz"
        count = tracefile.write_large_trace(path, SPANS, threads=1)
        figures = [_viewports(path)]
        with serving(path) as served:
            began = time.monotonic()
            source = served.source("trace", "ready")
            loaded = time.monotonic() - began
            usable = [(_usable_s(served.url, source["id"]), 0.0) for _ in range(ROUNDS)]
            with looked_at(f"{served.url}#/{source['id']}/timeline", 1600) as looked:
                page = looked.page
                frames = [(_frames_per_second(page), 0.0) for _ in range(ROUNDS)]
                browser = [(_spans_into(page, source["id"]), 0.0) for _ in range(ROUNDS)]
            rates = [(_spans_per_second(served.url, source["id"]), 0.0) for _ in range(ROUNDS)]
        bare = _bare_megabytes_per_second()
    value, low, high = bootstrap(usable, median)
    figures.append(Figure("request to usable page", value, "s", 1.0, low, high, note=f"{count / 1e6:.0f} M spans"))
    value, low, high = bootstrap(frames, median)
    figures.append(Figure("panning", value, "frames/s", 30, low, high, higher_is_better=True))
    for name, rounds, goal, note in (
        ("spans over the WebSocket", rates, 5, "to a client that only reads"),
        ("spans into Chromium", browser, None, f"it reads {bare:.0f} MB/s here from a server that only sends"),
    ):
        value, low, high = bootstrap(rounds, median)
        note += f"; {value * SPAN_BYTES / 1e6:.0f} MB/s"
        figures.append(Figure(name, value / 1e6, "M/s", goal, low / 1e6, high / 1e6, higher_is_better=True, note=note))
    return [*figures, Figure("server ready after its start", loaded, "s", note="everything added up")]


def _viewports(path: Path) -> Figure:
    """What a viewport takes, at all zooms and places."""
    trace = Trace.open(path)
    timeline = Timeline(trace)
    timeline.build()
    rng = np.random.default_rng(1)
    took = []
    for _ in range(WINDOWS):
        width = trace.duration_s * 10 ** rng.uniform(-6, 0)
        from_s = rng.uniform(0, trace.duration_s - width)
        began = time.perf_counter()
        timeline.tile(from_s, from_s + width, 1600)
        took.append((1e3 * (time.perf_counter() - began), 0.0))
    value, low, high = bootstrap(took, lambda rounds: np.quantile(rounds[..., 0], 0.95, axis=-1))
    return Figure("viewport, 95 of 100", value, "ms", 5, low, high, note="any zoom and place, 1600 columns")


def _usable_s(url: str, source: str) -> float:
    """From the request of the page to the tokens per second and the ops on it."""
    with looked_at("about:blank", 1600) as looked:
        page = looked.page
        began = time.monotonic()
        page.goto(f"{url}#/{source}/overview", wait_until="commit")
        page.get_by_text("MUL_MAT").first.wait_for()
        return time.monotonic() - began


def _frames_per_second(page: Page) -> float:
    """While the timeline is panned by a key that is held."""
    page.keyboard.press("Home")
    for _ in range(6):
        page.keyboard.press("w")
        time.sleep(0.2)
    page.keyboard.down("d")
    times = page.evaluate(_FRAMES, PAN_S)
    page.keyboard.up("d")
    return (len(times) - 1) / (times[-1] - times[0]) * 1e3


def _spans_into(page: Page, source: str) -> float:
    """Spans per second that a page in the browser gets and looks at."""
    spans, took_ms, _ = page.evaluate(_STREAM, [source, *STREAM])
    return float(spans / took_ms * 1e3)


def _spans_per_second(url: str, source: str) -> float:
    """The same windows, asked for by a client that only counts."""
    width_s, count, sockets = STREAM

    def stream(number: int) -> int:
        spans = 0
        with connect(url.replace("http", "ws", 1) + "api/v1/socket", max_size=None) as socket:
            for request in range(number, count, sockets):
                window = {"from_s": 1 + request * width_s, "until_s": 1 + (request + 1) * width_s, "columns": 1600}
                view = {"type": "view", "source": source, "request": request, "lanes": [1024], "spans": True}
                socket.send(json.dumps({**view, **window}))
                tile = socket.recv()
                while isinstance(tile, str):
                    tile = socket.recv()
                spans += struct.unpack_from("<I", tile, _COUNT_AT)[0]
        return spans

    began = time.monotonic()
    with ThreadPoolExecutor(sockets) as pool:
        spans = sum(pool.map(stream, range(sockets)))
    return spans / (time.monotonic() - began)


def _bare_megabytes_per_second() -> float:
    """What the browser gets over a WebSocket from a server that has nothing else to do."""

    def send(connection: ServerConnection) -> None:
        for _ in range(BARE_FRAMES):
            connection.send(bytes(BARE_BYTES))

    def page(connection: ServerConnection, request: Request) -> Response | None:
        # An empty one: from elsewhere, browsers do not let pages speak to this machine.
        return connection.respond(200, "") if request.path == "/" else None

    with serve(send, "127.0.0.1", 0, compression=None, process_request=page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        with looked_at(f"http://127.0.0.1:{port}/", 800) as looked:
            rate = looked.page.evaluate(_BARE, f"ws://127.0.0.1:{port}/frames")
        server.shutdown()
    return float(rate)
