"""What is said where attaching is forbidden; the system's setting stands in a file of its own here."""

from __future__ import annotations

from pathlib import Path

import pytest

from ggml_viz.system import linux


@pytest.mark.parametrize(
    ("scope", "capabilities", "said"),
    [
        ("0", "0", None),
        ("1", "0", "ptrace_scope is 1"),
        ("1", "80000", None),  # CAP_SYS_PTRACE
        ("2", "0", "needs CAP_SYS_PTRACE"),
        ("3", "80000", "until a reboot"),
        ("nonsense", "0", None),
    ],
)
def test_setting_that_forbids_attaching_is_named(
    scope: str, capabilities: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scope").write_text(scope + "\n")
    monkeypatch.setattr(linux, "_PTRACE_SCOPE", tmp_path / "scope")
    monkeypatch.setattr(linux, "_status", lambda _process, key: capabilities if key == "CapEff" else "0")
    obstacle = linux.attach_obstacle()
    assert (obstacle is None) == (said is None)
    assert said is None or said in str(obstacle)
