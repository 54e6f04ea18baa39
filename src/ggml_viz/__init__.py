"""ggml-viz: record what a ggml runtime does while it runs, and say where the time went."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ggml_viz.model.trace import Trace

__version__ = "0.1.0"
__all__ = ["open"]


def open(path: str | os.PathLike[str]) -> Trace:
    """Opens a trace.

    Args:
        path: A file that `ggml-viz run` or the agent made.

    Returns:
        Its tables; docs/python-api.md says what is in them.

    Raises:
        ggml_viz.errors.UserError: There is no such file, or it is no trace.
    """
    from ggml_viz.model.trace import Trace

    return Trace.open(path)
