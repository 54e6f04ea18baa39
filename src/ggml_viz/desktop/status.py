"""The status bar: how what is shown stands, what watching it costs, and what is to be said."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgui_bundle import imgui

from ggml_viz.desktop import draw
from ggml_viz.desktop.capture.recorder import Recorded, recorded
from ggml_viz.desktop.theme import vec4
from ggml_viz.desktop.workspace import Workspace
from ggml_viz.numbers import count, percent, plural, significant, size
from ggml_viz.sources.processes import LiveSource

_COST_S = 2.0
_STATES = {"paused": "paused", "idle": "stopped", "ended": "process gone", "loading": "reading", "failed": "failed"}


class Status:
    """Draws the status bar's content.

    Args:
        space: What panels share.
    """

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._cost = space.question()
        self._recorded = space.question()

    def draw(self) -> None:
        """Draws it."""
        space, source, described = self._space, self._space.source, self._space.described
        if source is not None and described:
            other: Recorded | None = None
            if isinstance(source, LiveSource):
                segment = source.watch.segment
                other = self._recorded.ask((source.id, space.moment()), lambda: recorded(segment))
                if described["state"] == "ended":
                    other = None
            self._state(described, other)
            for text, hint in parts(described):
                self._part(text, hint)
            if described.get("lost"):
                self._part(f"{count(described['lost'])} lost", _LOST, space.theme.finding)
            if space.is_ready:
                report = self._cost.ask((source.id, space.moment(_COST_S)), source.report)
                if report is not None and (text := cost_words(report, source.is_live)):
                    self._part(text, cost_hint(report))
            if file := file_words(described, other):
                self._part(*file)
        self._notice(source is not None)

    def _state(self, described: Mapping[str, Any], other: Recorded | None) -> None:
        state = state_words(described, other is not None)
        imgui.text_unformatted(state)
        draw.hint(STATE_HINTS.get(state, ""))

    def _part(self, text: str, hint: str, colour: tuple[int, int, int] | None = None) -> None:
        imgui.same_line()
        imgui.text_disabled("·")
        imgui.same_line()
        imgui.push_style_color(imgui.Col_.text, vec4(colour or self._space.theme.faint))
        imgui.text_unformatted(text)
        imgui.pop_style_color()
        draw.hint(hint)

    def _notice(self, follows: bool) -> None:
        notice = self._space.notice
        if notice is None:
            if not follows:
                imgui.text_disabled("Nothing is open.")
            return
        if follows:
            imgui.same_line(0, 2 * imgui.get_font_size())
        # It may be long; the button stays in sight.
        name = "Dismiss##notice"
        style = imgui.get_style()
        room = imgui.get_content_region_avail().x - imgui.calc_text_size("Dismiss").x - 4 * style.frame_padding.x
        text = one_line(notice.text)
        whole = f"{text}  {one_line(notice.hint)}" if notice.hint else text
        shown = fitting(whole, max(room, 8 * imgui.get_font_size()), lambda part: imgui.calc_text_size(part).x)
        theme = self._space.theme
        begin, rest = shown[: len(text)], shown[len(text) :]
        imgui.push_style_color(imgui.Col_.text, vec4(theme.finding if notice.is_error else theme.ink))
        imgui.text_unformatted(begin)
        imgui.pop_style_color()
        draw.hint(f"{notice.text}\n{notice.hint}" if notice.hint else notice.text)
        if rest:
            imgui.same_line(0, 0)
            imgui.text_unformatted(rest)
            draw.hint(notice.hint or "")
        imgui.same_line()
        if imgui.small_button(name):
            self._space.dismiss()


STATE_HINTS = {
    "recording": "What it does is shown here, and written into a file.",
    "watched": "What it does is shown here; nobody writes it into a file.",
    "paused": "It makes no records until it is resumed.",
    "stopped": "The agent in it idles. Resume wakes it.",
    "waiting for ggml": "It is watched, and has computed no graph yet.",
    "process gone": "It has ended. What it did is still shown.",
}
_LOST = (
    "The program writes what it does into rings in memory and never waits for a reader. What was overwritten before it "
    "was read is counted as lost."
)


def state_words(described: Mapping[str, Any], is_recorded: bool) -> str:
    """How a source stands, in plain words.

    Args:
        described: What it says of itself.
        is_recorded: Whether its records are written into a file, by whomever.
    """
    state = described["state"]
    if state in _STATES:
        return _STATES[state]
    if described["kind"] == "trace":
        return "trace"
    if not described.get("records"):
        return "waiting for ggml"
    return "recording" if is_recorded or described.get("recording") else "watched"


def parts(described: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What it does now and how many records that made, each with what is to be known about it."""
    found = []
    phase, rate = described.get("phase"), described.get("tokens_per_second")
    if described["kind"] == "live" and described["state"] == "running" and described.get("records"):
        what = phase or "computes nothing now"
        now = f"{phase} {significant(rate)} t/s" if phase and rate else what
        found.append((now, "Tokens that went through the model in the last whole second."))
    if described.get("records"):
        found.append(
            (plural(described["records"], "record"), "One for each node on each thread, graph, split and copy.")
        )
    return found


def cost_words(report: Mapping[str, Any], is_live: bool) -> str:
    """What recording costs; empty: nothing is known of that."""
    overhead = report["overhead"]
    if not overhead["ns_per_record"] or not report["trace"]["records"]:
        return ""
    return f"recording {'costs' if is_live else 'cost'} {percent(overhead['share'])}, measured"


def cost_hint(report: Mapping[str, Any]) -> str:
    """How that is known."""
    return (
        f"Recording one node on one thread took {report['overhead']['ns_per_record']:.0f} ns, measured in the process "
        f"itself; that times the {plural(report['trace']['records'], 'record')}, of the threads' time inside graphs."
    )


def file_words(described: Mapping[str, Any], other: Recorded | None) -> tuple[str, str] | None:
    """The file that it is recorded to with its size, and the whole path; None: none is known."""
    own = described.get("recording")
    if own:
        return f"to {Path(own['path']).name}, {size(own['bytes'])}", os.path.abspath(own["path"])
    if other is not None and other.path is not None:
        return f"to {other.path.name}, {size(other.bytes)}", f"{other.path}\nWritten by process {other.recorder}."
    if other is not None:
        return f"by process {other.recorder}", "It writes into a file that does not show."
    return None


def one_line(text: str | None) -> str:
    """Text of which nothing stands below another."""
    return " ".join((text or "").split())


def fitting(text: str, room: float, width_of: Any) -> str:
    """As much of a text as there is room for."""
    if width_of(text) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width_of(text[:middle] + "…") <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low] + "…"
