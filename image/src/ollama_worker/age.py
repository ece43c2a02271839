# SPDX-License-Identifier: GPL-3.0-or-later
"""How old this process is: what a cold start is counted from."""

from __future__ import annotations

import os
import time
from pathlib import Path

_IMPORTED = time.monotonic()


def process_age() -> float:
    """Seconds since this process began, the start of the interpreter and its imports included.

    Where the kernel does not tell (it is Linux's way), seconds since this module was imported.
    """
    try:
        # Of the fields behind the name, which may hold anything, the 20th is the start, in ticks since boot (proc(5)).
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError):
        return time.monotonic() - _IMPORTED
