# SPDX-License-Identifier: GPL-3.0-or-later
"""The service scheduler of ECS: which tasks of a service are to be started and which stopped.

Pure: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_services.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

#: Delays of restarts grow to this, in seconds; AWS's to minutes:
#: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-throttle-logic.html
LONGEST_DELAY = 60.0
#: A task that has run for so long, in seconds, was started all right.
STEADY_SECONDS = 60.0


@dataclass(frozen=True)
class Service:
    """A service as it is wanted."""

    name: str
    desired: int
    definition: str  # ARN of the task definition
    minimum_percent: int = 100
    maximum_percent: int = 200


@dataclass(frozen=True)
class Task:
    """A task of the service that has not stopped."""

    arn: str
    definition: str
    running: bool = True
    stopping: bool = False
    protected: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be done now."""

    start: int = 0
    stop: tuple[str, ...] = ()
    reason: str = ""


def plan(service: Service, tasks: Sequence[Task]) -> Plan:
    """Bring a service to its desired count and its newest task definition, a step at a time.

    Tasks under scale-in protection are stopped neither by scale-in nor by a deployment:
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html
    """
    alive = [task for task in tasks if not task.stopping]
    surplus = len(alive) - service.desired
    if surplus > 0:
        # Old ones first, then those that are not yet of any use.
        order = sorted(alive, key=lambda t: (t.definition == service.definition, t.running, t.arn))
        free = [task.arn for task in order if not task.protected]
        return Plan(stop=tuple(free[:surplus]), reason="Scaling activity initiated by the service scheduler")

    old = [task for task in alive if task.definition != service.definition]
    # What a deployment must leave running, and may have at most: ceiling and floor as AWS rounds them.
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
    floor = math.ceil(service.desired * service.minimum_percent / 100)
    ceiling = service.desired * service.maximum_percent // 100
    replaceable = [task.arn for task in old if not task.protected]
    may_stop = max(0, sum(task.running for task in alive) - floor)
    if replaceable and may_stop:
        return Plan(stop=tuple(replaceable[:may_stop]), reason="Scaling activity initiated by a deployment")
    wanted = service.desired - (len(alive) - len(old))
    room = max(ceiling, service.desired) - len(tasks)
    return Plan(start=max(0, min(wanted, room)))


@dataclass
class Backoff:
    """Delays the restart of a service whose tasks end soon after they start."""

    failures: int = 0
    not_before: float = field(default=0.0)

    def ended(self, ran_seconds: float, now: float) -> None:
        """Record that a task ended that was not told to."""
        self.failures = 1 if ran_seconds >= STEADY_SECONDS else self.failures + 1
        self.not_before = now + min(LONGEST_DELAY, 2.0 ** (self.failures - 1))

    def allows(self, now: float) -> bool:
        return now >= self.not_before
