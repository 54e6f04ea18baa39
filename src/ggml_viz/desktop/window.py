"""The window: panels that dock, menus, the status bar, and when a frame is drawn."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imgui_bundle import hello_imgui, imgui, immapp

from ggml_viz.desktop import theme as themes
from ggml_viz.desktop.actions import Action, draw_menus, run_shortcuts
from ggml_viz.desktop.panel import Panel
from ggml_viz.desktop.theme import Theme, vec4
from ggml_viz.desktop.workspace import Workspace

_LOG = logging.getLogger("ggml_viz.desktop")

TITLE = "ggml-viz"
SIZE = 1600, 950
FONT_PIXELS = 15.0
# Nobody is there and nothing comes: now and then a frame all the same, so that clocks in it are about right.
_IDLE_FPS = 1 / 60
# While a trace is read, its progress moves; drawing more often would take the time that reading needs.
_READING_FPS = 5.0
# After somebody did something, or there was an answer, so long at full speed.
_ACTIVE_S = 0.25
_FRAMES = 600
_SWITCH_S = 0.0005
# What can be done changes seldom, and takes a while to be listed.
_OFFER_AGAIN_S = 0.1


class Window:
    """The application's window.

    Args:
        space: What all panels share.
        panels: In the order of their tabs.
        actions: Says what menus and keys offer now.
        folder: Where the layout is remembered; None: nowhere.
        started: Called once, when the first frame is shown.
        above: Draws dialogs and the like, above all panels; it is told what can be done now.
        menu_end: Draws the end of the menu bar.
        status: Draws the status bar.
        instead: Draws what stands in panels when there is nothing to show yet, and says whether it did.
        drawn: Called when a frame was drawn and is about to be shown.
        may_close: Whether the window may be closed, when somebody asks for it.

    Attributes:
        params: Of Hello ImGui; tests run the window themselves.
        focused: The panel that had the focus last.
        frames: What Python took for each of the last frames: of a core, and by the clock, in ms.
        first_frame: When the first frame was shown, by time.monotonic(); None: none yet.
    """

    def __init__(
        self,
        space: Workspace,
        panels: Sequence[Panel],
        actions: Callable[[], Sequence[Action]],
        folder: Path | None,
        started: Callable[[], None] = lambda: None,
        above: Callable[[Sequence[Action]], None] = lambda actions: None,
        menu_end: Callable[[], None] = lambda: None,
        status: Callable[[], None] = lambda: None,
        instead: Callable[[], bool] = lambda: False,
        drawn: Callable[[], None] = lambda: None,
        may_close: Callable[[], bool] = lambda: True,
    ) -> None:
        self._space = space
        self._panels = panels
        self._actions = actions
        self._started = started
        self._above = above
        self._menu_end = menu_end
        self._status = status
        self._instead = instead
        self._drawn = drawn
        self._may_close = may_close
        self._offered: Sequence[Action] = ()
        self._offered_at = float("-inf")
        self.focused: Panel | None = None
        self._applied: Theme | None = None
        self._took_s = self._used_s = 0.0
        self.frames: deque[tuple[float, float]] = deque(maxlen=_FRAMES)
        self.first_frame: float | None = None
        self.params = self._make_params(folder)

    def run(self) -> None:
        """Shows it until it is closed."""
        immapp.run(self.params, self.add_ons())

    @staticmethod
    def add_ons() -> Any:
        """What of imgui-bundle is used beside Dear ImGui."""
        return immapp.AddOnsParams(with_implot=True)

    def close(self) -> None:
        """Ends it after this frame."""
        self.params.app_shall_exit = True

    def reset_layout(self) -> None:
        """Puts all panels where they stood at first."""
        self.params.docking_params.layout_reset = True
        for window in self.params.docking_params.dockable_windows:
            window.is_visible = True

    def is_shown(self, title: str) -> bool:
        """Whether a panel is open, though another may stand before it."""
        return bool(self.params.docking_params.dockable_window_of_name(title).is_visible)

    def bring_to_front(self, title: str) -> None:
        """Shows a panel, opened again if it was closed."""
        window = self.params.docking_params.dockable_window_of_name(title)
        if window is None:
            return
        window.is_visible = True
        self.params.docking_params.focus_dockable_window(title)

    def _make_params(self, folder: Path | None) -> Any:
        params = hello_imgui.RunnerParams()
        params.app_window_params.window_title = TITLE
        params.app_window_params.window_geometry.size = SIZE
        params.app_window_params.restore_previous_geometry = folder is not None
        shown = params.imgui_window_params
        shown.default_imgui_window_type = hello_imgui.DefaultImGuiWindowType.provide_full_screen_dock_space
        shown.enable_viewports = folder is not None
        shown.show_menu_bar = shown.show_status_bar = True
        shown.show_menu_app = shown.show_menu_view = shown.show_status_fps = False
        shown.remember_theme = shown.remember_status_bar_settings = False
        # Dear ImGui smooths its edges itself; eight samples a pixel would cost several times as much, in software.
        params.renderer_backend_options.open_gl_options.anti_aliasing_samples = 0
        params.fps_idling.fps_idle = _IDLE_FPS
        params.fps_idling.time_active_after_last_event = _ACTIVE_S
        params.ini_disable = folder is None
        if folder is not None:
            params.ini_folder_type = hello_imgui.IniFolderType.absolute_path
            params.ini_filename = str(folder / "desktop.ini")
        params.docking_params.docking_splits = _splits()
        params.docking_params.dockable_windows = [self._docked(panel) for panel in self._panels]
        calls = params.callbacks
        calls.load_additional_fonts = _load_fonts
        calls.post_init = self._set_up
        calls.pre_new_frame = self._before_frame
        calls.show_menus = self._timed(self._menus)
        calls.show_status = self._timed(self._status)
        calls.post_render_dockable_windows = self._timed(self._above_all)
        calls.confirm_exit = self._may_close
        calls.before_swap = self._drawn
        calls.after_swap = self._after_frame
        return params

    def _docked(self, panel: Panel) -> Any:
        places = {"main": "MainDockSpace", "right": "RightSpace", "bottom": "BottomSpace"}
        window = hello_imgui.DockableWindow(panel.title, places[panel.place])
        window.gui_function = self._timed(lambda: self._draw(panel))
        return window

    def _draw(self, panel: Panel) -> None:
        at, size = imgui.get_window_pos(), imgui.get_window_size()
        panel.box = at.x, at.y, at.x + size.x, at.y + size.y
        if imgui.is_window_focused(imgui.FocusedFlags_.child_windows):
            self.focused = panel
        space = self._space
        if self.first_frame is None:
            imgui.text_disabled("…")
            hello_imgui.request_refresh()
            return
        if self._instead():
            return
        if space.source is None:
            imgui.text_disabled("Nothing is open.")
        elif space.described.get("state") == "failed":
            imgui.push_style_color(imgui.Col_.text, vec4(space.theme.finding))
            imgui.text_wrapped(str(space.described.get("error")))
            imgui.pop_style_color()
        elif not space.is_ready:
            imgui.text_disabled(f"Reading {space.described.get('name', 'the trace')} …")
            imgui.progress_bar(float(space.described.get("progress", 0.0)), (-1, 0))
        else:
            panel.draw()

    def _set_up(self) -> None:
        imgui.get_io().config_error_recovery_enable_tooltip = False
        # So long at the most a thread that prepares an answer holds up a frame, where it runs in Python.
        sys.setswitchinterval(_SWITCH_S)

    def _before_frame(self) -> None:
        began, used = time.perf_counter(), time.thread_time()
        space = self._space
        wanted = space.preferences.theme
        is_dark = themes.system_is_dark() if wanted == "system" else wanted == "dark"
        if self._applied is None or self._applied.is_dark != is_dark:
            self._applied = space.theme = Theme(is_dark)
            self._applied.apply()
        imgui.get_style().font_scale_main = space.preferences.font_scale
        # What there is to show is read once there is a window: it would keep the first frame waiting.
        if self.first_frame is not None:
            space.look()
        for title in space.to_front:
            self.bring_to_front(title)
        space.to_front.clear()
        if time.monotonic() - self._offered_at > _OFFER_AGAIN_S:
            self._offered, self._offered_at = self._actions(), time.monotonic()
        self.params.fps_idling.fps_idle = _IDLE_FPS if space.is_ready or space.source is None else _READING_FPS
        self._took_s, self._used_s = time.perf_counter() - began, time.thread_time() - used

    def _menus(self) -> None:
        draw_menus(self._offered)
        self._menu_end()

    def _above_all(self) -> None:
        # While a dialog asks for something, nothing else is done.
        if imgui.internal.get_top_most_popup_modal() is None:
            run_shortcuts(self._offered)
        self._above(self._offered)

    def _after_frame(self) -> None:
        self.frames.append((self._used_s * 1e3, self._took_s * 1e3))
        if self.first_frame is None:
            self.first_frame = time.monotonic()
            _LOG.info("the window is shown")
            self._started()

    def _timed(self, draw: Callable[[], None]) -> Callable[[], None]:
        """Draws, adds up what that took, and keeps a fault of ours from ending the application."""
        failed = [False]

        def run() -> None:
            began, used = time.perf_counter(), time.thread_time()
            if failed[0]:
                imgui.text_disabled("This cannot be shown, by a fault of ggml-viz.")
                return
            state = imgui.internal.ErrorRecoveryState()
            imgui.internal.error_recovery_store_state(state)
            try:
                draw()
            except Exception:
                failed[0] = True
                _LOG.exception("a part of the window failed")
                # Ends what it had begun and not ended, which is no reason to end the program.
                imgui.get_io().config_error_recovery_enable_assert = False
                imgui.internal.error_recovery_try_to_recover_state(state)
            self._took_s += time.perf_counter() - began
            self._used_s += time.thread_time() - used

        return run


def _splits() -> list[Any]:
    """At first: the timeline below everything, the inspector at the right."""
    bottom = hello_imgui.DockingSplit()
    bottom.initial_dock, bottom.new_dock = "MainDockSpace", "BottomSpace"
    bottom.direction, bottom.ratio = imgui.Dir.down, 0.42
    right = hello_imgui.DockingSplit()
    right.initial_dock, right.new_dock = "MainDockSpace", "RightSpace"
    right.direction, right.ratio = imgui.Dir.right, 0.28
    return [bottom, right]


def _load_fonts() -> None:
    hello_imgui.load_font("fonts/Roboto/Roboto-Regular.ttf", FONT_PIXELS)
    # Arrows and dots, which that one lacks.
    more = hello_imgui.FontLoadingParams()
    more.merge_to_last_font = True
    hello_imgui.load_font("fonts/Inconsolata-Medium.ttf", FONT_PIXELS, more)
