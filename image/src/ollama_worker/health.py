# SPDX-License-Identifier: GPL-3.0-or-later
"""Health: a file that the worker writes while it makes progress, and the command that reads it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

_FILE = "ollama-worker.heartbeat"

#: Seconds after which a heartbeat is too old.
MAX_AGE = 60.0


class HealthFile:
    """Says that the worker lives, and what it does."""

    def __init__(self, work_dir: Path) -> None:
        self._path = work_dir / _FILE

    def write(self, state: str) -> None:
        """Replace the file: a reader sees the old or the new one, never half."""
        temporary = self._path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({"time": time.time(), "pid": os.getpid(), "state": state}))
        temporary.replace(self._path)

    def check(self) -> str | None:
        """None when the worker is well, else what is wrong."""
        try:
            value = json.loads(self._path.read_text())
            age = time.time() - float(value["time"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"The worker has written no heartbeat to {self._path}: {error}"
        if age > MAX_AGE:
            return f"The worker's last heartbeat ({value.get('state')}) is {age:.0f} s old."
        return None
