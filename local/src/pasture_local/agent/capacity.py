# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances for tasks: what fits where, and how many instances managed scaling wants.

Pure functions over what ECS and Auto Scaling were asked. How AWS does it:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-auto-scaling.html
https://aws.amazon.com/blogs/containers/deep-dive-on-amazon-ecs-cluster-auto-scaling/
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Managed scaling takes instances away after 15 one-minute datapoints below the target.
SCALE_IN_SECONDS = 15 * 60.0


@dataclass(frozen=True)
class Size:
    """What an instance has, or a task needs: CPU units (1024 to a vCPU), MiB of memory, GPUs."""

    cpu: int = 0
    memory: int = 0
    gpus: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.cpu + other.cpu, self.memory + other.memory, self.gpus + other.gpus)

    def fits(self, room: Size) -> bool:
        return self.cpu <= room.cpu and self.memory <= room.memory and self.gpus <= room.gpus


def needs(definition: Mapping[str, Any]) -> Size:
    """What a task of a definition reserves: the task's figures, or the sum of its containers'."""
    containers = definition.get("containerDefinitions") or []
    gpus = sum(
        int(requirement["value"])
        for container in containers
        for requirement in container.get("resourceRequirements") or ()
        if requirement.get("type") == "GPU"
    )
    cpu = int(definition.get("cpu") or 0) or sum(int(c.get("cpu") or 0) for c in containers)
    # The soft limit is what is reserved when both are given.
    memory = int(definition.get("memory") or 0) or sum(
        int(c.get("memoryReservation") or c.get("memory") or 0) for c in containers
    )
    return Size(cpu, memory, gpus)


def instance_size(described: Mapping[str, Any]) -> Size:
    """The size of an instance type, as DescribeInstanceTypes tells it."""
    gpus = sum(int(gpu["Count"]) for gpu in described.get("GpuInfo", {}).get("Gpus", ()))
    return Size(
        int(described["VCpuInfo"]["DefaultVCpus"]) * 1024, int(described["MemoryInfo"]["SizeInMiB"]), gpus
    )


def place(task: Size, instances: Mapping[str, Size], used: Mapping[str, Size]) -> str | None:
    """The instance for a task, or None: the fullest one that has room, so that others can run empty.

    That is the binpack strategy on memory; capacity providers do without a strategy of their own, but ECS
    prefers instances that run tasks already when it scales in.
    """
    fitting = [name for name, size in instances.items() if (used.get(name, Size()) + task).fits(size)]
    return max(fitting, key=lambda name: (used.get(name, Size()).memory, name), default=None)


def instances_needed(tasks: Iterable[Size], instance: Size | None) -> int:
    """M of the capacity provider reservation: how many instances hold these tasks (first fit, largest first).

    While no instance is there its size is not known: one is started, and tells.
    """
    ordered = sorted(tasks, key=lambda size: (size.gpus, size.memory, size.cpu), reverse=True)
    if instance is None:
        return 1 if ordered else 0
    bins: list[Size] = []
    for task in ordered:
        if not task.fits(instance):
            continue  # no number of instances would help; the scheduler says so
        for index, used in enumerate(bins):
            if (used + task).fits(instance):
                bins[index] = used + task
                break
        else:
            bins.append(task)
    return len(bins)


@dataclass(frozen=True)
class Group:
    """An Auto Scaling group under managed scaling."""

    desired: int
    minimum: int
    maximum: int
    target_percent: int = 100
    step: int = 10000


def wanted_instances(
    group: Group, needed: int, below_since: float | None, now: float
) -> tuple[int, float | None]:
    """The desired count that managed scaling sets, and since when fewer than there are have been enough.

    Times are in seconds. Out at once, by at most ``step``; in when fewer have been enough for 15 minutes.
    """
    goal = math.ceil(needed * 100 / group.target_percent)
    goal = max(group.minimum, min(group.maximum, goal))
    if goal > group.desired:
        return min(goal, group.desired + group.step), None
    if goal == group.desired:
        return group.desired, None
    since = now if below_since is None else below_since
    if now - since >= SCALE_IN_SECONDS:
        return goal, None
    return group.desired, since


def used_by_instance(tasks: Sequence[tuple[str | None, Size]]) -> dict[str, Size]:
    """What the tasks take of each instance."""
    used: dict[str, Size] = {}
    for instance, size in tasks:
        if instance is not None:
            used[instance] = used.get(instance, Size()) + size
    return used
