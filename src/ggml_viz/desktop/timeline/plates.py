"""What the timeline has of its source: lanes and labels, the tile that is shown, and the whole behind it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, NamedTuple

from imgui_bundle import hello_imgui, imgui

from ggml_viz.desktop.timeline.feed import Need, Window, suffices, window_for
from ggml_viz.desktop.timeline.lanes import Lane, Row, lanes_of
from ggml_viz.desktop.timeline.plate import Labels, Look, Plate, make_plate
from ggml_viz.desktop.timeline.stage import Stage
from ggml_viz.desktop.timeline.tile import read_tile
from ggml_viz.desktop.timeline.view import View
from ggml_viz.desktop.workspace import Workspace

_WHOLE_COLUMNS = 1600
# The whole is asked for again when it has grown so much.
_GROWTH = 1.25
# How often what still grows is asked for.
_FRESH_S = 0.1
_DESCRIBE_S = 0.5
# More lanes than these are asked for only where they can be seen.
_MOST_LANES = 32


class _Info(NamedTuple):
    """What there is to show."""

    lanes: list[Lane]
    labels: Labels


class _Made(NamedTuple):
    """A plate, of which window and when."""

    plate: Plate
    window: Window
    at: float


class Plates:
    """Asks for what is to be drawn, in threads, and owns the textures of it.

    Args:
        space: What all panels share.
    """

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._infos, self._tiles, self._wholes = space.question(), space.question(), space.question()
        self._described_at = 0.0
        self._info_number = 0
        self._asked: tuple[Window, Look, int, int] | None = None
        self._asked_at = 0.0
        self._asked_limit = 0.0
        self._whole_until = 0.0
        self._heights: tuple[list[Row], tuple[tuple[int, int], ...]] | None = None
        self._textures: list[tuple[Plate, Any]] = []

    @property
    def info(self) -> _Info | None:
        """Lanes and labels; None: they are on their way."""
        answer: _Info | None = self._infos.answer
        return answer

    @property
    def plate(self) -> Plate | None:
        """The newest tile, which may be of another window than is shown now."""
        made: _Made | None = self._tiles.answer
        return made.plate if made is not None else None

    @property
    def made_at(self) -> float:
        """When that was made, by time.monotonic()."""
        made: _Made | None = self._tiles.answer
        return made.at if made is not None else 0.0

    @property
    def whole(self) -> Plate | None:
        """All of the source, coarsely."""
        plate: Plate | None = self._wholes.answer
        return plate

    @property
    def question(self) -> Any:
        """The one that says why there is nothing."""
        return self._infos if self._infos.error is not None else self._tiles

    @property
    def is_pending(self) -> bool:
        """Whether a tile is on its way."""
        return bool(self._tiles.is_pending)

    def forget(self) -> None:
        """Another source is shown."""
        self._asked = None
        self._whole_until = 0.0

    def describe(self, now: float) -> _Info | None:
        """Asks for lanes and labels, again where a tile has some that are not known yet."""
        source, plate = self._space.source, self.plate
        assert source is not None
        if plate is not None and not plate.is_described and now - self._described_at > _DESCRIBE_S:
            self._described_at = now
            self._info_number += 1

        def make() -> _Info:
            told = source.timeline()
            return _Info(lanes_of(told), Labels(told))

        self._infos.ask((source.id, self._info_number, self._space.moment(2.0)), make)
        return self.info

    def need(self, stage: Stage, rows: list[Row], shown: list[Row], pixels: int, now: float) -> None:
        """Asks for a tile if what is to be shown is not shown well by the one that there is."""
        space, source, info = self._space, self._space.source, self.info
        if source is None or info is None or not rows:
            return
        if self._heights is None or self._heights[0] is not rows:
            self._heights = rows, tuple((row.lane.id, max(round(row.height), 1)) for row in rows)
        look = Look(space.theme, space.hidden_kinds, space.filter_text, self._heights[1])
        self._need_whole(stage.limits, look)
        lanes = None if len(rows) <= _MOST_LANES else tuple(row.lane.id for row in shown)
        need = Need(stage.view, stage.limits, pixels, lanes, stage.is_resting(now))
        steps, number = source.steps, self._info_number
        if self._asked is not None and self._asked[1:2] == (look,) and not self._is_old(stage.view, steps, now):
            # That more was recorded meanwhile is not what makes a tile too short.
            limits = View(stage.limits.begin, min(stage.limits.end, self._asked_limit))
            if suffices(self._asked[0], replace(need, limits=limits), self._has_pictures()):
                return
        window = window_for(need if lanes is None else replace(need, lanes=_around(rows, shown)))
        asked = (window, look, steps, number)
        self._asked, self._asked_at, self._asked_limit = asked, now, stage.limits.end

        def make() -> _Made:
            tile = read_tile(source.tile(*window.view, window.columns, window.lanes, False, 0))
            return _Made(make_plate(tile, info.lanes, info.labels, look), window, time.monotonic())

        self._tiles.ask(asked, make)

    def texture(self, plate: Plate) -> Any:
        """The plate's image as Dear ImGui draws it; None: it has none."""
        if plate.image is None:
            return None
        for known, texture in self._textures:
            if known is plate:
                return imgui.ImTextureRef(texture.texture_id())
        texture = hello_imgui.create_texture_gpu_from_rgba_data(plate.image)
        self._textures.append((plate, texture))
        return imgui.ImTextureRef(texture.texture_id())

    def free(self) -> None:
        """Lets go of textures that are not drawn any more; called before anything of a frame is drawn."""
        kept = (self.plate, self.whole)
        self._textures = [each for each in self._textures if any(each[0] is plate for plate in kept)]

    def _has_pictures(self) -> bool:
        """Whether something is drawn as a picture, which has no more detail than columns."""
        plate = self.plate
        return plate is None or plate.image is not None

    def _is_old(self, view: View, steps: int, now: float) -> bool:
        """Whether more of what is shown was recorded since."""
        if self._asked is None or now - self._asked_at < _FRESH_S:
            return False
        plate = self.plate
        if plate is not None and not plate.is_described and self._asked[3] != self._info_number:
            return True
        return self._asked[2] != steps and self._asked_limit < view.end + 0.5 * view.width

    def _need_whole(self, limits: View, look: Look) -> None:
        source, info = self._space.source, self.info
        if source is None or info is None:
            return
        if limits.end > self._whole_until * (_GROWTH if source.is_live else 1):
            self._whole_until = limits.end
        until = self._whole_until

        def make() -> Plate:
            tile = read_tile(source.tile(0.0, until, _WHOLE_COLUMNS, None, False, 0))
            return make_plate(tile, info.lanes, info.labels, look)

        self._wholes.ask((until, look, len(info.lanes)), make)


def _around(rows: list[Row], shown: list[Row]) -> tuple[int, ...]:
    """Those that are shown and as many again above and below."""
    if not shown:
        return ()
    first, last = rows.index(shown[0]), rows.index(shown[-1])
    room = last - first + 1
    return tuple(row.lane.id for row in rows[max(first - room, 0) : last + room + 1])
