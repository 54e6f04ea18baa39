"""The demos, as a user runs them: true output, a report, and no network the second time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXPECTED = {
    "llama": "And then he heard the voice",
    "whisper": "ask what you can do for your country",
    "vad": "speech from 0.3",
}


def run_demo(name: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ggml_viz", "demo", name, "-o", str(folder / "demo.ggmlviz")],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_demo(name: str, tmp_path: Path) -> None:
    first = run_demo(name, tmp_path)
    assert first.returncode == 0, first.stderr
    assert EXPECTED[name] in first.stdout
    assert "0 lost" in first.stderr
    assert "MUL_MAT" in first.stderr
    assert (tmp_path / "demo.ggmlviz").stat().st_size > 0

    again = run_demo(name, tmp_path, PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert "fetching" not in again.stderr
