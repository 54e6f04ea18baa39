"""The program that is measured: llama-bench with SmolLM2, on two threads."""

from __future__ import annotations

import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support import runtimes

PROMPT_TOKENS, DECODE_TOKENS, REPEATS = 128, 48, 5


def run(*before: str | Path, preload: Path | None = None) -> tuple[float, float]:
    """Runs llama-bench; returns prompt and decode tokens per second, as it says itself: the median of its repeats.

    Args:
        before: What to put before its command line.
        preload: A library to preload.
    """
    options = {
        "-m": runtimes.smollm2(),
        "-t": runtimes.THREADS,
        "-p": PROMPT_TOKENS,
        "-n": DECODE_TOKENS,
        "-r": REPEATS,
    }
    words = [word for option in options.items() for word in map(str, option)]
    environment = {**os.environ, **({"LD_PRELOAD": str(preload)} if preload else {})}
    output = subprocess.run(
        [*before, runtimes.llama_cpp("llama-bench"), *words, "-o", "json"],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout
    prompt, decode = (statistics.median(test["samples_ts"]) for test in json.loads(output))
    return prompt, decode


def record(trace: Path) -> tuple[float, float]:
    """Runs llama-bench as `ggml-viz run` does, at full detail."""
    return run(sys.executable, "-m", "ggml_viz", "run", "--quiet", "--detail", "thread", "-o", trace, "--")


@functools.cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """Where traces lie until the benchmarks have ended."""
    return tempfile.TemporaryDirectory()


@functools.cache
def trace() -> Path:
    """A trace of one run, recorded once."""
    path = Path(folder().name) / "smollm2.ggmlviz"
    record(path)
    return path
