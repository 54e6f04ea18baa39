"""What macOS is told and says, as far as it can be tried on another system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ggml_viz.errors import UserError
from ggml_viz.system import linux, macos


def test_offers_what_linux_offers() -> None:
    assert set(macos.__all__) == set(linux.__all__)
    assert all(hasattr(macos, name) for name in macos.__all__)


def test_agent_comes_before_what_is_inserted_already() -> None:
    agent = Path("/some where/libggml_viz_agent.dylib")
    assert macos.preloading({"A": "1"}, agent) == {"A": "1", "DYLD_INSERT_LIBRARIES": str(agent)}
    others = macos.preloading({"DYLD_INSERT_LIBRARIES": "/other.dylib"}, agent)
    assert others["DYLD_INSERT_LIBRARIES"] == f"{agent}:/other.dylib"


def test_path_that_the_variable_cannot_hold_is_refused() -> None:
    assert macos.preloadable(Path("/a b/agent"), "1") == Path("/a b/agent")
    with pytest.raises(UserError, match="cannot hold a path with a colon"):
        macos.preloadable(Path("/a:b/agent"), "1")


def test_attaching_is_refused_in_one_sentence() -> None:
    with pytest.raises(UserError, match="macOS lets no program into another that runs") as refused:
        macos.inject(os.getpid(), Path("agent"))
    assert refused.value.hint == "Start it with: ggml-viz run -- COMMAND"
    assert macos.attach_obstacle()
