"""What the OpenAPI document allows is answered as it says, and what it does not allow is refused as it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.dashboard import serving
from tests.support.tracefile import trace_from_text

GOLDEN = Path(__file__).parents[1] / "golden/two_threads.txt"


def test_nothing_is_found(tmp_path: Path) -> None:
    trace = tmp_path / "t.ggmlviz"
    trace.write_bytes(trace_from_text(GOLDEN.read_text().partition("\n$ ")[0]))
    with serving(trace) as server:
        server.source("trace", "ready")
        schemathesis = Path(sys.executable).with_name("schemathesis")
        done = subprocess.run(
            [
                *(schemathesis, "run", f"{server.url}openapi.json"),
                # That one range ends behind another, or a text is SQL, no schema says: such a request is refused.
                *(
                    "--checks",
                    "all",
                    "--exclude-checks",
                    "positive_data_acceptance",
                    "--max-examples",
                    "12",
                    "--seed",
                    "1",
                    "--phases",
                    "examples,coverage,fuzzing",
                ),
                *("--request-timeout", "30", "--no-color"),
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
