"""The application: what is shown where, and what can be done."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from imgui_bundle import hello_imgui, imgui

from ggml_viz.desktop.actions import Action
from ggml_viz.desktop.capturing import Capturing
from ggml_viz.desktop.command_palette import CommandPalette
from ggml_viz.desktop.export_shown import Exports
from ggml_viz.desktop.help import Help
from ggml_viz.desktop.opening import Dropping, Opening
from ggml_viz.desktop.panel import Panel
from ggml_viz.desktop.panels.compare import Compare
from ggml_viz.desktop.panels.graph import Graph
from ggml_viz.desktop.panels.memory import Memory
from ggml_viz.desktop.panels.ops import Ops
from ggml_viz.desktop.panels.overview import Overview
from ggml_viz.desktop.panels.tensor import Tensor
from ggml_viz.desktop.panels.threads import Threads
from ggml_viz.desktop.panels.timeline import Timeline
from ggml_viz.desktop.preferences import THEMES, Preferences
from ggml_viz.desktop.quitting import Quitting
from ggml_viz.desktop.sources_menu import SourcesMenu
from ggml_viz.desktop.status import Status
from ggml_viz.desktop.welcome import Welcome, nothing_yet
from ggml_viz.desktop.window import Window
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.settings import Settings
from ggml_viz.sources.processes import LiveProcesses
from ggml_viz.sources.source import Catalog, Provider
from ggml_viz.sources.traces import TraceFiles

PANELS: Sequence[type[Panel]] = (Overview, Timeline, Graph, Ops, Threads, Memory, Compare, Tensor)
# As plain numbers: this list is made for each frame, and members of an enum take long to be joined.
_CTRL, _CTRL_SHIFT = int(imgui.Key.mod_ctrl), int(imgui.Key.mod_ctrl) | int(imgui.Key.mod_shift)
_OPEN, _CLOSE, _QUIT, _COMMAND = (_CTRL | int(key) for key in (imgui.Key.o, imgui.Key.w, imgui.Key.q, imgui.Key.p))
_LARGER_TEXT, _SMALLER_TEXT, _USUAL_TEXT = (
    _CTRL | int(key) for key in (imgui.Key.equal, imgui.Key.minus, imgui.Key._0)
)
_NEXT, _PREVIOUS, _KEYS = _CTRL | int(imgui.Key.tab), _CTRL_SHIFT | int(imgui.Key.tab), int(imgui.Key.f1)
_PANELS = [_CTRL | (int(imgui.Key._1) + number) for number in range(9)]
_LARGER = 1.1


class Application:
    """The desktop application.

    Args:
        files: Traces to open.
        live: A process to watch; 0: all that are watched; None: none, until asked to.
        settings: The settings.
        folder: Where it remembers things; None: nowhere.

    Attributes:
        space: What its panels share.
        window: Its window.
        panels: By title.
    """

    def __init__(self, files: Sequence[Path], live: int | None, settings: Settings, folder: Path | None) -> None:
        self._folder = folder
        naming = settings.ui.naming
        traces = TraceFiles(files, naming=naming)
        providers: list[Provider] = [traces]
        if live is not None:
            providers.insert(0, LiveProcesses([live] if live else None, Path(), naming))
        preferences = Preferences.load(folder) if folder is not None else Preferences()
        self.space = Workspace(Catalog(providers), traces, preferences, hello_imgui.request_refresh)
        self.panels = {panel.title: panel(self.space) for panel in PANELS}
        self._opening = Opening(self.space)
        self._exports = Exports(self.space, list(self.panels.values()))
        self._dropping = Dropping(self._opening.open)
        self._palette, self._help, self._sources = CommandPalette(), Help(), SourcesMenu(self.space)
        self.capturing = Capturing(self.space, naming)
        dialogs = self.capturing.start_dialog.open, self.capturing.attach_dialog.open
        self._welcome = Welcome(self.space, self._opening.ask, *dialogs)
        self.window = Window(
            self.space,
            list(self.panels.values()),
            self.actions,
            folder,
            started=self._started,
            above=self._above,
            menu_end=self._sources.draw,
            status=Status(self.space).draw,
            instead=self._instead,
            drawn=self._exports.after_draw,
            may_close=lambda: self._quitting.may_close(),
        )
        self._quitting = Quitting(self.capturing, self.window.close)

    def _started(self) -> None:
        self._dropping.listen()
        self.space.traces.load_named()

    def run(self) -> None:
        """Shows the window until it is closed."""
        gc.freeze()  # what has been imported stays: searching it again and again would only hold up frames
        self.window.run()

    def close(self) -> None:
        """Ends what was started, and remembers what is to be remembered."""
        self.capturing.close()
        self.space.close()
        self.space.catalog.close()
        if self._folder is not None:
            self.space.preferences.save(self._folder)

    def actions(self) -> list[Action]:
        """What can be done now."""
        return [*self._of_files(), *self._of_view(), *self._of_going(), *self.capturing.actions(), *self._of_help()]

    def _above(self, actions: Sequence[Action]) -> None:
        self._opening.draw()
        self.capturing.draw()
        self._quitting.draw()
        self._exports.focused = self.window.focused
        self._exports.draw()
        self._help.draw(actions)
        self._palette.draw(actions)

    def _instead(self) -> bool:
        if self.space.source is None:
            self._welcome.draw()
            return True
        return nothing_yet(self.space)

    def _of_files(self) -> list[Action]:
        space = self.space
        recent = [Path(path) for path in space.preferences.recent]
        return [
            Action("File", "Open …", self._opening.ask, _OPEN),
            *(Action("File/Recent", path.name, partial(space.open, path), hint=str(path.parent)) for path in recent),
            Action("File", "Close", self._close_source, _CLOSE, is_possible=space.source is not None),
            *self._exports.actions(),
            Action("File", "Quit", self._quitting.ask, _QUIT, begins_group=True),
        ]

    def _of_view(self) -> list[Action]:
        preferences, window = self.space.preferences, self.window

        def paint(theme: str) -> None:
            preferences.theme = theme

        def scale(factor: float) -> None:
            preferences.scale_fonts(preferences.font_scale * factor)

        panels = [
            Action("View", title, partial(window.bring_to_front, title), keys, is_on=window.is_shown(title))
            for title, keys in zip(self.panels, _PANELS, strict=False)
        ]
        themes = [
            Action("View/Theme", theme.capitalize(), partial(paint, theme), is_on=preferences.theme == theme)
            for theme in THEMES
        ]
        return [
            *panels,
            *themes,
            Action("View", "Larger text", partial(scale, _LARGER), _LARGER_TEXT, begins_group=True),
            Action("View", "Smaller text", partial(scale, 1 / _LARGER), _SMALLER_TEXT),
            Action("View", "Usual text", partial(preferences.scale_fonts, 1.0), _USUAL_TEXT),
            Action("View", "Panels as at first", window.reset_layout, begins_group=True),
        ]

    def _of_going(self) -> list[Action]:
        space = self.space
        several = len(space.sources) > 1
        return [
            Action("Go", "Command …", self._palette.open, _COMMAND),
            Action("Go", "Next source", partial(self._go, 1), _NEXT, several, begins_group=True),
            Action("Go", "Previous source", partial(self._go, -1), _PREVIOUS, several),
            *(
                Action(
                    "Go/Source",
                    source.name,
                    partial(space.show, source),
                    is_on=source is space.source,
                )
                for source in space.sources
            ),
        ]

    def _of_help(self) -> list[Action]:
        return [Action("Help", "Keys", self._help.open, _KEYS)]

    def _go(self, step: int) -> None:
        sources = self.space.sources
        at = sources.index(self.space.source) if self.space.source in sources else 0
        self.space.show(sources[(at + step) % len(sources)])

    def _close_source(self) -> None:
        source = self.space.source
        if source is not None:
            self.space.catalog.remove(source)
            self.space.look_again()
