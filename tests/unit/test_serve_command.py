"""`ggml-viz serve` as a user meets it before it serves: its help, and one clear message for whatever is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path

import pytest
from tests.support.served import serving
from tests.support.tracefile import trace_from_text
from tests.unit.test_trace_commands import TINY

from ggml_viz.cli import main
from ggml_viz.errors import UserError
from ggml_viz.server.running import listening_socket


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GGML_VIZ_TOKEN", raising=False)


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "tiny.ggmlviz"
    path.write_bytes(trace_from_text(TINY))
    return str(path)


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    """The exit status of `serve`, which must not serve, and its message."""
    try:
        status = main(["serve", *map(str, words)])
    except SystemExit as ended:
        status = int(str(ended.code))
    said = capsys.readouterr()
    assert status != 0
    assert said.out == ""
    assert "Traceback" not in said.err
    return status, said.err


def test_help_says_how_to_serve_and_who_can_reach_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    options = ("--pid", "--all", "--folder", "--host", "--port", "--open", "--allow-host", "--token-file", "--tls-cert")
    assert all(option in said for option in options)
    assert "Only this machine can reach it" in said
    assert "examples:" in said


@pytest.mark.parametrize(
    "words",
    [
        ("--port", "65536"),
        ("--port", "-1"),
        ("--port", "eighty"),
        ("--pid", "me"),
        ("--pid", "1", "--all"),
        ("--keep", "0"),
        ("--no-such-flag",),
        ("--tls-cert", "cert.pem"),
        ("--tls-key", "key.pem"),
    ],
)
def test_wrong_flags(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    status, said = refused(capsys, *words)
    assert status == 2
    assert words[0] in said


def test_a_file_that_is_missing_or_no_trace(tmp_path: Path, trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = refused(capsys, trace, tmp_path / "gone.ggmlviz")
    assert "gone.ggmlviz: No such file" in said
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF" + bytes(100))
    _, said = refused(capsys, model)
    assert "model.gguf" in said
    _, said = refused(capsys, tmp_path)
    assert "Is a directory" in said
    _, said = refused(capsys, trace, "--folder", model)
    assert "is no folder" in said


def test_a_process_that_is_not_watched(capsys: pytest.CaptureFixture[str]) -> None:
    _, said = refused(capsys, "--pid", os.getpid())
    assert f"process {os.getpid()} is not watched" in said
    assert f"ggml-viz attach {os.getpid()}" in said


def test_a_port_that_is_taken(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        _, said = refused(capsys, trace, "--port", str(port))
    assert f"port {port} is taken" in said
    assert "--port" in said


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.name.invalid", "300.1.1.1", "a" * 300, "::ffff"])
def test_an_address_that_is_not_this_machine_s(host: str, trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = refused(capsys, trace, "--host", host, "--port", "0")
    assert host in said


@pytest.mark.parametrize("token", ["short", "with spaces in it, though long", "é" * 20])
def test_a_token_that_is_none(
    token: str, trace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text(token)
    file.chmod(0o600)
    status, said = refused(capsys, trace, "--token-file", file)
    assert status == 2
    assert "at least 16 characters" in said
    assert token not in said
    monkeypatch.setenv("GGML_VIZ_TOKEN", token)
    assert refused(capsys, trace)[0] == 2


def test_a_token_file_that_does_not_help(trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = refused(capsys, trace, "--token-file", tmp_path / "gone")
    assert "gone: No such file" in said
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe" * 20)
    refused(capsys, trace, "--token-file", file)
    # A token is asked for: an empty file must not mean that none is needed.
    file.write_text("\n")
    refused(capsys, trace, "--token-file", file)


def test_a_token_file_that_others_can_read(trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "token"
    file.write_text("a-token-of-enough-characters")
    file.chmod(0o644)
    _, said = refused(capsys, trace, "--token-file", file)
    assert "chmod 600" in said


def test_tls_with_files_that_do_not_fit(trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    _, said = refused(capsys, trace, "--tls-cert", junk, "--tls-key", junk)
    assert "junk.pem" in said
    _, said = refused(capsys, trace, "--tls-cert", tmp_path / "gone.pem", "--tls-key", junk)
    assert "gone.pem" in said
    assert "No such file" in said


def test_the_socket_of_a_port_is_its_own() -> None:
    with listening_socket("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(UserError, match="is taken"):
            listening_socket("127.0.0.1", port)
    # And free again at once.
    listening_socket("127.0.0.1", port).close()


def test_an_address_beyond_loopback_gets_a_token_that_works(trace: str) -> None:
    with serving(trace, "--host", "0.0.0.0") as served:
        assert len(served.token) >= 32
        assert served.json("/api/v1/session")["authenticated"]
        assert f"http://{socket.gethostname()}:{served.port}/" in served.log.read_text()


def test_loopback_needs_none_and_one_s_own_is_not_printed(trace: str) -> None:
    with serving(trace) as served:
        assert served.token == ""
        assert not served.json("/api/v1/session")["token_needed"]
    token = "a-token-of-enough-characters"
    with serving(trace, env={"GGML_VIZ_TOKEN": token}) as served:
        assert served.json("/api/v1/session") | {"version": ""} == {
            "authenticated": True,
            "token_needed": True,
            "version": "",
        }
        assert token not in served.log.read_text()


def test_tls(trace: str, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")
    names = ("-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run([*made, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with serving(trace, "--tls-cert", certificate, "--tls-key", key) as served:
        context = ssl.create_default_context(cafile=certificate)
        with urllib.request.urlopen(f"https://127.0.0.1:{served.port}/api/v1/session", context=context) as answer:
            assert json.load(answer)["token_needed"] is False
        assert re.search(r"^https://127\.0\.0\.1:", served.log.read_text())


def test_control_c_ends_it(trace: str) -> None:
    with serving(trace) as served:
        served.process.send_signal(signal.SIGINT)
        served.process.wait(30)
