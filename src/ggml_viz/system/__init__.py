"""The one place for what differs by system: each has a module with the same functions, and this chooses.

`posix` is what Linux and macOS share. Nothing outside of this folder asks which system this is.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from ggml_viz.system.windows import *  # noqa: F403
elif sys.platform == "darwin":
    from ggml_viz.system.macos import *  # noqa: F403
else:
    from ggml_viz.system.linux import *  # noqa: F403
