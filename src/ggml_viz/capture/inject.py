"""Loads the agent into a running process, by way of the debugger's interface of the kernel."""

from __future__ import annotations

from pathlib import Path

from ggml_viz import native
from ggml_viz.capture.target import quiet_thread
from ggml_viz.errors import UserError

_PTRACE_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
_NOT_PERMITTED = -8  # of the injector


def inject_agent(pid: int) -> None:
    """Loads the agent into a process; it does the rest on a thread of its own.

    Raises:
        UserError: It cannot be loaded; the message says which setting or right is missing.
    """
    try:
        from pyinjector import InjectorError, inject
    except ImportError:
        raise UserError(
            "attaching needs the package pyinjector, which is not installed", "pip install pyinjector"
        ) from None
    try:
        inject(quiet_thread(pid), str(native.agent_path()))
    except InjectorError as error:
        if error.ret_val == _NOT_PERMITTED:
            raise UserError(f"process {pid} may not be attached to", _missing_right(pid)) from None
        detail = (error.error_str or f"error {error.ret_val}").strip()
        raise UserError(f"the agent could not be loaded into process {pid}: {detail}") from None


def _missing_right(pid: int) -> str:
    """Which of the things that can forbid it does."""
    tracer = _status(pid, "TracerPid")
    if tracer not in ("", "0"):
        return f"Process {tracer} is tracing it (a debugger, strace); end that first."
    try:
        scope = int(_PTRACE_SCOPE.read_text())
    except (OSError, ValueError):
        scope = 0
    attach = f"sudo ggml-viz attach {pid}"
    if scope == 3:
        return f"kernel.yama.ptrace_scope is 3: attaching is off until a reboot. Start it with: {_run_instead()}"
    if scope == 2:
        return f"kernel.yama.ptrace_scope is 2: it needs CAP_SYS_PTRACE. Try: {attach}"
    if scope == 1:
        return f"kernel.yama.ptrace_scope is 1: allow it with sudo sysctl kernel.yama.ptrace_scope=0, or: {attach}"
    return (
        "The container or a security module forbids it: docker run --cap-add=SYS_PTRACE "
        f"(and --security-opt seccomp=unconfined before Linux 4.8), or start it with: {_run_instead()}"
    )


def _run_instead() -> str:
    return "ggml-viz run -- COMMAND"


def _status(pid: int, key: str) -> str:
    try:
        for line in (Path("/proc") / str(pid) / "status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == key:
                return value.strip()
    except OSError:
        pass
    return ""
