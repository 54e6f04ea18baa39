"""A real `ggml-viz serve` beside a test, on a port of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_START_S = 60
_STOP_S = 30
# By itself, or as a shell says it: by SIGINT, by SIGTERM.
_GOOD_ENDS = (0, -signal.SIGINT, 128 + signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGTERM)


@dataclass(frozen=True)
class Served:
    """A server that answers.

    Attributes:
        process: It.
        host: Where it listens.
        port: Likewise.
        log: What it says.
        token: What it printed as such; empty: nothing.
    """

    process: subprocess.Popen[bytes]
    host: str
    port: int
    log: Path
    token: str

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def api(self) -> str:
        return f"{self.url}/api/v1"

    def get(self, path: str, timeout_s: float = 60) -> bytes:
        """What it answers to GET."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        with urllib.request.urlopen(
            urllib.request.Request(self.url + path, headers=headers), None, timeout_s
        ) as answer:
            body: bytes = answer.read()
            return body

    def json(self, path: str, timeout_s: float = 60) -> Any:
        """The same, as data."""
        return json.loads(self.get(path, timeout_s))

    def memory_bytes(self) -> int:
        """What it and the processes that it has started hold."""
        return sum(_resident(pid) for pid in (self.process.pid, *_children(self.process.pid)))


@contextlib.contextmanager
def serving(*words: str | Path, env: Mapping[str, str] | None = None, host: str = "127.0.0.1") -> Iterator[Served]:
    """Serves while this lasts; in the end it has to end well, when it is asked to."""
    options = () if "--host" in words else ("--host", host)
    argv = [sys.executable, "-m", "ggml_viz", "serve", *map(str, words), *options, "--port", "0"]
    environment = {**os.environ, **(env or {})}
    if env is None or "GGML_VIZ_TOKEN" not in env:
        environment.pop("GGML_VIZ_TOKEN", None)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=folder
            )
        try:
            port = _port(process, log)
            token = re.search(r"^token: (\S+)$", log.read_text(), re.MULTILINE)
            given = environment.get("GGML_VIZ_TOKEN", "")
            yield Served(process, host, port, log, token[1] if token else given)
            if process.poll() is None:
                process.terminate()
            assert process.wait(_STOP_S) in _GOOD_ENDS, log.read_text()
            assert "Traceback" not in log.read_text(), log.read_text()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + _START_S
    while True:
        said = log.read_text()
        if found := re.search(r"^https?://\S+:([0-9]+)/ ", said, re.MULTILINE):
            return int(found[1])
        assert process.poll() is None, said
        assert time.monotonic() < deadline, f"it never said where: {said}"
        time.sleep(0.05)


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if path.read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(path.parent.name))
    return found


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0
