"""The settings: what can be set (`model`), with flags (`arguments`) and in files (`files`), all together (`load`)."""

from ggml_viz.settings.arguments import (
    add_capture_arguments,
    add_common_arguments,
    add_output_arguments,
    add_ui_arguments,
)
from ggml_viz.settings.load import load_settings
from ggml_viz.settings.model import Capture, Logging, Output, Settings, Ui

__all__ = [
    "Capture",
    "Logging",
    "Output",
    "Settings",
    "Ui",
    "add_capture_arguments",
    "add_common_arguments",
    "add_output_arguments",
    "add_ui_arguments",
    "load_settings",
]
