"""The agent reads what the user asked for, from a file or the environment, and survives whatever else lies there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.native import compiling

SOURCE = Path(__file__).parent / "settings.c"
ALL = 2**64 - 1
DEFAULTS = {
    "found": "1",
    "detail": "2",
    "max_events": "0",
    "ops": "",
    "backends": "",
    "nodes": "",
    "tokens": f"1-{ALL}",
    "start_paused": "0",
    "per_node_sync": "0",
    "children": "1",
}
MISSING = {**DEFAULTS, "found": "0"}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("settings")
    return compiling.program(folder, SOURCE, ("platform",), "address", (compiling.NATIVE / "agent" / "settings.c",))


def read(reader: Path, *arguments: str | Path, environment: dict[str, str] | None = None) -> dict[str, str]:
    done = subprocess.run(
        [reader, *arguments],
        env={**os.environ, **compiling.ENVIRONMENT, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


GIVEN = {
    "detail": "op",
    "max_events": "5000000000",
    "ops": "MUL_MAT, SOFT_MAX,",
    "backends": "CPU",
    "nodes": "ffn_*,result_output",
    "tokens": "10-20",
    "start_paused": "1",
    "per_node_sync": "true",
    "children": "0",
}
EXPECTED = {
    **GIVEN,
    "found": "1",
    "detail": "1",
    "ops": "MUL_MAT,SOFT_MAX",
    "per_node_sync": "1",
}


def test_of_a_recording(reader: Path, tmp_path: Path) -> None:
    (tmp_path / ".token.settings").write_text("".join(f"{key}={value}\n" for key, value in GIVEN.items()))
    assert read(reader, tmp_path, "token") == EXPECTED


def test_of_the_environment(reader: Path) -> None:
    variables = {f"GGML_VIZ_{key.upper()}": value for key, value in GIVEN.items()}
    assert read(reader, environment=variables) == EXPECTED


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("7", "7-7"), ("7-", f"7-{ALL}"), ("-7", "1-7"), ("8-7", f"1-{ALL}"), ("x", f"1-{ALL}"), ("1-2-3", f"1-{ALL}")],
)
def test_token_window(reader: Path, text: str, tokens: str) -> None:
    assert read(reader, environment={"GGML_VIZ_TOKENS": text})["tokens"] == tokens


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"=\n==\ndetail\ndetail=\ndetail=loud\nunknown=1\nmax_events=-1\nmax_events=1e9\nmax_events=" + b"9" * 40,
        b"\0\xff" * 4000,
        b"max_events=" + b"x" * 16000,
        b"children=maybe\nstart_paused=\nper_node_sync=2\n",
    ],
)
def test_what_makes_no_sense_is_as_by_default(reader: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".token.settings").write_bytes(content)
    assert read(reader, tmp_path, "token") == DEFAULTS


def test_a_list_that_does_not_fit_is_cut_between_two_names(reader: Path, tmp_path: Path) -> None:
    names = [f"node_{i}" for i in range(1000)]
    (tmp_path / ".token.settings").write_text(f"nodes={','.join(names)}\n")
    kept = read(reader, tmp_path, "token")["nodes"].split(",")
    assert len(kept) > 100
    assert kept == names[: len(kept)]


def test_only_a_small_regular_file_is_read(reader: Path, tmp_path: Path) -> None:
    (tmp_path / ".large.settings").write_text("detail=op\n" * 2000)
    (tmp_path / "elsewhere").write_text("detail=op\n")
    (tmp_path / ".link.settings").symlink_to(tmp_path / "elsewhere")
    (tmp_path / ".folder.settings").mkdir()
    os.mkfifo(tmp_path / ".pipe.settings")
    for token in ("large", "link", "folder", "pipe", "none", "../elsewhere"):
        assert read(reader, tmp_path, token) == MISSING, token
