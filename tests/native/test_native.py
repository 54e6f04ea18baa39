"""The native code by itself: each program here is compiled plain and under sanitizers, and has to end well."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.native import compiling

HERE = Path(__file__).parent
# Where threads matter; the others have only one.
THREADED = ("ring", "last_node")
ALONE = ("crc", "clock", "records", "definitions", "fold", "totals", "lanes", "writer", "circular", "drain", "recorder")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("native")


@pytest.mark.parametrize(
    ("name", "sanitizer"),
    [
        *((name, sanitizer) for name in THREADED for sanitizer in ("plain", "address", "thread")),
        *((name, sanitizer) for name in ALONE for sanitizer in ("plain", "address")),
    ],
)
def test_program(name: str, sanitizer: str, build: Path, tmp_path: Path) -> None:
    parts = compiling.AGENT if name == "last_node" else compiling.CORE
    program = compiling.program(build / name if name == "last_node" else build, HERE / f"{name}.c", parts, sanitizer)
    ended = subprocess.run(
        [*compiling.start_command(sanitizer), program],
        cwd=tmp_path,
        env={**os.environ, **compiling.ENVIRONMENT},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, f"{name} under {sanitizer} ended with {ended.returncode}\n{ended.stdout[-8000:]}"
