"""`ggml-viz config`: shows the settings, checks a file of settings, makes a new one."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ggml_viz.errors import UserError
from ggml_viz.settings import (
    add_capture_arguments,
    add_common_arguments,
    add_output_arguments,
    add_ui_arguments,
)
from ggml_viz.settings.files import DEFAULT_NAME, as_plain, new_json, new_toml
from ggml_viz.settings.load import Loaded, check
from ggml_viz.settings.model import entries
from ggml_viz.terminal.config import print_problems, print_settings

NAME = "config"
HELP = "show the settings, check a file of settings, or make one"
HAS_SUBCOMMANDS = True
EXAMPLES = """\
A setting is taken from the command line, else from the environment
(GGML_VIZ_…), else from a file, else it is the default. The file is
ggml-viz.toml or ggml-viz.json in this folder, else config.toml or config.json
in ~/.config/ggml-viz (or $XDG_CONFIG_HOME/ggml-viz).

examples:
  ggml-viz config show
  ggml-viz config init
  ggml-viz config check ggml-viz.toml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the three subcommands."""
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        description = text[0].upper() + text[1:] + "."
        return subparsers.add_parser(name, help=text, description=description, allow_abbrev=False)

    show = add("show", "print each setting's value and where it came from")
    show.add_argument("--json", action="store_true", help="print JSON")
    add_output_arguments(show)
    add_capture_arguments(show)
    add_ui_arguments(show)
    add_common_arguments(show)

    checking = add("check", "say what is wrong in a file of settings; exit status 1 if anything is")
    checking.add_argument("file", metavar="FILE", type=Path, help="the file: JSON if its name ends in .json, else TOML")
    add_common_arguments(checking, file=False)

    making = add("init", "write a file with every setting, explained, at its default")
    making.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        nargs="?",
        default=Path(DEFAULT_NAME),
        help=f"the file: JSON, without explanations, if its name ends in .json, else TOML (default: {DEFAULT_NAME})",
    )
    making.add_argument("--force", action="store_true", help="write over a file that exists")
    add_common_arguments(making, file=False)


def run(args: argparse.Namespace) -> int:
    """Runs the subcommand."""
    if args.action == "check":
        return _check(args.file)
    if args.action == "init":
        return _init(args.file, args.force)
    if args.json:
        print(json.dumps(_as_json(args.loaded), indent=2))
    else:
        print_settings(args.loaded, sys.stdout, args.settings.ui)
    return 0


def _check(path: Path) -> int:
    try:
        problems = check(path)
    except UserError as error:  # it is no use at all
        raise UserError(error.message) from None
    print_problems(path, problems, sys.stdout)
    return 1 if problems else 0


def _init(path: Path, force: bool) -> int:
    text = new_json() if path.suffix == ".json" else new_toml()
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{path} exists", "To write over it: --force") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    print(path)
    return 0


def _as_json(loaded: Loaded) -> dict[str, object]:
    settings: dict[str, dict[str, object]] = {}
    for entry in entries():
        origin = loaded.origins[entry.name]
        value = as_plain(entry.of(loaded.settings))
        settings.setdefault(entry.section, {})[entry.key] = {"value": value, "from": origin.kind, "name": origin.name}
    return {"schema": 1, "file": str(loaded.file) if loaded.file else None, "settings": settings}
