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


def build_source_archive(folder: Path) -> None:
    """Builds the source archive of this checkout into `folder`."""
    _build("sdist", folder, ROOT, {})


def build_wheels(folder: Path, targets: Iterable[str] = TARGETS, *, source: Path = ROOT) -> None:
    """Builds wheels.

    Args:
        folder: Where they are put.
        targets: What they are built for.
        source: What is built: a checkout, or an unpacked source archive.
    """
    for target in targets:
        _build("wheel", folder, source, {"GGML_VIZ_TARGET": target})


def _build(what: str, folder: Path, source: Path, more: dict[str, str]) -> None:
    environment = {**os.environ, **more}
    if not environment.get("SOURCE_DATE_EPOCH"):
        environment["SOURCE_DATE_EPOCH"] = _committed()
    environment.pop("GGML_VIZ_CC", None)
    command = (sys.executable, "-m", "hatchling", "build", "-t", what, "-d", str(folder.absolute()))
    subprocess.run(command, cwd=source, env=environment, check=True)


def _committed() -> str:
    """When the checked out commit was made, in seconds."""
    command = ("git", "log", "-1", "--format=%ct")
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    build_source_archive(Path(sys.argv[1]))
    build_wheels(Path(sys.argv[1]))
