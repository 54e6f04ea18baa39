"""An hour of a live process in the desktop, in a tenth of the time: does it grow?

A program makes half a million records a second, ten times what a language model on two threads makes, for six minutes.
Asked only by name: `python -m bench desktop_soak`. GGML_VIZ_SOAK_S sets another duration.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from tests.support import desktop
from tests.support.tiny import Tiny

from bench.desktop import RUNS_PER_SECOND
from bench.figure import Figure, bootstrap
from bench.soak import resident_bytes

# How often a follower lets go of what it keeps no longer.
LET_GO_S = 10
_VIEW = [sys.executable, "-m", "ggml_viz", "view", "--live"]


def measure() -> list[Figure]:
    seconds = float(os.environ.get("GGML_VIZ_SOAK_S", "360"))
    with tempfile.TemporaryDirectory() as name, desktop.display():
        folder = Path(name)
        record = [sys.executable, "-m", "ggml_viz", "run", "--quiet", "--max-size", "100MB", "-o", folder / "t.ggmlviz"]
        command = [*record, "--", *Tiny.build(folder)("load", f"paced:{RUNS_PER_SECOND}", threads=1)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
            assert run.stdout is not None
            pid = run.stdout.readline().split()[-1].decode()
            environment = {**os.environ, "XDG_STATE_HOME": name}
            view = subprocess.Popen([*_VIEW, pid], env=environment)
            resident = []
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(1)
                assert view.poll() is None, "the desktop ended"
                resident.append(resident_bytes(view.pid))
            view.terminate()
            view.wait()
            run.communicate()
    # The first third is that in which the newest records fill what is kept of them.
    settled = resident[len(resident) // 3 :]
    half = len(settled) // 2
    # What is computed now and then, and let go of every ten seconds, goes up and down by a hundred megabytes: medians
    # of such times, and how sure their difference is.
    times = [(_median_mb(settled[i:]), _median_mb(settled[half + i :])) for i in range(0, half, LET_GO_S)]
    grown, low, high = bootstrap(times, lambda rounds: np.median(rounds[..., 1] - rounds[..., 0], axis=-1))
    note = f"{seconds:.0f} s, {len(resident)} samples, median {median(settled[half:]) / 1e6:.0f} MB"
    return [Figure("desktop soak: grew in last third", grown, "MB", 5, low, high, note=note)]


def _median_mb(samples: list[int]) -> float:
    return median(samples[:LET_GO_S]) / 1e6
