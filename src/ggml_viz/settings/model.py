"""All settings that there are: the one place that names each, with its flag, its variable, its default and its meaning.

The sections are plain dataclasses, and pydantic is imported only when there is something to check, because importing it
takes longer than all else that a command does at its start.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from ggml_viz.settings import values

PREFIX = "GGML_VIZ_"


@dataclass(frozen=True)
class Setting:
    """How a setting is given and explained.

    Attributes:
        flag: Its flag.
        variable: Its environment variable.
        help: What it does, for `--help`, the documentation and the file that `config init` writes.
        expected: What its value is to be, for messages: `expected …`.
        parse: Makes the value of what a flag, a variable or a file holds, or raises ValueError.
        metavar: Stands for the value in `--help`; "": it is yes or no.
        example: A value, as in a TOML file, for `config init` where there is no default.
        unset: What there being no value means.
        short: A second, short flag.
        text: Writes the value so that it can be read again.
    """

    flag: str
    variable: str
    help: str
    expected: str
    parse: Callable[[Any], Any]
    metavar: str = ""
    example: str = ""
    unset: str = ""
    short: str = ""
    text: Callable[[Any], str] = str

    @property
    def attribute(self) -> str:
        """What argparse calls it."""
        return self.flag[2:].replace("-", "_")

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """How pydantic validates it."""
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.parse)


_TRUTH = "true or false"


def _switch(flag: str, variable: str, help: str) -> Setting:
    return Setting(flag, variable, help, expected=_TRUTH, parse=values.truth, text=lambda value: str(value).lower())


def _number(flag: str, variable: str, help: str, *, unset: str, example: str, least: int = 1) -> Setting:
    expected = f"a whole number from {least} up"
    parse = values.whole_number(least)
    return Setting(flag, variable, help, expected=expected, parse=parse, metavar="N", example=example, unset=unset)


def _names(flag: str, variable: str, help: str, *, metavar: str, example: str) -> Setting:
    return Setting(
        flag,
        variable,
        help,
        expected="names with commas between them (an array in a file), 1023 bytes at most",
        parse=values.names,
        metavar=metavar,
        example=example,
        unset="all",
        text=",".join,
    )


def _choice(flag: str, variable: str, help: str, *words: str) -> Setting:
    expected = f"{', '.join(words[:-1])} or {words[-1]}"
    return Setting(flag, variable, help, expected=expected, parse=values.one_of(*words), metavar="|".join(words))


Detail = Literal["graph", "op", "thread"]
Level = Literal["debug", "info", "warning", "error"]
Color = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class Capture:
    """What the agent records."""

    detail: Annotated[
        Detail,
        _choice(
            "--detail",
            "GGML_VIZ_DETAIL",
            "how much to record: every node on every thread (thread), every node as the first thread saw it (op), or "
            "graph runs, splits, copies and memory only (graph)",
            *typing.get_args(Detail),
        ),
    ] = "thread"
    max_events: Annotated[
        int | None,
        _number(
            "--max-events",
            "GGML_VIZ_MAX_EVENTS",
            "record at most N events",
            unset="no limit",
            example="1000000",
        ),
    ] = None
    ops: Annotated[
        tuple[str, ...],
        _names(
            "--ops",
            "GGML_VIZ_OPS",
            "record only nodes of these ops; graph runs are recorded all the same",
            metavar="A,B",
            example='["MUL_MAT", "FLASH_ATTN_EXT"]',
        ),
    ] = ()
    backends: Annotated[
        tuple[str, ...],
        _names(
            "--backends",
            "GGML_VIZ_BACKENDS",
            "record only splits on, and nodes of, these backends",
            metavar="A,B",
            example='["CPU"]',
        ),
    ] = ()
    nodes: Annotated[
        tuple[str, ...],
        _names(
            "--nodes",
            "GGML_VIZ_NODES",
            "record only nodes whose name matches one of these patterns (* and ?)",
            metavar="P,Q",
            example='["ffn_*", "result_output"]',
        ),
    ] = ()
    tokens: Annotated[
        values.TokenRange | None,
        Setting(
            "--tokens",
            "GGML_VIZ_TOKENS",
            "record only runs that work on generated token N to M, counted from 1; either may be missing",
            expected="a range of tokens such as 10-20, 10- or -20, counted from 1",
            parse=values.tokens,
            metavar="N-M",
            example='"10-20"',
            unset="all",
        ),
    ] = None
    start_paused: Annotated[
        bool,
        _switch("--start-paused", "GGML_VIZ_START_PAUSED", "record nothing until a viewer resumes"),
    ] = False
    per_node_sync: Annotated[
        bool,
        _switch(
            "--per-node-sync",
            "GGML_VIZ_PER_NODE_SYNC",
            "time each node by itself on every backend; distorts what is measured: nothing overlaps any more, and "
            "the trace says so",
        ),
    ] = False
    children: Annotated[
        bool,
        _switch("--children", "GGML_VIZ_CHILDREN", "record also the programs that the program starts"),
    ] = True


@dataclass(frozen=True)
class Output:
    """What is written where."""

    file: Annotated[
        Path | None,
        Setting(
            "--output",
            "GGML_VIZ_OUTPUT",
            "the trace to write, overwritten if it exists",
            expected="a path",
            parse=values.path,
            metavar="FILE",
            example='"run.ggmlviz"',
            unset="PROGRAM-YYYYMMDD-HHMMSS.ggmlviz",
            short="-o",
        ),
    ] = None
    max_size: Annotated[
        int | None,
        Setting(
            "--max-size",
            "GGML_VIZ_MAX_SIZE",
            "keep the trace this small by dropping its oldest records, as a flight recorder does",
            expected="a size of at least 1 MB, such as 200MB, 1GB or 1GiB",
            parse=values.size(10**6),
            metavar="SIZE",
            example='"200MB"',
            unset="no limit",
            text=values.size_text,
        ),
    ] = None
    report: Annotated[
        bool,
        _switch("--report", "GGML_VIZ_REPORT", "print a short report at the end"),
    ] = True


@dataclass(frozen=True)
class Logging:
    """What ggml-viz tells of its own work."""

    level: Annotated[
        Level,
        _choice(
            "--log-level",
            "GGML_VIZ_LOG_LEVEL",
            "the least important messages to show; --verbose and --quiet shift it by one",
            *typing.get_args(Level),
        ),
    ] = "warning"
    file: Annotated[
        Path | None,
        Setting(
            "--log-file",
            "GGML_VIZ_LOG_FILE",
            "add the messages to this file too, with the time",
            expected="a path",
            parse=values.path,
            metavar="FILE",
            example='"ggml-viz.log"',
            unset="none",
        ),
    ] = None
    agent: Annotated[
        bool,
        _switch("--log-agent", "GGML_VIZ_LOG_AGENT", "show what the agent in the program says, at level info"),
    ] = True


@dataclass(frozen=True)
class Ui:
    """How results are shown on a terminal."""

    color: Annotated[
        Color,
        _choice(
            "--color",
            "GGML_VIZ_COLOR",
            "whether to use colours; auto: on a terminal, unless NO_COLOR is set",
            *typing.get_args(Color),
        ),
    ] = "auto"
    top: Annotated[
        int | None,
        _number("--top", "GGML_VIZ_TOP", "list N ops in a report", unset="what fits on a screen", example="20"),
    ] = None
    width: Annotated[
        int | None,
        _number(
            "--width",
            "GGML_VIZ_WIDTH",
            "write lines of N columns",
            unset="the terminal's",
            example="100",
            least=40,
        ),
    ] = None
    naming: Annotated[
        Path | None,
        Setting(
            "--naming",
            "GGML_VIZ_NAMING",
            "tell layers and roles by the rules in this file too (docs/naming-rules.md)",
            expected="a path",
            parse=values.path,
            metavar="FILE",
            example='"my-model.toml"',
            unset="none",
        ),
    ] = None


@dataclass(frozen=True)
class Settings:
    """All settings."""

    capture: Capture = field(default_factory=Capture)
    output: Output = field(default_factory=Output)
    logging: Logging = field(default_factory=Logging)
    ui: Ui = field(default_factory=Ui)


@dataclass(frozen=True)
class Entry:
    """One setting and where it belongs.

    Attributes:
        section: The section in which it is.
        key: Its name there, and its key in a file.
        setting: How it is given.
        default: Its default.
    """

    section: str
    key: str
    setting: Setting
    default: Any

    @property
    def name(self) -> str:
        """Section and key."""
        return f"{self.section}.{self.key}"

    def of(self, settings: Settings) -> Any:
        """Its value in `settings`."""
        return getattr(getattr(settings, self.section), self.key)

    def text(self, value: Any) -> str:
        """A value as a flag or a variable would give it; "": unset."""
        return "" if value is None or value == () else self.setting.text(value)


@functools.cache
def entries() -> tuple[Entry, ...]:
    """All settings, in the order of the model."""
    found = []
    for section in dataclasses.fields(Settings):
        model: Any = section.default_factory
        hints = typing.get_type_hints(model, include_extras=True)
        for item in dataclasses.fields(model):
            (setting,) = hints[item.name].__metadata__
            found.append(Entry(section.name, item.name, setting, item.default))
    return tuple(found)


def section_names() -> tuple[str, ...]:
    """The names of the sections."""
    return tuple(section.name for section in dataclasses.fields(Settings))
