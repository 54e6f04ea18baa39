"""The flags of the settings, made from the model, in groups from which a command takes what it can use.

A flag's value stays as it was typed: it is checked together with what the environment and the file give.
"""

from __future__ import annotations

import argparse

from ggml_viz.settings.model import Entry, entries


def add_common_arguments(parser: argparse.ArgumentParser, *, file: bool = True) -> None:
    """Adds what every command has: which file of settings, and how much it says of its own work.

    Args:
        parser: Where to.
        file: Whether it reads a file of settings.
    """
    group = parser.add_argument_group("settings and messages")
    if file:
        group.add_argument(
            "--config",
            metavar="FILE",
            help="read the settings from FILE (default: ggml-viz.toml or ggml-viz.json in this folder, else "
            "config.toml or config.json in ~/.config/ggml-viz)",
        )
    else:
        parser.set_defaults(without_file=True)
    group.add_argument("-v", "--verbose", action="count", help="say more; twice: everything")
    group.add_argument("-q", "--quiet", action="count", help="say only what went wrong; no report after a recording")
    _add(group, "logging")


def add_capture_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what is to be recorded."""
    _add(parser.add_argument_group("what to record"), "capture")


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds where the trace goes."""
    _add(parser.add_argument_group("what to write"), "output")


def add_ui_arguments(parser: argparse.ArgumentParser, *keys: str) -> None:
    """Adds how results are shown.

    Args:
        parser: Where to.
        keys: Only these of the section; none: all.
    """
    _add(parser.add_argument_group("how to show it"), "ui", *keys)


def _add(group: argparse._ArgumentGroup, section: str, *keys: str) -> None:
    for entry in entries():
        if entry.section == section and (not keys or entry.key in keys):
            _add_flag(group, entry)


def _add_flag(group: argparse._ArgumentGroup, entry: Entry) -> None:
    setting = entry.setting
    default = setting.unset or entry.text(entry.default)
    if setting.metavar:
        flags = [setting.short, setting.flag] if setting.short else [setting.flag]
        group.add_argument(*flags, metavar=setting.metavar, help=f"{setting.help} (default: {default})")
    else:
        action = argparse.BooleanOptionalAction
        default = "yes" if entry.default else "no"
        group.add_argument(setting.flag, action=action, default=None, help=f"{setting.help} (default: {default})")
