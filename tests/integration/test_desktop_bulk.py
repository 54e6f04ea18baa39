"""Rectangles drawn in bulk are, pixel by pixel, those that Dear ImGui draws by itself; and where its internals are
other than expected, it draws them itself."""

from __future__ import annotations

from typing import Any

import matplotlib.image
import numpy as np
import pytest
from tests.support.desktop import display, picture

SIZE = 700, 500
# More vertices than 16 bits can count.
COUNT = 18_000


def boxes() -> tuple[Any, Any]:
    """Random, fractional, overlapping, tiny, empty and turned over rectangles, half-transparent ones among them."""
    rng = np.random.default_rng(7)
    corner = rng.uniform(-20, 720, (COUNT, 2)).astype(np.float32)
    size = rng.choice([0.0, 0.3, 1.0, 2.5, 40.0, -3.0], (COUNT, 2)).astype(np.float32)
    size *= rng.uniform(0.5, 1.5, (COUNT, 2)).astype(np.float32)
    size[:50] = 300.0
    alpha = rng.choice([0x40, 0xFF], COUNT).astype(np.uint32) << np.uint32(24)
    colours = rng.integers(0, 1 << 24, COUNT).astype(np.uint32) | alpha
    return np.concatenate([corner, corner + size], axis=1), colours


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same rectangles drawn in each way."""
    from imgui_bundle import hello_imgui, imgui
    from imgui_bundle.immapp import testing

    from ggml_viz.desktop import bulk

    folder = tmp_path_factory.mktemp("pictures")
    drawn, colours = boxes()
    way = [bulk.rectangles]
    found: dict[str, Any] = {}

    def gui() -> None:
        lines = imgui.get_background_draw_list()
        # Something before and behind, so that neither begins nor ends at the edge of a buffer.
        lines.add_rect_filled((0, 0), SIZE, 0xFF302010)
        lines.add_text((5, 5), 0xFFFFFFFF, "before")
        way[0](lines, drawn, colours)
        lines.add_text((5, 480), 0xFFFFFFFF, "behind")

    def photograph(ctx: Any, name: str) -> None:
        picture(ctx, folder / f"{name}.png")
        found[name] = np.rint(matplotlib.image.imread(folder / f"{name}.png")[..., :3] * 255).astype(np.uint8)

    def use(ctx: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            way[0] = bulk.one_by_one
            photograph(ctx, "one by one")
            way[0] = bulk._in_bulk
            photograph(ctx, "in bulk")
            way[0] = bulk.rectangles
            photograph(ctx, "rectangles")
            found["as expected"] = bulk._is_as_expected
            way[0] = lambda *_: None
            photograph(ctx, "nothing")
            # Now imgui-bundle was built in another way.
            patch.setattr(imgui, "VERTEX_SIZE", 24)
            patch.setattr(bulk, "_is_as_expected", None)
            patch.setattr(bulk, "_in_bulk", lambda *_: pytest.fail("drawn in bulk all the same"))
            way[0] = bulk.rectangles
            photograph(ctx, "otherwise")
            found["as expected then"] = bulk._is_as_expected

    params = hello_imgui.RunnerParams()
    params.callbacks.show_gui = gui
    params.app_window_params.window_geometry.size = SIZE
    params.ini_disable = True
    with display():
        testing.run(test_function=use, runner_params=params)
    return found


def test_in_bulk_looks_as_one_by_one(pictures: dict[str, Any]) -> None:
    differing = (pictures["one by one"] != pictures["nothing"]).any(axis=2).mean()
    assert differing > 0.5
    assert np.array_equal(pictures["in bulk"], pictures["one by one"])
    assert np.array_equal(pictures["rectangles"], pictures["one by one"])
    assert pictures["as expected"] is True


def test_other_internals_are_seen_and_imgui_draws(
    pictures: dict[str, Any],
) -> None:
    assert pictures["as expected then"] is False
    assert np.array_equal(pictures["otherwise"], pictures["one by one"])
