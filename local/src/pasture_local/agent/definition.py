# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task definition asks for, in the terms of what is to be started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: A process has no image whose entry point it could take; this is the worker image's.
IMAGE_ENTRY_POINT = ("ollama-worker",)
#: The agent's default, in seconds (ECS_CONTAINER_STOP_TIMEOUT):
#: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html
DEFAULT_STOP_TIMEOUT = 30.0


@dataclass(frozen=True)
class HealthCheck:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html; times in seconds."""

    command: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 5.0
    retries: int = 3
    start_period: float = 0.0

    @classmethod
    def of(cls, described: Mapping[str, Any] | None) -> HealthCheck | None:
        """From a container definition; None when there is none, or when it is switched off (``NONE``)."""
        command = tuple((described or {}).get("command") or ())
        if described is None or not command or command[0] == "NONE":
            return None
        if command[0] == "CMD":
            command = command[1:]
        else:
            command = ("/bin/sh", "-c", " ".join(command[1:] if command[0] == "CMD-SHELL" else command))
        return cls(
            command=command,
            interval=float(described.get("interval") or 30),
            timeout=float(described.get("timeout") or 5),
            retries=int(described.get("retries") or 3),
            start_period=float(described.get("startPeriod") or 0),
        )


@dataclass(frozen=True)
class LogTarget:
    """Where the awslogs driver writes."""

    group: str
    stream: str


@dataclass(frozen=True)
class Sandbox:
    """What a container may, as far as it is more or less than usual. A process has none of this."""

    user: str = ""
    read_only_root: bool = False
    dropped_capabilities: tuple[str, ...] = ()
    tmpfs: Mapping[str, int] = field(default_factory=dict)  # path -> MiB
    init: bool = False

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Sandbox:
        """From a container definition."""
        linux = described.get("linuxParameters") or {}
        return cls(
            user=described.get("user") or "",
            read_only_root=bool(described.get("readonlyRootFilesystem")),
            dropped_capabilities=tuple((linux.get("capabilities") or {}).get("drop") or ()),
            tmpfs={entry["containerPath"]: int(entry["size"]) for entry in linux.get("tmpfs") or ()},
            init=bool(linux.get("initProcessEnabled")),
        )

    @property
    def owner(self) -> tuple[int, int] | None:
        """User and group as numbers; None when they are names or not given."""
        user, _, group = self.user.partition(":")
        return (int(user), int(group or user)) if user.isdigit() and (group or user).isdigit() else None


@dataclass(frozen=True)
class Container:
    """One container of a task, ready to be started by whatever starts it."""

    name: str
    image: str
    command: tuple[str, ...]  # entry point and command
    environment: Mapping[str, str]
    mounts: Mapping[str, Path] = field(default_factory=dict)  # path in the container -> folder of the host
    essential: bool = True
    stop_timeout: float = DEFAULT_STOP_TIMEOUT
    health_check: HealthCheck | None = None
    log: LogTarget | None = None
    sandbox: Sandbox = field(default_factory=Sandbox)


def stream_name(options: Mapping[str, str], container: str, task_id: str) -> str:
    """https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html (awslogs-stream-prefix)"""
    prefix = options.get("awslogs-stream-prefix")
    return f"{prefix}/{container}/{task_id}" if prefix else task_id


def on_the_host(value: str, mounts: Mapping[str, Path]) -> str:
    """A setting that names a mounted folder, or something in it, as a process outside of a container sees it."""
    for inside, outside in mounts.items():
        root = inside.rstrip("/")
        if value == root or value.startswith(f"{root}/"):
            return f"{outside}{value[len(root) :]}"
    return value


def container(
    described: Mapping[str, Any],
    overrides: Mapping[str, Any],
    *,
    task_id: str,
    mounts: Mapping[str, Path],
    secrets: Mapping[str, str],
    injected: Mapping[str, str],
) -> Container:
    """A container of a task definition with the overrides of RunTask.

    ``mounts`` maps volumes by name to folders of the host; ``secrets`` are resolved; ``injected`` is what the
    agent adds by itself.
    """
    name = described["name"]
    override: Mapping[str, Any] = next(
        (o for o in overrides.get("containerOverrides") or () if o.get("name") == name), {}
    )
    mounted = {
        point["containerPath"]: mounts[point["sourceVolume"]]
        for point in described.get("mountPoints") or ()
        if point.get("sourceVolume") in mounts
    }
    environment = {pair["name"]: pair.get("value", "") for pair in described.get("environment") or ()}
    environment |= secrets
    environment |= {pair["name"]: pair.get("value", "") for pair in override.get("environment") or ()}
    entry_point = tuple(described.get("entryPoint") or IMAGE_ENTRY_POINT)
    command = tuple(override.get("command") or described.get("command") or ())
    log = described.get("logConfiguration") or {}
    options = log.get("options") or {}
    target = None
    if log.get("logDriver") == "awslogs" and options.get("awslogs-group"):
        target = LogTarget(options["awslogs-group"], stream_name(options, name, task_id))
    return Container(
        name=name,
        image=described.get("image", ""),
        command=entry_point + command,
        environment={**environment, **injected},
        mounts=mounted,
        essential=described.get("essential", True),
        stop_timeout=float(described.get("stopTimeout") or DEFAULT_STOP_TIMEOUT),
        health_check=HealthCheck.of(described.get("healthCheck")),
        log=target,
        sandbox=Sandbox.of(described),
    )
