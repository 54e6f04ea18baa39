"""Builds the packages of a release, the wheels of every system and the source archive: `make wheels`.

They are the same, bit for bit, wherever they are built from one commit: libraries know no folder (`hatch_build.py`),
and files in archives are as old as the commit. Who builds from a source archive sets SOURCE_DATE_EPOCH to that time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from hatch_build import TARGETS

ROOT = Path(__file__).parents[1]


def build(folder: Path, targets: Iterable[str] = TARGETS, *, source: Path = ROOT) -> None:
    """Builds the source archive and wheels.

    Args:
        folder: Where they are put.
        targets: What wheels are built for.
        source: What is built: a checkout, or an unpacked source archive.
    """
    environment = {"SOURCE_DATE_EPOCH": committed(), **os.environ}
    environment.pop("GGML_VIZ_CC", None)
    _call_hatchling("sdist", folder, source, environment)
    for target in targets:
        _call_hatchling("wheel", folder, source, environment | {"GGML_VIZ_TARGET": target})


def committed() -> str:
    """When the checked out commit was made, in seconds."""
    command = ("git", "log", "-1", "--format=%ct")
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def _call_hatchling(what: str, folder: Path, source: Path, environment: dict[str, str]) -> None:
    command = (sys.executable, "-m", "hatchling", "build", "-t", what, "-d", str(folder.absolute()))
    subprocess.run(command, cwd=source, env=environment, check=True)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
