# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting and stopping processes such that none is ever left behind (see ``init.py``)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from pasture_local import init

#: How long a process group may take to vanish after it was told to be killed, in seconds.
_KILL_SECONDS = 5.0

DEVNULL = subprocess.DEVNULL
PIPE = subprocess.PIPE
Process = subprocess.Popen[bytes]


def start(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | IO[Any] = subprocess.DEVNULL,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = subprocess.STDOUT,
    pass_fds: Sequence[int] = (),
) -> Process:
    """Start a command below an init process of its own, in a session of its own.

    Call it from a thread that lives as long as the process may: the kernel ends the process with the thread
    that started it (prctl(2), PR_SET_PDEATHSIG). The exit status of the result is the command's; 127 when it
    could not be started.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-S", init.__file__, str(os.getpid()), *map(str, command)],
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        pass_fds=pass_fds,
    )


def terminate(process: Process) -> None:
    """Ask the command to stop (SIGTERM)."""
    _signal(process, signal.SIGTERM)


def kill(process: Process) -> None:
    """Kill the command and everything it started, and wait until they are gone."""
    _signal(process, signal.SIGHUP)
    try:
        process.wait(_KILL_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def stop(process: Process, grace: float) -> None:
    """Ask the command to stop, and kill it after ``grace`` seconds."""
    terminate(process)
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        kill(process)


def _signal(process: Process, number: signal.Signals) -> None:
    # poll() first: it reaps, and Popen then refuses to signal a number that may belong to another by now.
    if process.poll() is None:
        process.send_signal(number)
