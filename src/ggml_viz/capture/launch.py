"""What a program is started with, so that the agent is in it and everything else as the shell gave it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ggml_viz import __version__, native, system
from ggml_viz.settings.model import entries


def preload_path() -> Path:
    """The agent, by a path that the system can be told to load into a program."""
    return system.preloadable(native.agent_path(), __version__)


def agent_environment(base: Mapping[str, str], token: str) -> dict[str, str]:
    """The environment of a program that is recorded; where the system has it so, it brings the agent into it.

    Settings are taken out of it: those of the recording reach the agent by a file (`capture.handover`), and are not
    meant for what the program may start later.

    Args:
        base: The environment to add to.
        token: Names this recording's segments.
    """
    settings = {entry.setting.variable for entry in entries()}
    environment = {name: value for name, value in base.items() if name not in settings}
    return {**system.preloading(environment, preload_path()), "GGML_VIZ_RUN": token}
