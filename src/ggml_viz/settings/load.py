"""Takes the settings together: command line, then environment, then file, then defaults."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ggml_viz.errors import UserError
from ggml_viz.settings.files import Problem, as_written, find_file, read_file
from ggml_viz.settings.model import PREFIX, Entry, Level, Settings, entries

# Variables of ours that are no settings.
_OTHER_VARIABLES = {f"{PREFIX}{name}" for name in ("RUN", "DISABLE", "CC", "ARCH", "TEST_CACHE", "TOKEN")}
_LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True)
class Origin:
    """Where a value came from.

    Attributes:
        kind: flag, environment, file or default.
        name: The flag, the variable, or the file and line.
    """

    kind: str
    name: str


_DEFAULT = Origin("default", "default")


@dataclass(frozen=True)
class Loaded:
    """The settings and how they came about.

    Attributes:
        settings: The settings.
        origins: For each setting's name where its value came from.
        file: The file that was read, if any.
        warnings: What is worth a warning.
    """

    settings: Settings
    origins: Mapping[str, Origin]
    file: Path | None
    warnings: tuple[str, ...]


def load_settings(args: argparse.Namespace) -> Settings:
    """The settings for a command line that was parsed with the arguments of `settings.arguments`."""
    return load(args).settings


def load(args: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Loaded:
    """The same, with their origins. No file is read where `args.without_file` says so.

    Raises:
        UserError: With exit status 2 for a value that is wrong and a file that cannot be read or has unknown keys.
    """
    given = vars(args)
    path = None
    if not given.get("without_file"):
        path = Path(given["config"]) if given.get("config") else find_file(environment)
    file = read_file(path) if path else None
    if file and file.problems:
        raise UserError(str(file.problems[0]), _hint(file.path), exit_status=2)

    flags = {entry: value for entry in entries() if (value := given.get(entry.setting.attribute)) is not None}
    variables = {entry: value for entry in entries() if (value := environment.get(entry.setting.variable))}
    origins = {entry.name: _DEFAULT for entry in entries()}
    if file:
        for entry in entries():
            if entry.key in file.values.get(entry.section, {}):
                origins[entry.name] = Origin("file", file.where(entry))
    origins |= {entry.name: Origin("environment", entry.setting.variable) for entry in variables}
    origins |= {entry.name: Origin("flag", entry.setting.flag) for entry in flags}

    settings = Settings()
    if flags or variables or (file and any(file.values.values())):
        layers = (_layer(flags), _layer(variables), file.values if file else {})
        settings, wrong = _merged(layers)
        if wrong:
            entry = wrong[0]
            origin = origins[entry.name]
            hint = _hint(file.path) if file and origin.kind == "file" else None
            raise UserError(_wrong(entry, origin, _first(layers, entry)), hint, exit_status=2)
    settings = _with_shorthands(settings, origins, given.get("verbose") or 0, given.get("quiet") or 0)
    return Loaded(settings, origins, path, tuple(_unknown(environment)))


def check(path: Path) -> list[Problem]:
    """Everything that is wrong in a file.

    Raises:
        UserError: It cannot be read at all.
    """
    file = read_file(path)
    problems = list(file.problems)
    for entry in _merged((file.values,))[1]:
        value = file.values[entry.section][entry.key]
        problems.append(Problem(file.where(entry), _expected(entry, value, entry.name)))
    return problems


def _merged(layers: Sequence[Mapping[str, Mapping[str, Any]]]) -> tuple[Settings, list[Entry]]:
    from ggml_viz.settings.validate import merged

    settings, wrong = merged(layers)
    return settings, [entry for entry in entries() if (entry.section, entry.key) in wrong]


def _layer(values: Mapping[Entry, Any]) -> dict[str, dict[str, Any]]:
    layer: dict[str, dict[str, Any]] = {}
    for entry, value in values.items():
        layer.setdefault(entry.section, {})[entry.key] = value
    return layer


def _first(layers: Sequence[Mapping[str, Mapping[str, Any]]], entry: Entry) -> Any:
    return next(layer[entry.section][entry.key] for layer in layers if entry.key in layer.get(entry.section, {}))


def _wrong(entry: Entry, origin: Origin, value: Any) -> str:
    if origin.kind == "file":
        return f"{origin.name}: {_expected(entry, value, entry.name)}"
    return _expected(entry, value, origin.name)


def _expected(entry: Entry, value: Any, name: str) -> str:
    return f"{name}: expected {entry.setting.expected}, not {as_written(value)}"


def _hint(path: Path) -> str:
    return f"To see all that is wrong in it: ggml-viz config check {shlex.quote(str(path))}"


def _with_shorthands(settings: Settings, origins: dict[str, Origin], verbose: int, quiet: int) -> Settings:
    """What --verbose and --quiet add: they shift the level, and --quiet wants no report unless one is asked for."""
    if verbose != quiet:
        level = _LEVELS.index(settings.logging.level) - verbose + quiet
        level = min(max(level, 0), len(_LEVELS) - 1)
        settings = dataclasses.replace(settings, logging=dataclasses.replace(settings.logging, level=_LEVELS[level]))
        before, flag = origins["logging.level"], "--verbose" if verbose > quiet else "--quiet"
        name = flag if before == _DEFAULT else f"{before.name}, {flag}"
        origins["logging.level"] = Origin("flag", name)
    if quiet and origins["output.report"].kind != "flag":
        settings = dataclasses.replace(settings, output=dataclasses.replace(settings.output, report=False))
        origins["output.report"] = Origin("flag", "--quiet")
    return settings


def _unknown(environment: Mapping[str, str]) -> list[str]:
    known = {entry.setting.variable for entry in entries()}
    endings = [name.removeprefix(PREFIX) for name in known]
    warnings = []
    for name in environment:
        if name.startswith(PREFIX) and name not in known | _OTHER_VARIABLES:
            import difflib

            near = difflib.get_close_matches(name.removeprefix(PREFIX), endings, 1)
            meant = f"; did you mean {PREFIX}{near[0]}?" if near else ""
            warnings.append(f"{name} in the environment is no setting{meant}")
    return warnings
