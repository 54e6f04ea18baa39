"""Every setting can be given in every way, the right way wins, and what is wrong is named where it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ggml_viz.cli import main, parse
from ggml_viz.errors import UserError
from ggml_viz.settings import Settings
from ggml_viz.settings.files import new_json, new_toml
from ggml_viz.settings.lines import json_lines, line_of, toml_lines
from ggml_viz.settings.load import Loaded, Origin, check, load
from ggml_viz.settings.model import Entry, entries
from ggml_viz.settings.values import TokenRange

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


class Value(NamedTuple):
    """A value that is not the default: as a flag and a variable have it, as a file has it, and what it is."""

    words: str
    written: Any
    meant: Any


VALUES = {
    "capture.detail": Value("op", "op", "op"),
    "capture.max_events": Value("1000", 1000, 1000),
    "capture.ops": Value("MUL_MAT, ADD", ["MUL_MAT", "ADD"], ("MUL_MAT", "ADD")),
    "capture.backends": Value("CPU", ["CPU"], ("CPU",)),
    "capture.nodes": Value("ffn_*,result_output", ["ffn_*", "result_output"], ("ffn_*", "result_output")),
    "capture.tokens": Value("10-20", "10-20", TokenRange(10, 20)),
    "capture.start_paused": Value("true", True, True),
    "capture.per_node_sync": Value("1", True, True),
    "capture.children": Value("no", False, False),
    "output.file": Value("a b.ggmlviz", "a b.ggmlviz", Path("a b.ggmlviz")),
    "output.max_size": Value("1.5GB", "1.5GB", 1_500_000_000),
    "output.report": Value("off", False, False),
    "logging.level": Value("debug", "debug", "debug"),
    "logging.file": Value("ggml-viz.log", "ggml-viz.log", Path("ggml-viz.log")),
    "logging.agent": Value("0", False, False),
    "ui.color": Value("never", "never", "never"),
    "ui.top": Value("7", 7, 7),
    "ui.naming": Value("names.toml", "names.toml", Path("names.toml")),
    "ui.width": Value("132", 132, 132),
}

every_setting = pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, no file of the user's, no variables."""
    for name in [name for name in os.environ if name.startswith("GGML_VIZ_")]:
        monkeypatch.delenv(name)
    for name in ("XDG_CONFIG_HOME", "APPDATA"):  # on Windows the latter
        monkeypatch.setenv(name, str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "80")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def settings_of(*flags: str, **variables: str) -> Loaded:
    return load(parse(["config", "show", *flags]), {**os.environ, **variables})


def error_of(*flags: str, **variables: str) -> str:
    with pytest.raises(UserError) as caught:
        settings_of(*flags, **variables)
    assert caught.value.exit_status == 2
    assert "\n" not in caught.value.message
    return caught.value.message


def flags_for(entry: Entry) -> list[str]:
    value = VALUES[entry.name]
    if isinstance(value.meant, bool):
        return [entry.setting.flag if value.meant else entry.setting.flag.replace("--", "--no-", 1)]
    return [entry.setting.flag, value.words]


def toml_for(entry: Entry) -> str:
    return f"\n[{entry.section}]\n{entry.key} = {json.dumps(VALUES[entry.name].written)}\n"


def by_flag(entry: Entry) -> tuple[Loaded, Origin]:
    return settings_of(*flags_for(entry)), Origin("flag", entry.setting.flag)


def by_variable(entry: Entry) -> tuple[Loaded, Origin]:
    variable = entry.setting.variable
    return settings_of(**{variable: VALUES[entry.name].words}), Origin("environment", variable)


def by_toml(entry: Entry) -> tuple[Loaded, Origin]:
    Path("ggml-viz.toml").write_text(toml_for(entry))
    return settings_of(), Origin("file", "ggml-viz.toml:3")


def by_json(entry: Entry) -> tuple[Loaded, Origin]:
    Path("ggml-viz.json").write_text(json.dumps({entry.section: {entry.key: VALUES[entry.name].written}}, indent=1))
    return settings_of(), Origin("file", "ggml-viz.json:3")


def by_users_file(entry: Entry) -> tuple[Loaded, Origin]:
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "ggml-viz" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(toml_for(entry))
    return settings_of(), Origin("file", f"{path}:3")


def by_named_file(entry: Entry) -> tuple[Loaded, Origin]:
    Path("other").write_text(toml_for(entry))
    return settings_of("--config", "other"), Origin("file", "other:3")


@every_setting
@pytest.mark.parametrize("way", [by_flag, by_variable, by_toml, by_json, by_users_file, by_named_file])
def test_every_setting_in_every_way(entry: Entry, way: Callable[[Entry], tuple[Loaded, Origin]]) -> None:
    assert VALUES[entry.name].meant != entry.default
    loaded, origin = way(entry)
    assert entry.of(loaded.settings) == VALUES[entry.name].meant
    assert type(entry.of(loaded.settings)) is type(VALUES[entry.name].meant) or entry.section == "output"
    assert loaded.origins[entry.name] == origin
    for other in entries():
        if other != entry:
            assert other.of(loaded.settings) == other.default, other.name
            assert loaded.origins[other.name].kind == "default", other.name
    assert not loaded.warnings


@every_setting
def test_run_has_every_flag(entry: Entry) -> None:
    args = parse(["run", *flags_for(entry), "--", "program"])
    assert entry.of(load(args, {}).settings) == VALUES[entry.name].meant
    assert args.command == ["program"]


def test_flags_variables_and_keys_are_one_each() -> None:
    assert set(VALUES) == {entry.name for entry in entries()}
    for given in ([e.setting.flag for e in entries()], [e.setting.variable for e in entries()]):
        assert len(set(given)) == len(given)
    assert all(re.fullmatch("GGML_VIZ_[A-Z_]+", entry.setting.variable) for entry in entries())


@every_setting
def test_the_first_of_flag_variable_file_and_default_wins(entry: Entry) -> None:
    value = VALUES[entry.name]
    Path("ggml-viz.toml").write_text(toml_for(entry))
    default = entry.setting.text(entry.default) if entry.default not in (None, ()) else ""
    if not default:  # it has no value that means that it is not set
        assert settings_of(**{entry.setting.variable: ""}).origins[entry.name].kind == "file"
        return
    loaded = settings_of(**{entry.setting.variable: default})
    assert (entry.of(loaded.settings), loaded.origins[entry.name].kind) == (entry.default, "environment")
    loaded = settings_of(*flags_for(entry), **{entry.setting.variable: default})
    assert (entry.of(loaded.settings), loaded.origins[entry.name].kind) == (value.meant, "flag")


def test_files_come_in_order_and_only_one_counts() -> None:
    user = Path(os.environ["XDG_CONFIG_HOME"]) / "ggml-viz"
    user.mkdir(parents=True)
    places = [Path("ggml-viz.toml"), Path("ggml-viz.json"), user / "config.toml", user / "config.json"]
    for top, path in reversed(list(enumerate(places, 1))):
        path.write_text(f'{{"ui": {{"top": {top}}}}}' if path.suffix == ".json" else f"ui.top = {top}")
        loaded = settings_of()
        assert (loaded.settings.ui.top, loaded.file) == (top, path)
    Path("named.json").write_text('{"ui": {"width": 99}}')
    loaded = settings_of("--config", "named.json")
    assert (loaded.settings.ui.top, loaded.settings.ui.width) == (None, 99)


def test_sections_are_merged_key_by_key() -> None:
    Path("ggml-viz.toml").write_text('[capture]\ndetail = "op"\nmax_events = 5\nops = ["ADD", "MUL"]')
    loaded = settings_of("--ops", "SOFT_MAX", GGML_VIZ_MAX_EVENTS="6")
    capture = loaded.settings.capture
    assert (capture.detail, capture.max_events, capture.ops) == ("op", 6, ("SOFT_MAX",))


def test_null_in_json_is_not_set() -> None:
    Path("ggml-viz.json").write_text('{"ui": {"top": null, "color": null}}')
    loaded = settings_of()
    assert loaded.settings == Settings()
    assert loaded.origins["ui.top"].kind == "default"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("1MB", 10**6),
        ("1MiB", 2**20),
        ("200mb", 200 * 10**6),
        ("1 GB", 10**9),
        ("1GiB", 2**30),
        ("1000kB", 10**6),
        ("2000000", 2 * 10**6),
        ("999999", None),
        ("1kB", None),
        ("-1GB", None),
        ("1e9", None),
        ("1GBit", None),
        ("99999999999TB", None),
        ("MB", None),
    ],
)
def test_sizes(words: str, meant: int | None) -> None:
    if meant is None:
        assert error_of(f"--max-size={words}").startswith("--max-size: expected a size of at least 1 MB")
    else:
        assert settings_of(f"--max-size={words}").settings.output.max_size == meant


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("3-9", "3-9"),
        ("3-", "3-"),
        ("-9", "1-9"),
        ("7", "7-7"),
        ("-", None),
        ("0-3", None),
        ("9-3", None),
        ("a-b", None),
        ("1-2-3", None),
    ],
)
def test_ranges_of_tokens(words: str, meant: str | None) -> None:
    if meant is None:
        assert "expected a range of tokens" in error_of(GGML_VIZ_TOKENS=words)
    else:
        assert str(settings_of("--tokens", words).settings.capture.tokens) == meant


WRONG = {
    "capture.detail": ("all", 2, "graph, op or thread"),
    "capture.max_events": ("0", -1, "a whole number from 1 up"),
    "capture.ops": ("A,,B", ["A,B"], "names with commas between them"),
    "capture.backends": (",", [1], "names with commas between them"),
    "capture.nodes": ("x" * 1024, ["x", "\n"], "names with commas between them"),
    "capture.tokens": ("5-1", 0.5, "a range of tokens such as 10-20, 10- or -20, counted from 1"),
    "capture.start_paused": ("perhaps", 1, "true or false"),
    "capture.per_node_sync": ("2", "maybe", "true or false"),
    "capture.children": ("ja", [], "true or false"),
    "output.file": (None, 5, "a path"),
    "output.max_size": ("1 kB", 1000, "a size of at least 1 MB, such as 200MB, 1GB or 1GiB"),
    "output.report": ("x", 0, "true or false"),
    "logging.level": ("INFO2", "loud", "debug, info, warning or error"),
    "logging.file": (None, "", "a path"),
    "logging.agent": ("-", {}, "true or false"),
    "ui.color": ("yes", True, "auto, always or never"),
    "ui.top": ("0", True, "a whole number from 1 up"),
    "ui.naming": (None, "", "a path"),
    "ui.width": ("39", 80.5, "a whole number from 40 up"),
}


@every_setting
def test_a_wrong_value_is_named_with_its_place_and_what_was_expected(entry: Entry) -> None:
    words, written, expected = WRONG[entry.name]
    variable, flag = entry.setting.variable, entry.setting.flag
    if words is not None:
        assert error_of(**{variable: words}).startswith(f"{variable}: expected {expected}")
        if entry.setting.metavar:
            assert error_of(f"{flag}={words}").startswith(f"{flag}: expected {expected}")
    Path("ggml-viz.json").write_text(json.dumps({entry.section: {entry.key: written}}, indent=1))
    start = f"ggml-viz.json:3: {entry.name}: expected {expected}"
    assert error_of().startswith(start)
    assert [str(problem).startswith(start) for problem in check(Path("ggml-viz.json"))] == [True]


def test_what_was_given_is_shown_harmlessly() -> None:
    assert error_of("--detail", "\x1b[31mred\n").endswith('not "\\u001b[31mred\\n"')
    assert len(error_of("--detail", "x" * 10_000)) < 200


def test_unknown_variables_are_only_worth_a_warning() -> None:
    loaded = settings_of(GGML_VIZ_DETIAL="op", GGML_VIZ_XYZZY="1", GGML_VIZ_DISABLE="1", GGML_VIZ_RUN="x")
    assert loaded.warnings == (
        "GGML_VIZ_DETIAL in the environment is no setting; did you mean GGML_VIZ_DETAIL?",
        "GGML_VIZ_XYZZY in the environment is no setting",
    )
    assert loaded.settings == Settings()


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[capture]\n\ndetial = 'op'", "3: capture.detial: there is no such setting; did you mean capture.detail?"),
        ("[captrue]\ndetail = 'op'", "1: captrue: there is no such section; did you mean [capture]?"),
        ("# x\ndetail = 'op'", "2: detail: there is no such section; did you mean capture.detail?"),
        ("[output]\nwidth = 100", "2: output.width: there is no such setting; did you mean ui.width?"),
        ("[ui]\nxyzzy = 1", "2: ui.xyzzy: there is no such setting"),
        ("ui = 7", "1: ui: expected a section, not 7"),
        ("[[ui]]\ntop = 1", '1: ui: expected a section, not [{"top": 1}]'),
    ],
)
def test_unknown_keys_are_errors_with_a_suggestion(toml: str, message: str) -> None:
    Path("ggml-viz.toml").write_text(toml)
    assert error_of() == f"ggml-viz.toml:{message}"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.toml", b"[ui]\ntop = \n", "not TOML: Invalid value (at line 2"),
        ("a.toml", b"[ui]\ntop = 1\ntop = 2", "not TOML"),
        ("a.toml", b"\xff", "not text in UTF-8"),
        ("a.toml", b"x = " + b"[" * 100_000, "a.toml: "),
        ("a.toml", b"#" * (1 << 21), "too long"),
        ("a.json", b'{"ui":\n{"top": 1,}}', "a.json:2: not JSON"),
        ("a.json", b"[]", "expected an object with the sections capture, output, logging, ui"),
        ("a.json", b'{"ui": ' + b"[" * 100_000, "a.json: "),
        ("a.json", b'{"ui": {"top": ' + b"9" * 10_000 + b"}}", "a.json"),
    ],
)
def test_a_file_that_is_no_use_is_said_to_be(
    name: str, content: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_bytes(content)
    assert words in error_of("--config", name)
    assert main(["config", "check", name]) == 1
    printed = capsys.readouterr()
    assert words in printed.out + printed.err
    assert "Traceback" not in printed.err


def test_a_file_that_is_missing_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of("--config", "none.toml") == "the settings cannot be read: none.toml: No such file or directory"
    assert main(["config", "check", "none.toml"]) == 1


TRICKY_TOML = """\
# detail = 1
[capture]   # [ui]
nodes = [
  "detail = 2", # detail = 3
  '''
detail = 4
''',
]
"ops" = []
backends = ["]", "["] # ]
tokens = \"""
[ui]
top = 5\"\"\"
'detail' = "op"
[ "ui" ]
top = 1
[output]
file="x"
[logging]
level = "a\\"]"
agent = true
"""


def test_lines_of_toml_keys() -> None:
    tricky = TRICKY_TOML.replace('\\"""', '"""')
    parsed, lines = tomllib.loads(tricky), toml_lines(tricky)
    assert {path for path in lines if len(path) == 2} == {(table, key) for table in parsed for key in parsed[table]}
    split = tricky.split("\n")
    for (*_, key), line in lines.items():
        assert key in split[line - 1]
    assert lines["capture", "detail"] == split.index("'detail' = \"op\"") + 1
    dotted = toml_lines('\nui . top = 1\nui.width = 5\ncapture = { detail = "op" }\n')
    assert [line_of(dotted, *path.split(".")) for path in ("ui", "ui.top", "ui.width", "capture.detail")] == [
        2,
        2,
        3,
        4,
    ]
    assert line_of(dotted, "nothing", "there") is None


def test_lines_of_json_keys() -> None:
    text = '{\n"capture": {"nodes": ["}", "\\"ui\\": 5",\n{"x": 1}],\n "detail"\n: "op"},\n"ui": {\n"top": 3}}'
    lines = json_lines(text)
    wanted = {"capture": 2, "capture.nodes": 2, "capture.detail": 5, "ui": 6, "ui.top": 7}
    assert {path: line_of(lines, *path.split(".")) for path in wanted} == wanted


@pytest.mark.parametrize("name", ["ggml-viz.toml", "ggml-viz.json"])
def test_a_new_file_is_good_and_changes_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "init", name]) == 0
    assert main(["config", "check", name]) == 0
    assert f"{name} is good" in capsys.readouterr().out
    loaded = settings_of()
    assert (loaded.settings, loaded.file) == (Settings(), Path(name))
    before = Path(name).read_text()
    assert main(["config", "init", name]) == 1
    assert "--force" in capsys.readouterr().err
    Path(name).write_text("")
    assert main(["config", "init", "--force", name]) == 0
    assert Path(name).read_text() == before
    assert all(entry.key in before for entry in entries())


def test_the_examples_in_a_new_file_are_good() -> None:
    Path("all.toml").write_text(re.sub("^#(?=[a-z])", "", new_toml(), flags=re.MULTILINE))
    loaded = settings_of("--config", "all.toml")
    assert {origin.kind for origin in loaded.origins.values()} == {"file"}
    text = new_toml()
    for entry in entries():
        assert entry.setting.flag in text
        assert entry.setting.variable in text
    assert set(json.loads(new_json())) == set(tomllib.loads(text))


def test_init_makes_ggml_viz_toml_and_says_what_is_in_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "init"]) == 0
    assert capsys.readouterr().out == "ggml-viz.toml\n"
    assert main(["config", "init", "no/such/folder.toml"]) == 1
    assert "No such file" in capsys.readouterr().err


def test_check_lists_everything_and_is_not_in_its_own_way(capsys: pytest.CaptureFixture[str]) -> None:
    Path("ggml-viz.toml").write_text("[ui]\ntop = 0\nwdth = 5\n[capture]\ndetail = 'none'\n")
    assert main(["config", "check", "ggml-viz.toml"]) == 1
    assert capsys.readouterr().out == (
        "ggml-viz.toml:3: ui.wdth: there is no such setting; did you mean ui.width?\n"
        'ggml-viz.toml:5: capture.detail: expected graph, op or thread, not "none"\n'
        "ggml-viz.toml:2: ui.top: expected a whole number from 1 up, not 0\n"
    )
    assert main(["config", "show"]) == 2
    assert "ggml-viz config check ggml-viz.toml" in capsys.readouterr().err


SHOWN = """\
file: ggml-viz.toml

[capture]
detail         op                                 ggml-viz.toml:2
max_events     (no limit)                         default
ops            MUL_MAT,ADD                        GGML_VIZ_OPS
backends       (all)                              default
nodes          (all)                              default
tokens         5-                                 --tokens
start_paused   false                              default
per_node_sync  false                              default
children       true                               default

[output]
file           (PROGRAM-YYYYMMDD-HHMMSS.ggmlviz)  default
max_size       1GiB                               ggml-viz.toml:4
report         false                              --quiet

[logging]
level          error                              --quiet
file           (none)                             default
agent          true                               default

[ui]
color          auto                               default
top            (what fits on a screen)            default
width          (the terminal's)                   default
naming         (none)                             default
"""


def test_show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("ggml-viz.toml").write_text('[capture]\ndetail = "op"\n[output]\nmax_size = "1024MiB"\n')
    monkeypatch.setenv("GGML_VIZ_OPS", "MUL_MAT, ADD")
    assert main(["config", "show", "--tokens", "5-", "--quiet"]) == 0
    assert capsys.readouterr().out == SHOWN

    assert main(["config", "show", "--json", "--tokens", "5-", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["file"]) == (1, "ggml-viz.toml")
    assert found["settings"]["capture"]["tokens"] == {"value": "5-", "from": "flag", "name": "--tokens"}
    assert found["settings"]["output"]["max_size"] == {"value": 2**30, "from": "file", "name": "ggml-viz.toml:4"}
    assert {f"{section}.{key}" for section in found["settings"] for key in found["settings"][section]} == set(VALUES)


@pytest.mark.parametrize(
    ("flags", "level", "report"),
    [
        ([], "warning", True),
        (["-v"], "info", True),
        (["-vv"], "debug", True),
        (["-vvvv"], "debug", True),
        (["-q"], "error", False),
        (["-q", "--report"], "error", True),
        (["-q", "-v"], "warning", False),
        (["--log-level", "debug", "-q"], "info", False),
    ],
)
def test_verbose_and_quiet(flags: list[str], level: str, report: bool) -> None:
    settings = settings_of(*flags).settings
    assert (settings.logging.level, settings.output.report) == (level, report)


def test_quiet_comes_before_the_environment() -> None:
    loaded = settings_of("--quiet", GGML_VIZ_REPORT="1", GGML_VIZ_LOG_LEVEL="info")
    assert loaded.settings.output.report is False
    assert loaded.origins["logging.level"] == Origin("flag", "GGML_VIZ_LOG_LEVEL, --quiet")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["report", "t.ggmlviz"], ["report", "-q", "t"]])
def test_what_needs_no_check_starts_without_pydantic(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom ggml_viz.cli import main\n"
        f"try: main({arguments})\nexcept SystemExit: pass\n"
        "sys.exit('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_defaults_are_the_same_with_and_without_pydantic() -> None:
    from ggml_viz.settings.validate import merged

    assert merged(()) == (Settings(), [])
    assert settings_of().settings == Settings()


def table() -> str:
    lines = ["| key | flag | variable | value | default | |", "|---|---|---|---|---|---|"]
    for entry in entries():
        setting = entry.setting
        flag = setting.flag if setting.metavar else f"{setting.flag}`, `{setting.flag.replace('--', '--no-', 1)}"
        flag = f"{setting.short}`, `{flag}" if setting.short else flag
        default = setting.unset or f"`{entry.text(entry.default)}`"
        cells = [f"`{entry.name}`", f"`{flag}`", f"`{setting.variable}`", setting.expected, default, setting.help]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_document_has_every_setting() -> None:
    """To write the table anew: UPDATE_GOLDEN=1 pytest tests/unit/test_settings.py."""
    text = DOCUMENT.read_text()
    found = re.search(r"\| key \|.*?(?=\n\n|\n\Z)", text, re.DOTALL)
    assert found
    if os.environ.get("UPDATE_GOLDEN") == "1":
        DOCUMENT.write_text(text.replace(found[0], table()))
    assert table() in DOCUMENT.read_text()
