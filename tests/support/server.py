"""llama-server under load: clients that ask for text over and over, and note when each token arrives."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import runtimes

HOST = "127.0.0.1"
_READY_S = 120


@dataclass
class Server:
    """A running llama-server.

    Attributes:
        process: It.
        port: Where it listens.
    """

    process: subprocess.Popen[bytes]
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    def complete(self, prompt: str, tokens: int, arrived: list[float] | None = None, seed: int = 1) -> str:
        """Asks for text; `arrived` gets the moment at which each token came."""
        body = {"prompt": prompt, "n_predict": tokens, "stream": True, "seed": seed, "ignore_eos": True, "top_k": 1}
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            text = ""
            for line in response:
                if line.startswith(b"data: "):
                    if arrived is not None:
                        arrived.append(time.monotonic())
                    text += json.loads(line[6:]).get("content", "")
            return text
        finally:
            connection.close()


@contextlib.contextmanager
def running(
    program: Path, *before: str | Path, slots: int = 4, threads: int = 2, log: Path | None = None
) -> Iterator[Server]:
    """Starts a llama-server with SmolLM2 and waits until it answers."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    options = {"-m": runtimes.smollm2(), "-t": threads, "-c": 512 * slots, "-np": slots, "--port": port, "--host": HOST}
    # What it keeps of prompts it has answered would look like a leak.
    options["--cache-ram"] = 0
    words = [str(word) for option in options.items() for word in option]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    with open(log or os.devnull, "wb") as output:
        process = subprocess.Popen(
            [*map(str, before), str(program), *words], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env=environment,
        )  # fmt: skip
        server = Server(process, port)
        try:
            _wait_until_ready(server)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        assert server.process.poll() is None, "llama-server ended"
        try:
            connection = http.client.HTTPConnection(HOST, server.port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "llama-server never answered"
        time.sleep(0.1)


@dataclass
class Load:
    """Clients at work.

    Attributes:
        arrivals: For each client, when each of its tokens came, by the monotonic clock.
    """

    arrivals: list[list[float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def tokens_per_second(self, begin: float, end: float) -> float:
        """Tokens that came in an interval, over all clients, by its length."""
        count = sum(begin <= at < end for client in self.arrivals for at in list(client))
        return count / (end - begin)

    def gaps(self, begin: float, end: float) -> list[float]:
        """Times between two tokens of one client, in seconds, of those that ended in an interval; sorted."""
        found = []
        for client in self.arrivals:
            times = list(client)
            found += [b - a for a, b in itertools.pairwise(times) if begin <= b < end]
        return sorted(found)


@contextlib.contextmanager
def load(server: Server, clients: int, tokens: int = 96) -> Iterator[Load]:
    """Keeps so many clients asking until the block ends."""
    state, stop = Load([[] for _ in range(clients)]), threading.Event()

    def ask(client: int) -> None:
        round_number = 0
        while not stop.is_set():
            round_number += 1
            try:
                server.complete(f"Story {client}.{round_number}: once upon a time", tokens, state.arrivals[client])
            except (OSError, http.client.HTTPException, AssertionError) as error:
                if not stop.is_set():
                    state.failures.append(repr(error))
                return

    threads = [threading.Thread(target=ask, args=(client,), daemon=True) for client in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield state
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
