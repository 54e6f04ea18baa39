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

from tests.support import desktop
from tests.support.tiny import Tiny

from bench.desktop import RUNS_PER_SECOND
from bench.figure import Figure
from bench.soak import resident_bytes

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
    # Medians: what is computed now and then goes up and down by tens of megabytes.
    grown = median(settled[half:]) - median(settled[:half])
    note = f"{seconds:.0f} s, {len(resident)} samples, {settled[-1] / 1e6:.0f} MB at the end"
    return [Figure("desktop soak: grew in last third", grown / 1e6, "MB", goal=5, note=note)]
