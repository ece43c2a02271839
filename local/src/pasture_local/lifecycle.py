# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a cloud up and down from outside: what the commands and the demonstration share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from pasture_local.home import DEFAULT_REGION, Home, State
from pasture_local.supervisor import RELEASE, StartError

_STOP_SECONDS = 40.0


class Lifeline:
    """Ties a cloud to the life of this process: the kernel closes its end, however this process dies."""

    def __init__(self) -> None:
        self.read_end, self._write_end = os.pipe()

    def release(self) -> None:
        """Let the cloud outlive this process."""
        os.write(self._write_end, RELEASE)


def up(
    home: Home,
    *,
    port: int = 0,
    region: str = DEFAULT_REGION,
    speed: float = 1.0,
    record: Path | None = None,
    lifeline: Lifeline | None = None,
) -> tuple[State, bool]:
    """Start a cloud unless one runs; return its state and whether it was started now.

    Raises StartError with a sentence when it cannot be started.
    """
    home.make()
    if state := home.read_state():
        return state, False
    ready_end, tell_end = os.pipe()
    passed = [tell_end] + ([lifeline.read_end] if lifeline else [])
    command = [sys.executable, "-m", "pasture_local.supervisor", "--home", str(home.path)]
    command += ["--ready-fd", str(tell_end), "--port", str(port), "--region", region, "--speed", str(speed)]
    if lifeline:
        command += ["--lifeline-fd", str(lifeline.read_end)]
    if record:
        command += ["--record", str(record.absolute())]
    with (home.logs / "supervisor.log").open("ab") as log:
        # In a session of its own: Ctrl-C in the terminal is for whoever typed it.
        supervisor = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, pass_fds=passed
        )
    os.close(tell_end)
    if lifeline:
        os.close(lifeline.read_end)
    with os.fdopen(ready_end) as ready:
        try:
            line = ready.readline()
        except BaseException:
            supervisor.terminate()
            raise
    answer = json.loads(line) if line else {"error": f"The supervisor died; see {home.logs}/supervisor.log."}
    if "error" in answer:
        supervisor.wait()
        # Another `up` may have won the race for the lock.
        if (state := _await_state(home, 0.0)) is not None:
            return state, False
        raise StartError(answer["error"])
    state = _await_state(home, 5.0)
    if state is None:
        raise StartError(f"The cloud ended right after its start; see {home.logs}.")
    return state, True


def _await_state(home: Home, seconds: float) -> State | None:
    deadline = time.monotonic() + seconds
    while (state := home.read_state()) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return state


def _lives(pid: int) -> bool:
    """Whether a process is more than an entry that its parent has not read yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def down(home: Home) -> bool:
    """Stop the cloud and everything in it; return whether there was one.

    Raises TimeoutError when it is still there after 40 s.
    """
    if not home.path.exists() or not home.is_running():
        return False
    deadline = time.monotonic() + _STOP_SECONDS
    supervisor = 0
    while home.is_running() or (supervisor and _lives(supervisor)):
        # A supervisor that is still starting has not written its state yet.
        if not supervisor and (state := home.read_state()):
            supervisor = state.pid
            # It may end by itself just now.
            with suppress(ProcessLookupError):
                os.kill(supervisor, signal.SIGTERM)
        if time.monotonic() > deadline:
            raise TimeoutError(f"The cloud in {home.path} has not stopped after {_STOP_SECONDS:.0f} s.")
        time.sleep(0.05)
    return True
