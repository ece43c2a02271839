# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting the containers of tasks: as containers, by podman."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pasture_local import processes
from pasture_local.agent.definition import Container
from pasture_local.agent.runner import CannotStartError, ProcessRunner, RunningContainer, TaskRunner
from pasture_local.home import Home

#: What says that tasks are to be containers. They are processes otherwise, which needs nothing to be built.
SWITCH = "PASTURE_LOCAL_CONTAINERS"

# Podman asks for more open files and processes than a container of its own may allow it.
_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
_PULL_SECONDS = 600.0
_KILL_SECONDS = 20.0


def runner_for(home: Home, environment: Mapping[str, str]) -> TaskRunner:
    """What runs tasks: podman when ``PASTURE_LOCAL_CONTAINERS`` is ``podman``, else processes.

    :raises ValueError: when podman is wanted and is not there, or something else is.
    """
    wanted = environment.get(SWITCH, "")
    if not wanted:
        return ProcessRunner(home, environment)
    if wanted != "podman":
        raise ValueError(f"{SWITCH} is '{wanted}'; it must be empty or podman.")
    if shutil.which("podman", path=environment.get("PATH")) is None:
        raise ValueError(f"{SWITCH} is podman, and there is no podman on the PATH.")
    return PodmanRunner(environment)


class _RunningInPodman:
    """A container; what is held of it is the ``podman run`` in the foreground, which passes signals on."""

    def __init__(self, name: str, process: processes.Process, environment: Mapping[str, str]) -> None:
        self._name = name
        self._process = process
        self._environment = environment

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        return self._process.poll()

    def terminate(self) -> None:
        processes.terminate(self._process)

    def kill(self) -> None:
        # First what is in the container: it would outlive the command that started it.
        command = ["podman", "rm", "--force", "--time", "0", "--ignore", self._name]
        subprocess.run(
            command, env=self._environment, capture_output=True, timeout=_KILL_SECONDS, check=False
        )
        processes.kill(self._process)

    def execute(self, command: Sequence[str]) -> processes.Process:
        return processes.start(
            ["podman", "exec", self._name, *command],
            env=self._environment,
            stdout=processes.DEVNULL,
            stderr=processes.DEVNULL,
        )


class PodmanRunner:
    """Runs each container as one of podman's, as hardened as its definition asks for.

    It shares the network of this machine, since emulator and endpoints listen on its loopback alone.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def start(self, task_id: str, container: Container, log: Path) -> RunningContainer:
        self._pull(container.image)
        for folder in container.mounts.values():
            folder.mkdir(parents=True, exist_ok=True)
            # An access point makes its root folder for the user that it stands for.
            if os.geteuid() == 0 and container.sandbox.owner:
                os.chown(folder, *container.sandbox.owner)
        name = f"pasture-{task_id}-{container.name}"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = ["podman", *self._runtime(), "run", "--rm", "--name", name, *run_options(container)]
        with log.open("ab") as output:
            process = processes.start(
                [*command, container.image, *container.command[1:]], env=self._environment, stdout=output
            )
        return _RunningInPodman(name, process, self._environment)

    def _runtime(self) -> list[str]:
        # Where both are there, crun refuses the hybrid control groups of some build machines.
        return ["--runtime", "runc"] if shutil.which("runc", path=self._environment.get("PATH")) else []

    def _pull(self, image: str) -> None:
        if self._podman("image", "exists", image).returncode == 0:
            return
        # A registry on this machine has no certificate.
        local = image.startswith(("127.0.0.1:", "localhost:"))
        result = self._podman("pull", "--quiet", *(["--tls-verify=false"] if local else []), image)
        if result.returncode:
            said = (result.stderr.strip().splitlines() or ["podman said nothing"])[-1]
            raise CannotStartError(f"CannotPullContainerError: {image}: {said}")

    def _podman(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["podman", *arguments]
        return subprocess.run(
            command,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_PULL_SECONDS,
            check=False,
        )


def run_options(container: Container) -> Iterator[str]:
    """What podman is told about a container of a task definition."""
    sandbox = container.sandbox
    yield from ("--network", "host", *_LIMITS)
    if sandbox.read_only_root:
        yield from ("--read-only", "--read-only-tmpfs=false")
    if sandbox.user:
        yield from ("--user", sandbox.user)
    if sandbox.init:
        yield "--init"
    for capability in sandbox.dropped_capabilities:
        yield from ("--cap-drop", capability.lower())
    for path, mebibytes in sandbox.tmpfs.items():
        yield from ("--tmpfs", f"{path}:rw,size={mebibytes}m,mode=1777")
    for inside, outside in container.mounts.items():
        yield from ("--volume", f"{outside}:{inside}")
    for key, value in container.environment.items():
        yield from ("--env", f"{key}={value}")
    if container.command:
        yield from ("--entrypoint", container.command[0])
