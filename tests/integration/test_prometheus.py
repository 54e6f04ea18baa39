"""A real Prometheus scrapes the server while a model generates, and says what the report says."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import GGML_VIZ
from tests.support.dashboard import Serving, serving
from tests.support.generating import generating

_PATIENCE_S = 90.0


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[tuple[Serving, str]]:
    """A server of what is watched, and the address of a Prometheus that scrapes it each second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving("--all") as server:
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": "ggml-viz", "static_configs": [{"targets": [f"127.0.0.1:{server.port}"]}]}],
        }
        (tmp_path / "prometheus.yml").write_text(json.dumps(config))
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield server, f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def ask(prometheus: str, query: str) -> dict[str, float]:
    """The value of each series of a PromQL query, by its phase."""
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            answer: dict[str, Any] = json.load(response)
    except OSError:
        return {}  # it is still starting
    return {row["metric"].get("phase", ""): float(row["value"][1]) for row in answer["data"]["result"]}


def test_tokens_per_second(prometheus: tuple[Serving, str], tmp_path: Path) -> None:
    _, address = prometheus
    trace = tmp_path / "t.ggmlviz"
    with subprocess.Popen(
        [GGML_VIZ, "run", "--quiet", "-o", trace, "--", *generating(times=5)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as run:
        assert run.stdout is not None
        assert run.stdin is not None
        assert run.stdout.readline() == b"generated\n"
        # Others may be watched on this machine too.
        (pid,) = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        query = f'ggml_viz_tokens_total{{pid="{pid}"}} / ggml_viz_phase_seconds_total{{pid="{pid}"}}'
        deadline = time.monotonic() + _PATIENCE_S
        tokens: dict[str, float] = {}
        # Until it has scraped what came last.
        while time.monotonic() < deadline:
            before, tokens = tokens, ask(address, f'ggml_viz_tokens_total{{pid="{pid}"}}')
            if tokens and tokens == before and tokens.get("decode", 0) > 440:
                break
            time.sleep(2.5)
        rates = ask(address, query)
        run.stdin.close()
        assert run.wait(60) == 0
    report = json.loads(subprocess.run([GGML_VIZ, "report", "--json", trace], capture_output=True, check=True).stdout)
    phases = {phase["phase"]: phase for phase in report["phases"]}
    assert tokens["decode"] == phases["decode"]["tokens"]
    assert tokens["prefill"] == phases["prefill"]["tokens"]
    assert rates["decode"] == pytest.approx(phases["decode"]["tokens_per_second"], rel=0.02)


def test_names_and_units(prometheus: tuple[Serving, str]) -> None:
    server, _ = prometheus
    with urllib.request.urlopen(f"{server.url}metrics", timeout=30) as response:
        text = response.read()
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert checked.returncode == 0, checked.stderr.decode() + checked.stdout.decode()
