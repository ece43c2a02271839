# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting the containers of tasks: as processes of this machine."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pasture_local import processes
from pasture_local.agent.definition import Container, on_the_host
from pasture_local.home import Home

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CannotStartError(Exception):
    """The container cannot be started; the message is the reason that the task gets."""


class RunningContainer(Protocol):
    """A container that was started."""

    @property
    def pid(self) -> int | None: ...

    def exit_code(self) -> int | None:
        """None while it runs."""

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM)."""

    def kill(self) -> None:
        """Kill it and all in it, and wait for that."""

    def execute(self, command: Sequence[str]) -> processes.Process:
        """Start a command beside it, as ``docker exec`` does."""


class TaskRunner(Protocol):
    """Starts containers."""

    def start(self, task_id: str, container: Container, log: Path) -> RunningContainer:
        """Start one, its output appended to ``log``; raise CannotStartError when that fails."""


class _RunningProcess:
    def __init__(self, process: processes.Process, environment: Mapping[str, str], folder: Path) -> None:
        self._process = process
        self._environment = environment
        self._folder = folder

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        return self._process.poll()

    def terminate(self) -> None:
        processes.terminate(self._process)

    def kill(self) -> None:
        processes.kill(self._process)

    def execute(self, command: Sequence[str]) -> processes.Process:
        return processes.start(
            command,
            env=self._environment,
            cwd=self._folder,
            stdout=processes.DEVNULL,
            stderr=processes.DEVNULL,
        )


class ProcessRunner:
    """Runs each container as a process, with the environment that it would have inside the image and no more.

    A process has no file systems of its own: settings that name a mounted path are pointed to the folder of the
    host that stands for it.
    """

    def __init__(self, home: Home, environment: Mapping[str, str]) -> None:
        self._home = home
        self._base = {
            "PATH": os.pathsep.join([str(home.bin), str(Path(sys.executable).parent), _SYSTEM_PATH]),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }
        # An engine that the user runs already is used by all tasks.
        if host := environment.get("OLLAMA_HOST"):
            self._base["OLLAMA_HOST"] = host
        _provide_ollama(home.bin, environment.get("PATH", _SYSTEM_PATH))

    def start(self, task_id: str, container: Container, log: Path) -> RunningContainer:
        folder = self._home.tasks / task_id / container.name
        temporary = folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        for host_folder in container.mounts.values():
            host_folder.mkdir(parents=True, exist_ok=True)
        given = {key: on_the_host(value, container.mounts) for key, value in container.environment.items()}
        environment = {**self._base, "HOME": str(folder), "TMPDIR": str(temporary), **given}
        command = [on_the_host(argument, container.mounts) for argument in container.command]
        program = shutil.which(command[0], path=environment["PATH"])
        if program is None:
            message = f'CannotStartContainerError: exec: "{command[0]}": executable file not found in $PATH'
            raise CannotStartError(message)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = processes.start([program, *command[1:]], env=environment, cwd=folder, stdout=output)
        return _RunningProcess(process, environment, folder)


def _provide_ollama(folder: Path, path: str) -> None:
    """Make ``ollama`` a command of the tasks: the real one if this machine has it, else the embedded engine."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "ollama"
    link.unlink(missing_ok=True)
    if real := shutil.which("ollama", path=path):
        link.symlink_to(real)
        return
    engine = Path(sys.executable).parent / "pasture-engine"
    link.write_text(f'#!/bin/sh\nexec {shlex.quote(str(engine))} "$@"\n')
    link.chmod(0o755)


def stop_all(containers: Sequence[RunningContainer], grace: float) -> None:
    """Stop containers side by side, and kill what is left of them after ``grace`` seconds."""
    for container in containers:
        container.terminate()
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(c.exit_code() is None for c in containers):
        time.sleep(0.05)
    for container in containers:
        container.kill()
