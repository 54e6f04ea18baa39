"""The command line: assembles the commands, prints user errors.

Each command is a module of `ggml_viz.commands`: NAME, HELP, EXAMPLES, `add_arguments(parser)` and `run(args) -> int`.
Only the module of the command that was asked for is imported, so that starting stays quick. A module with TAKES_COMMAND
gets the words after `--` untouched in `args.command`; one with HAS_SUBCOMMANDS adds the flags that all commands have to
its own parsers. `args.settings` are the settings.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from ggml_viz import __version__, log, system
from ggml_viz.errors import UserError, print_error
from ggml_viz.settings import add_common_arguments
from ggml_viz.settings.load import load

COMMANDS = (
    *("run", "attach", "top", "ps", "ctl"),
    *("view", "serve", "report", "diff", "query", "export", "info"),
    *("probe", "doctor", "demo", "config", "agent-path"),
)

DESCRIPTION = "Record what a ggml runtime (llama.cpp, whisper.cpp, …) does while it runs, and say where the time went."

EXAMPLES = """\
examples:
  ggml-viz run -- llama-cli -m model.gguf -p Hello    record a program, then print a short report
  ggml-viz report llama-cli-20260102-120000.ggmlviz   the whole report
  ggml-viz llama-cli-20260102-120000.ggmlviz          the same in a window (short for: ggml-viz view)
  ggml-viz doctor -- llama-cli                        what can be captured, before running it
  ggml-viz demo                                       see it work: a real model, fetched with pip
"""


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"ggml_viz.commands.{name.replace('-', '_')}")


def build_parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Makes the parser for the named commands; importing a command's module is the costly part."""
    parser = argparse.ArgumentParser(
        prog="ggml-viz",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ggml-viz {__version__}")
    subparsers = parser.add_subparsers(dest="name", metavar="COMMAND", required=True, title="commands")
    for name in names:
        module = _module(name)
        sub = subparsers.add_parser(
            module.NAME,
            help=module.HELP,
            description=module.HELP[0].upper() + module.HELP[1:] + ".",
            epilog=getattr(module, "EXAMPLES", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(sub)
        if not getattr(module, "HAS_SUBCOMMANDS", False):
            add_common_arguments(sub)
        sub.set_defaults(module=module)
    return parser


def with_command(argv: Sequence[str]) -> list[str]:
    """A command line that begins with a command: one that begins with a file is one of `view`."""
    words = list(argv)
    if words and words[0] not in COMMANDS and not words[0].startswith("-") and _is_file(words[0]):
        return ["view", *words]
    return words


def _is_file(word: str) -> bool:
    # A trace that is not there is to be missed as such, not as a command.
    return word.endswith(".ggmlviz") or os.path.isfile(word)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses a command line, keeping what follows `--` untouched for the commands that run a program."""
    own, watched = with_command(argv), None
    if "--" in own:
        at = own.index("--")
        own, watched = own[:at], own[at + 1 :]
    known = own[:1] if own and own[0] in COMMANDS else COMMANDS
    parser = build_parser(known)
    args = parser.parse_args(own)
    if watched is None:
        return args
    if not getattr(args.module, "TAKES_COMMAND", False):
        parser.error(f"{args.name} takes nothing after --")
    # `run program a -- b`: the program's own `--`.
    args.command = [*args.command, "--", *watched] if args.command else watched
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `ggml-viz` and returns its exit status."""
    system.settle_output()
    args = parse(sys.argv[1:] if argv is None else argv)
    try:
        args.loaded = load(args)
        args.settings = args.loaded.settings
        log.set_up(args.settings.logging, args.loaded.warnings, args.loaded.file)
        status: int = args.module.run(args)
        sys.stdout.flush()
        return status
    except UserError as error:
        print_error(error.message, error.hint)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `ggml-viz report … | head`: the reader has seen enough. Python would complain again while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
