# SPDX-License-Identifier: GPL-3.0-or-later
"""Find all processes that a command started, also those that left its group, its session and its parent.

The command gets a variable of its own in its environment. Whoever has it is one of its processes, and so is
every descendant of such a process: the embedded cloud gives its tasks an environment made from scratch.
"""

from __future__ import annotations

import os
import re
import signal
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "PASTURE_MARK"
PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process; a pid is used again, a pid with the time of its start is not."""

    pid: int
    started: int
    parent: int
    command: str
    has_mark: bool


def read(folder: Path, mark: str) -> Process | None:
    """Read one process of /proc; None when it has ended, is a zombie, or belongs to somebody else."""
    try:
        # The name of the program is in parentheses and may hold anything (proc(5)).
        fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        variables = (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    state, parent, started = fields[0], int(fields[1]), int(fields[19])
    if state == "Z":
        return None
    return Process(int(folder.name), started, parent, command, f"{VARIABLE}={mark}".encode() in variables)


def pss(pid: int) -> int:
    """Return a process's proportional share of memory in bytes, 0 when it has ended.

    Pages that several processes share are divided among them, so that sums are true (proc(5), smaps_rollup).
    """
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return 0
    match = re.search(r"^Pss:\s+(\d+) kB$", text, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


class Mark:
    """A mark, and the processes that were ever seen under it.

    A descendant without the mark is lost when its parent ends, unless it was seen before: look often.
    """

    def __init__(self) -> None:
        self.value = uuid.uuid4().hex
        self._seen: set[tuple[int, int]] = set()

    def environment(self) -> dict[str, str]:
        """Return this environment with the mark in it."""
        return os.environ | {VARIABLE: self.value}

    def look(self) -> list[Process]:
        """Return every living process of the command that was started with this mark."""
        found = (read(folder, self.value) for folder in PROC.iterdir() if folder.name.isdigit())
        processes = {process.pid: process for process in found if process}

        def belongs(process: Process | None) -> bool:
            while process:
                if process.has_mark or (process.pid, process.started) in self._seen:
                    return True
                process = processes.get(process.parent)
            return False

        ours = [process for process in processes.values() if belongs(process)]
        self._seen.update((process.pid, process.started) for process in ours)
        return ours

    def kill(self) -> None:
        """Kill every process of the command, also what appears meanwhile; return when none is left.

        Some end by themselves between the look and the kill.
        """
        while ours := self.look():
            for process in ours:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.02)
