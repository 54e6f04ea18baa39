"""The application: what is shown where, and what can be done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from imgui_bundle import hello_imgui

from ggml_viz.desktop.actions import Action
from ggml_viz.desktop.panel import Panel
from ggml_viz.desktop.panels.compare import Compare
from ggml_viz.desktop.panels.graph import Graph
from ggml_viz.desktop.panels.overview import Overview
from ggml_viz.desktop.panels.tensor import Tensor
from ggml_viz.desktop.preferences import Preferences
from ggml_viz.desktop.window import Window
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.settings import Settings
from ggml_viz.sources.processes import LiveProcesses
from ggml_viz.sources.source import Catalog, Provider
from ggml_viz.sources.traces import TraceFiles

PANELS: Sequence[type[Panel]] = (Overview, Graph, Tensor, Compare)


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
        self.began = time.monotonic()
        self.settings = settings
        naming = settings.ui.naming
        traces = TraceFiles(files, naming=naming)
        providers: list[Provider] = [traces]
        if live is not None:
            providers.insert(0, LiveProcesses([live] if live else None, Path(), naming))
        preferences = Preferences.load(folder) if folder is not None else Preferences()
        self.space = Workspace(Catalog(providers), traces, preferences, hello_imgui.request_refresh)
        traces.load_named()
        self.panels = {panel.title: panel(self.space) for panel in PANELS}
        self.window = Window(self.space, list(self.panels.values()), self._actions(), folder)

    def run(self) -> None:
        """Shows the window until it is closed."""
        self.window.run()

    def close(self) -> None:
        """Ends what was started, and remembers what is to be remembered."""
        self.space.close()
        self.space.catalog.close()
        if self._folder is not None:
            self.space.preferences.save(self._folder)

    def _actions(self) -> list[Action]:
        return []
