"""`ggml-viz agent-path`: where the library lies that records without Python."""

from __future__ import annotations

import argparse

from ggml_viz.capture.launch import preload_path

NAME = "agent-path"
HELP = "print the path of the agent, for LD_PRELOAD"
EXAMPLES = """\
The agent writes a trace by itself, without ggml-viz or Python in the way.
It reads these variables:

  GGML_VIZ_OUTPUT=FILE               the trace to write
  GGML_VIZ_DETAIL=thread|op|graph    how much to record (default: thread)
  GGML_VIZ_MAX_EVENTS=N              record at most N events
  GGML_VIZ_DISABLE=1                 do nothing

example:
  LD_PRELOAD=$(ggml-viz agent-path) GGML_VIZ_OUTPUT=t.ggmlviz \\
      llama-cli -m model.gguf
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`agent-path` has no options."""


def run(args: argparse.Namespace) -> int:
    """Prints the path."""
    print(preload_path())
    return 0
