"""What the desktop exports: PNG, CSV, names of files, and which part of the framebuffer; no window is needed."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from ggml_viz.cli import with_command
from ggml_viz.desktop.export_shown import file_name, write_csv
from ggml_viz.desktop.panel import Rows
from ggml_viz.desktop.pixels import Crop, Pixels, crop_of, write_png
from ggml_viz.desktop.saving import ended
from ggml_viz.errors import UserError
from ggml_viz.export.output import whole_file


def decoded(data: bytes) -> Pixels:
    """The pixels of a PNG of eight-bit RGBA without filters."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, parts = 8, {}
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        parts[kind] = body
        at += 12 + length
    width, height, *rest = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert rest == [8, 6, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, 1 + 4 * width)
    assert not rows[:, 0].any()
    assert list(parts) == [b"IHDR", b"IDAT", b"IEND"]
    return rows[:, 1:].reshape(height, width, 4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (64, 33)])
def test_png_holds_the_pixels(height: int, width: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 4), np.uint8)
    out = io.BytesIO()
    write_png(out, pixels)
    np.testing.assert_array_equal(decoded(out.getvalue()), pixels)
    write_png(tmp_path / "a.png", pixels)
    assert (tmp_path / "a.png").read_bytes() == out.getvalue()


def test_others_can_read_the_png() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (7, 9, 4), np.uint8)
    out = io.BytesIO()
    write_png(out, pixels)
    out.seek(0)
    np.testing.assert_array_equal(np.round(matplotlib.image.imread(out) * 255).astype(np.uint8), pixels)


@pytest.mark.parametrize(
    ("box", "origin", "scale", "crop"),
    [
        ((10, 20, 110, 70), (0, 0), (1, 1), Crop(10, 20, 100, 50)),
        ((310, 220, 410, 270), (300, 200), (2, 2), Crop(20, 40, 200, 100)),
        ((-50, -50, 2000, 2000), (0, 0), (1.5, 1.5), Crop(0, 0, 1200, 900)),
        ((900, 10, 1000, 20), (0, 0), (1, 1), Crop(800, 10, 0, 10)),
    ],
)
def test_a_panel_is_cut_out_of_the_framebuffer(
    box: tuple[float, float, float, float], origin: tuple[float, float], scale: tuple[float, float], crop: Crop
) -> None:
    assert crop_of(box, origin, (800, 600), scale) == crop


def test_csv_is_unrounded_and_in_utf8() -> None:
    out = io.BytesIO()
    write_csv(out, Rows(["op", "work_s"], [["MUL_MAT", 0.1 + 0.2], ["µ, ü", None], ["x", np.float64(1 / 3)]]))
    lines = out.getvalue().decode("utf-8").split("\n")
    assert lines == ["op,work_s", f"MUL_MAT,{0.1 + 0.2!r}", '"µ, ü",', f"x,{1 / 3!r}", ""]


def test_names_of_files(tmp_path: Path) -> None:
    assert file_name("run-2", "Ops", "png") == "run-2-ops.png"
    assert file_name("", "Time by op / role", "csv") == "time-by-op-role.csv"
    assert ended("~/a", ".png") == Path.home() / "a.png"
    assert ended(str(tmp_path / "a.jpeg"), ".png") == tmp_path / "a.jpeg"


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("before")

    def fail() -> None:
        with whole_file(path) as out:
            out.write(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"cannot write .*a\.csv: No space left on device"):
        fail()
    assert path.read_text() == "before"
    with pytest.raises(UserError, match="No such file or directory"), whole_file(tmp_path / "none" / "a.csv"):
        pass
    with whole_file(path) as out:
        out.write(b"after")
    assert path.read_text() == "after"
    assert [each.name for each in tmp_path.iterdir()] == ["a.csv"]


def test_a_trace_as_first_word_is_viewed(tmp_path: Path) -> None:
    file = tmp_path / "named otherwise"
    file.touch()
    assert with_command([str(file), "b.ggmlviz"]) == ["view", str(file), "b.ggmlviz"]
    assert with_command(["missing.ggmlviz"]) == ["view", "missing.ggmlviz"]
    for words in ([], ["nonsense"], ["report", "a.ggmlviz"], ["--help"], [str(tmp_path)]):
        assert with_command(words) == words
