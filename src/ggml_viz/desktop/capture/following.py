"""Has live processes shown, as soon as they are there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ggml_viz.desktop.workspace import Workspace
from ggml_viz.sources.processes import LiveProcesses, LiveSource

_LOOK_S = 0.2


@dataclass
class Awaited:
    """A live process that is to be shown.

    Attributes:
        fits: Says whether a source is it.
        is_hopeless: Says that it will not come any more.
        is_over: It came, or will not.
    """

    fits: Callable[[LiveSource], bool]
    is_hopeless: Callable[[], bool]
    is_over: threading.Event = field(default_factory=threading.Event)


class Following:
    """The live processes that were asked for.

    Args:
        space: Where they are shown.
        naming: A file of naming rules.
    """

    def __init__(self, space: Workspace, naming: Path | None) -> None:
        self._space = space
        self._naming = naming
        self._awaited: list[Awaited] = []

    @property
    def takes_all(self) -> bool:
        """Whether all watched processes are shown as they come."""
        return any(isinstance(each, LiveProcesses) and each.takes_all for each in self._space.catalog.providers)

    def everything(self) -> None:
        """Shows all watched processes from now on."""
        self._processes().also(everything=True)
        self._space.look_again()

    def process(self, pid: int, is_hopeless: Callable[[], bool]) -> Awaited:
        """Shows a process as soon as it is watched."""
        self._processes().also(pid=pid)
        return self._await(Awaited(lambda source: source.watch.pid == pid and not source.watch.ended, is_hopeless))

    def token(self, token: str, is_hopeless: Callable[[], bool]) -> Awaited:
        """Shows the processes whose segments' names start so: the first of them as soon as it is there."""
        self._processes().also(token=token)
        return self._await(Awaited(lambda source: token_of(source) == token, is_hopeless))

    def look(self) -> None:
        """Shows what has come; to be called for each frame."""
        for awaited in list(self._awaited):
            source = next((each for each in self._space.sources if self._fits(awaited, each)), None)
            if source is not None:
                self._space.show(source)
                awaited.is_over.set()
            if awaited.is_over.is_set():
                self._awaited.remove(awaited)

    def close(self) -> None:
        """Awaits nothing more."""
        for awaited in self._awaited:
            awaited.is_over.set()

    def _processes(self) -> LiveProcesses:
        catalog = self._space.catalog
        found = next((each for each in catalog.providers if isinstance(each, LiveProcesses)), None)
        if found is None:
            found = LiveProcesses([], Path(), self._naming)
            catalog.add(found)
        return found

    def _await(self, awaited: Awaited) -> Awaited:
        processes = self._processes()

        # A frame is drawn only when something has come.
        def wait() -> None:
            while not awaited.is_over.is_set():
                hopeless = awaited.is_hopeless()
                if any(self._fits(awaited, source) for source in processes.sources()):
                    self._space.look_again()
                elif hopeless:
                    awaited.is_over.set()
                self._space.wake()
                time.sleep(_LOOK_S)

        self._awaited.append(awaited)
        threading.Thread(target=wait, name="await a process", daemon=True).start()
        return awaited

    @staticmethod
    def _fits(awaited: Awaited, source: object) -> bool:
        return isinstance(source, LiveSource) and awaited.fits(source)


def token_of(source: LiveSource) -> str:
    """What the name of its segment starts with: one for each recording."""
    return source.watch.segment.name.partition(".")[0]
