"""Loads the agent into a running process, by way of the debugger's interface of the kernel."""

from __future__ import annotations

import importlib.util
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


def attach_obstacle() -> str | None:
    """What keeps this user from attaching to processes of their own, as far as the system says; None: nothing."""
    if importlib.util.find_spec("pyinjector") is None:
        return "the package pyinjector is missing (pip install pyinjector)"
    return None if _may_trace() else _SCOPES.get(_ptrace_scope())


def _missing_right(pid: int) -> str:
    """Which of the things that can forbid it does."""
    tracer = _status(str(pid), "TracerPid")
    if tracer not in ("", "0"):
        return f"Process {tracer} is tracing it (a debugger, strace); end that first."
    forbidden = _SCOPES.get(_ptrace_scope())
    if forbidden and not _may_trace():
        return f"{forbidden[0].upper()}{forbidden[1:]}."
    return (
        "The container or a security module forbids it: docker run --cap-add=SYS_PTRACE (and --security-opt "
        "seccomp=unconfined before Linux 4.8), or start it with: ggml-viz run -- COMMAND"
    )


_SCOPES = {
    1: "kernel.yama.ptrace_scope is 1: use sudo ggml-viz attach, or sudo sysctl kernel.yama.ptrace_scope=0",
    2: "kernel.yama.ptrace_scope is 2: it needs CAP_SYS_PTRACE, so use sudo ggml-viz attach",
    3: "kernel.yama.ptrace_scope is 3: attaching is off until a reboot; start programs with ggml-viz run -- COMMAND",
}
_CAP_SYS_PTRACE = 19


def _ptrace_scope() -> int:
    try:
        return int(_PTRACE_SCOPE.read_text())
    except (OSError, ValueError):
        return 0


def _may_trace() -> bool:
    """Whether this process has the capability that the restrictions do not apply to (all but the last)."""
    capabilities = int(_status("self", "CapEff") or "0", 16)
    return bool(capabilities >> _CAP_SYS_PTRACE & 1) and _ptrace_scope() < 3


def _status(process: str, key: str) -> str:
    try:
        for line in (Path("/proc") / process / "status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == key:
                return value.strip()
    except OSError:
        pass
    return ""
