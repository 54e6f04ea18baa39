"""Who watches a program gives way to it: what is seen a moment later is better than a program that is slower."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

_NICENESS = 10


def give_way() -> None:
    """Lowers the priority of the calling thread, and of those that it starts from now on.

    Only Linux has a priority for each thread; a recorder in the same process must keep its own.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
