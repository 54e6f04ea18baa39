"""What does watching a llama-server cost, and how old is what one sees?

Two threads and four clients on all cores; with capture alone (the dashboard's server is stopped by a signal), and with
the dashboard beside it, in turns.
"""

from __future__ import annotations

import datetime
import signal
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from playwright.sync_api import Page
from tests.support import runtimes, server
from tests.support.dashboard import Serving, looked_at, serving

from bench.figure import Figure, bootstrap, ratio_of_sums
from bench.figure import median as middle
from bench.viewers import cpu_seconds, viewers

# Of an answer: so many that reading prompts is no part of most rounds.
TOKENS = 480
CLIENTS, ROUNDS, ROUND_S, SETTLE_S = 4, 60, 1.5, 0.6
MORE_VIEWERS, MORE_ROUNDS = 4, 4
# From the 10 s that a follower is shown first to some tenth of a second, where each node is a span.
ZOOMS = 12


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        record = [sys.executable, "-m", "ggml_viz", "run", "--quiet", "-o", Path(name) / "t.ggmlviz", "--"]
        program = runtimes.llama_cpp("llama-server")
        with server.running(program, *record, slots=CLIENTS) as running, server.load(running, CLIENTS, TOKENS) as load:
            time.sleep(3)
            rates, shares = [], []
            with serving("--all") as served:
                source = served.source("live", "running")["id"]
                with viewers(served.url, source, 1):
                    for turn in range(ROUNDS):
                        # Whatever drifts meets both alike.
                        for watched in (True, False) if turn % 2 else (False, True):
                            if watched:
                                rate, share = _watched(load, served)
                            else:
                                alone = _alone(load, served)
                        rates.append((rate, alone))
                        shares.append((share, 0.0))
                more = []
                for _ in range(MORE_ROUNDS):
                    with viewers(served.url, source, 1):
                        one = _watched(load, served)[1]
                    with viewers(served.url, source, 1 + MORE_VIEWERS):
                        many = _watched(load, served)[1]
                    more.append(((many - one) / MORE_VIEWERS, 0.0))
                ages = _ages_ms(served, source)
            assert not load.failures, load.failures
    ratio, low, high = bootstrap(rates, ratio_of_sums)
    note = f"{median(alone for _, alone in rates):.0f} t/s alone, {CLIENTS} clients"
    return [
        Figure(
            "tokens/s, watched / capture alone", ratio, goal=0.98, low=low, high=high, higher_is_better=True, note=note
        ),
        _share("server's CPU, one viewer", shares, 15),
        _share("server's CPU, each further one", more, 5),
        Figure("record to pixel, median", float(np.median(ages)), "ms", note="in Chromium on the same two cores"),
        Figure("record to pixel, 95 of 100", float(np.quantile(ages, 0.95)), "ms", goal=250),
    ]


def _watched(load: server.Load, served: Serving) -> tuple[float, float]:
    """Tokens per second, and percent of a core, over a round."""
    time.sleep(SETTLE_S)
    begin, used = time.monotonic(), cpu_seconds(served.process.pid)
    time.sleep(ROUND_S)
    end = time.monotonic()
    return load.tokens_per_second(begin, end), 100 * (cpu_seconds(served.process.pid) - used) / (end - begin)


def _alone(load: server.Load, served: Serving) -> float:
    """Tokens per second over a round in which the dashboard's server does not run."""
    served.process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(SETTLE_S)
        begin = time.monotonic()
        time.sleep(ROUND_S)
        return load.tokens_per_second(begin, time.monotonic())
    finally:
        served.process.send_signal(signal.SIGCONT)


def _share(name: str, rounds: list[tuple[float, float]], goal: float) -> Figure:
    value, low, high = bootstrap(rounds, middle)
    return Figure(name, value, "% of a core", goal=goal, low=low, high=high)


def _ages_ms(served: Serving, source: str) -> list[float]:
    """How old the oldest record was that a frame showed first, of each frame."""
    started = datetime.datetime.fromisoformat(served.get(f"/sources/{source}")["started"].replace("Z", "+00:00"))
    script = Path(__file__).with_name("viewer.js")
    with looked_at(f"{served.url}#/{source}/timeline", 1600, script=script) as looked:
        page = looked.page
        _wait_for_tiles(page, 2)
        # A window so narrow that each node is a span.
        for _ in range(ZOOMS):
            page.keyboard.press("+")
            page.wait_for_timeout(300)
        page.evaluate("window.__tiles.length = 0")
        _wait_for_tiles(page, 5)
        time.sleep(10)
        tiles = page.evaluate("window.__tiles")
    ages, before = [], 0.0
    for tile in tiles:
        if before and tile["last"] > before:
            ages.append(tile["painted"] - (started.timestamp() + before) * 1000)
        before = max(before, tile["last"])
    assert ages, "the page showed nothing new"
    return ages


def _wait_for_tiles(page: Page, count: int) -> None:
    """The page's own policy forbids what Playwright would wait with."""
    deadline = time.monotonic() + 30
    while page.evaluate("window.__tiles.length") < count:
        assert time.monotonic() < deadline, "no tiles come"
        time.sleep(0.1)
