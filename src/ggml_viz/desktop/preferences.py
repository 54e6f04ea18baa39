"""What the desktop remembers from one time to the next: recent files, theme, size of fonts, bookmarks."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from ggml_viz import system

_MOST_RECENT = 12
_MOST_BOOKMARKED = 64
THEMES = ("system", "light", "dark")
SMALLEST, LARGEST = 0.6, 3.0


@dataclass
class Preferences:
    """What is remembered.

    Attributes:
        theme: One of THEMES.
        font_scale: Of all text.
        recent: Traces, the newest first.
        bookmarks: Moments in seconds, by trace.
    """

    theme: str = "system"
    font_scale: float = 1.0
    recent: list[str] = field(default_factory=list)
    bookmarks: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Preferences:
        """What was remembered; of what makes no sense the default."""
        preferences = cls()
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError, LookupError):
            found = json.loads(_file(folder).read_text())
            if found.get("theme") in THEMES:
                preferences.theme = found["theme"]
            preferences.scale_fonts(float(found.get("font_scale", 1.0)))
            preferences.recent = [str(path) for path in found.get("recent", [])][:_MOST_RECENT]
            marks = found.get("bookmarks", {})
            preferences.bookmarks = {str(path): [float(at) for at in marks[path]] for path in marks}
        return preferences

    def save(self, folder: Path) -> None:
        """Remembers it; a folder that cannot be written is no reason to complain."""
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            new = _file(folder).with_suffix(f".{os.getpid()}.new")
            new.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")
            new.replace(_file(folder))

    def opened(self, path: Path) -> None:
        """Puts a trace first among the recent ones."""
        text = str(path.resolve())
        self.recent = [text, *(other for other in self.recent if other != text)][:_MOST_RECENT]

    def bookmark(self, name: str, moments: list[float]) -> None:
        """Has these bookmarks for a trace, and no others."""
        self.bookmarks.pop(name, None)
        if moments:
            self.bookmarks[name] = sorted(moments)
        for oldest in list(self.bookmarks)[:-_MOST_BOOKMARKED]:
            del self.bookmarks[oldest]

    def scale_fonts(self, scale: float) -> None:
        """Has text of so many times its usual size."""
        self.font_scale = min(max(scale, SMALLEST), LARGEST)


def default_folder() -> Path:
    """Where such things are kept on this system."""
    return system.state_folder()


def _file(folder: Path) -> Path:
    return folder / "desktop.json"
