"""Runs a command line in a console of its own, presses Ctrl-C half a second after its first line, says how it ended.

Usage: pressed.py COMMAND…, with the answer as JSON: the whole exit status, and what was written.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time

CTRL_C, WHOLE_CONSOLE = 0, 0


def press(command: list[str]) -> None:
    signal.signal(signal.SIGINT, lambda _number, _frame: None)  # it is this process's console as well
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        first = process.stdout.readline()
        time.sleep(0.5)
        ctypes.WinDLL("kernel32").GenerateConsoleCtrlEvent(CTRL_C, WHOLE_CONSOLE)
        rest = process.communicate()[0]
    status = process.returncode & 0xFFFF_FFFF
    print(json.dumps([status, (first + rest).decode(errors="replace")]))


if os.environ.get("OWN_CONSOLE"):
    press(sys.argv[1:])
else:
    # Wine gives a program no console whose output is a pipe, unless it is asked for one.
    sys.exit(
        subprocess.run(
            [sys.executable, *sys.argv],
            stdin=subprocess.DEVNULL,
            stdout=sys.stdout,
            env={**os.environ, "OWN_CONSOLE": "1"},
            creationflags=subprocess.CREATE_NEW_CONSOLE,
        ).returncode
    )
