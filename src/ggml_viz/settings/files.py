"""The file of settings: finds it, reads it, and makes a new one."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggml_viz import system
from ggml_viz.errors import UserError, printable
from ggml_viz.settings.lines import Lines, json_lines, line_of, toml_lines
from ggml_viz.settings.model import Entry, Settings, entries, section_names

DEFAULT_NAME = "ggml-viz.toml"
_NAMES = (DEFAULT_NAME, "ggml-viz.json")
_USER_NAMES = ("config.toml", "config.json")
_MAX_BYTES = 1 << 20

_HEAD = """\
# Settings of ggml-viz.
#
# What is given on the command line or in the environment (GGML_VIZ_…) comes before what is given here. A line that
# begins with a # has no effect; it shows what could be set.
"""


@dataclass(frozen=True)
class Problem:
    """Something wrong in a file.

    Attributes:
        where: The file and, if known, the line.
        text: What, naming the key.
    """

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass(frozen=True)
class SettingsFile:
    """What a file holds, not yet checked.

    Attributes:
        path: The file.
        values: For each section the values given.
        lines: Where its keys stand.
        problems: Keys that there are not.
    """

    path: Path
    values: Mapping[str, Mapping[str, Any]]
    lines: Lines
    problems: tuple[Problem, ...]

    def where(self, entry: Entry) -> str:
        """The file and the line where a setting is given."""
        return _where(self.path, line_of(self.lines, entry.section, entry.key))


def find_file(environment: Mapping[str, str], folder: Path = Path()) -> Path | None:
    """The file of settings that counts if none is named: of this folder, else of the user."""
    try:
        user = system.config_folder(environment)
    except RuntimeError:  # the user has no home
        user = None
    candidates = [folder / name for name in _NAMES] + [user / name for name in _USER_NAMES if user]
    return next((path for path in candidates if os.path.isfile(path)), None)


def read_file(path: Path) -> SettingsFile:
    """Reads a file of settings: JSON if its name ends so, else TOML.

    Raises:
        UserError: It cannot be read, or is not of that format.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"the settings cannot be read: {path}: {error.strerror}", exit_status=2) from None
    try:
        if len(data) > _MAX_BYTES:
            raise ValueError("too long for a file of settings")
        text = data.decode()
        is_json = path.suffix == ".json"
        content = json.loads(text) if is_json else tomllib.loads(text)
        lines = json_lines(text) if is_json else toml_lines(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not JSON: {error.msg}", exit_status=2) from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML: {error}", exit_status=2) from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not text in UTF-8", exit_status=2) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: {error}", exit_status=2) from None
    return _checked(path, content, lines)


def _checked(path: Path, content: Any, lines: Lines) -> SettingsFile:
    """Sorts out the keys that there are not."""
    values: dict[str, dict[str, Any]] = {}
    problems = []

    def problem(text: str, *keys: str) -> None:
        problems.append(Problem(_where(path, line_of(lines, *keys)), text))

    if not isinstance(content, dict):
        problem("expected an object with the sections " + ", ".join(section_names()))
        content = {}
    known = {(entry.section, entry.key) for entry in entries()}
    for section, keys in content.items():
        if section not in section_names():
            problem(f"{section}: there is no such section{_suggestion(section)}", section)
        elif not isinstance(keys, dict):
            problem(f"{section}: expected a section, not {as_written(keys)}", section)
        else:
            for key in keys:
                if (section, key) not in known:
                    problem(f"{section}.{key}: there is no such setting{_suggestion(section, key)}", section, key)
            # JSON's null says that a setting is not set.
            found = {key: value for key, value in keys.items() if (section, key) in known and value is not None}
            values[section] = found
    return SettingsFile(path, values, lines, tuple(problems))


def _suggestion(section: str, key: str = "") -> str:
    import difflib

    if key:
        siblings = [entry.key for entry in entries() if entry.section == section]
        if near := difflib.get_close_matches(key, siblings, 1):
            return f"; did you mean {section}.{near[0]}?"
    elif near := difflib.get_close_matches(section, section_names(), 1):
        return f"; did you mean [{near[0]}]?"
    by_key = {entry.key: entry.name for entry in reversed(entries())}
    near = difflib.get_close_matches(key or section, by_key, 1)
    return f"; did you mean {by_key[near[0]]}?" if near else ""


def _where(path: Path, line: int | None) -> str:
    return f"{path}:{line}" if line else str(path)


def as_written(value: object) -> str:
    """A value for a message, in one line of moderate length."""
    text = json.dumps(str(value) if isinstance(value, str | Path) else value, default=str, ensure_ascii=False)
    return printable(text if len(text) <= 60 else f"{text[:59]}…")


def as_plain(value: Any) -> Any:
    """A value as JSON and TOML have it."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Path) or hasattr(value, "_fields"):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def new_toml() -> str:
    """A file with every setting, its meaning and its default."""
    blocks = [_HEAD]
    for section in section_names():
        lines = [f"[{section}]"]
        for entry in (entry for entry in entries() if entry.section == section):
            setting = entry.setting
            about = f"{setting.help[0].upper()}{setting.help[1:]}. Also {setting.flag} and {setting.variable}."
            if setting.unset:
                about += f" Not set: {setting.unset}."
            lines += ["", *_comment(about)]
            value = as_plain(entry.default)
            given = f"#{entry.key} = {setting.example}" if setting.unset else f"{entry.key} = {json.dumps(value)}"
            lines.append(given)
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def new_json() -> str:
    """A file with every setting and its default; null: not set."""
    defaults = Settings()
    sections: dict[str, dict[str, Any]] = {name: {} for name in section_names()}
    for entry in entries():
        sections[entry.section][entry.key] = as_plain(entry.of(defaults))
    return json.dumps(sections, indent=2) + "\n"
