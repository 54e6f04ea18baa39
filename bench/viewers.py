"""Viewers of a dashboard's server that take no time of their own, and what a process has used of a CPU."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from websockets.sync.client import connect

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """What a process has used of a CPU so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


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
