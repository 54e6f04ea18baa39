"""Records a program from its start to its end into a trace file."""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ggml_viz import native, system
from ggml_viz.capture.files import remove_trace, spare_other_files
from ggml_viz.capture.handover import capture_lines, handed_over
from ggml_viz.capture.inspect import find_program, shut_out
from ggml_viz.capture.launch import agent_environment
from ggml_viz.capture.segments import open_recorder, swept_folder
from ggml_viz.capture.terminal import SharedTerminal
from ggml_viz.errors import UserError
from ggml_viz.log import agent_messages
from ggml_viz.settings.model import Settings

_LOG = logging.getLogger(__name__)

# How long a forwarded signal may have to wait: Python handles signals between two calls of the recorder.
_TURN_MS = 100
# The same where the recorder cannot be woken by the program's end.
_BLIND_TURN_MS = 10


@dataclass(frozen=True)
class Recording:
    """How a recording ended.

    Attributes:
        path: The trace; None: nothing was recorded and there is no file.
        status: What the recorder saw.
        exit_code: The program's exit status; negative, where there are such: the signal that it died of.
    """

    path: Path | None
    status: native.RecorderStatus
    exit_code: int


def new_token() -> str:
    """A token that no other recording has."""
    return secrets.token_hex(8)


def record(
    command: Sequence[str],
    path: Path,
    settings: Settings,
    environment: Mapping[str, str] = os.environ,
    token: str | None = None,
    terminal: SharedTerminal | None = None,
) -> Recording:
    """Runs a program with the agent in it and writes what the agent sees to `path`.

    Args:
        command: The program and its arguments.
        path: The trace; overwritten. Removed again if the program never called ggml.
        settings: What is to be recorded, and how large the trace may grow.
        environment: The program's environment, without the agent.
        token: What the names of the segments are to begin with, for who looks on; None: it does not matter.
        terminal: What the program shares with a dashboard of it; None: nothing.

    Raises:
        UserError: The program cannot be started (exit status 126, 127), or the trace not be written (125).
    """
    program = find_program(command[0], environment)
    if obstacle := shut_out(program):
        raise UserError(obstacle.message, obstacle.hint, exit_status=126)
    spare_other_files(path)
    token = token or new_token()
    watched = agent_environment(environment, token)
    folder = swept_folder()
    recorder = open_recorder(folder, token, path, settings.output.max_size)

    _LOG.info("recording into %s", path)
    _LOG.debug("segments are %s/%s.*; the agent is told: %s", folder, token, capture_lines(settings).split())

    status = None
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []  # signals that came before there was a program to send them to

    def send(number: int) -> None:
        if child is None:
            early.append(number)
        else:
            system.send(child, number)
        if terminal is not None:
            terminal.signalled(number)

    try:
        with handed_over(settings, folder, token), system.signals_passed_on(send):
            streams = () if terminal is None else (terminal.stdin, terminal.stdout, terminal.stderr)
            child = system.start(program, command, watched, native.agent_path(), *streams)
            for number in early:
                system.send(child, number)
            _drain_until_exit(recorder, child, terminal)
            status = recorder.close()
            if terminal is not None:
                terminal.finish()
    finally:
        if status is None:  # the program could not be started
            recorder.close()
            remove_trace(path)
    _LOG.info(
        "recorded %d records of %d processes, %d lost, %d bytes",
        status.records,
        status.processes,
        status.lost,
        status.bytes,
    )
    if status.processes == 0:
        remove_trace(path)
    return Recording(path if status.processes else None, status, child.returncode)


def _drain_until_exit(
    recorder: native.Recorder, child: subprocess.Popen[bytes], terminal: SharedTerminal | None
) -> None:
    end = system.ProcessEnd(child.pid)
    try:
        while child.poll() is None:
            recorder.drain(end.waitable, _BLIND_TURN_MS if end.waitable < 0 else _TURN_MS)
            agent_messages(recorder.messages())
            if terminal is not None:
                terminal.turn()
        recorder.drain(-1, 0)
        agent_messages(recorder.messages())
    finally:
        end.close()
