# SPDX-License-Identifier: GPL-3.0-or-later
"""The health of a container, from the exit codes of its health check command.

Pure: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
"""

from __future__ import annotations

from dataclasses import dataclass

from pasture_local.agent.definition import HealthCheck

UNKNOWN, HEALTHY, UNHEALTHY = "UNKNOWN", "HEALTHY", "UNHEALTHY"


@dataclass
class Health:
    """Follows the checks of one container that started at ``started``; all times in seconds."""

    check: HealthCheck
    started: float
    status: str = UNKNOWN
    failures: int = 0
    next_check: float = 0.0

    def __post_init__(self) -> None:
        self.next_check = self.started + self.check.interval

    def due(self, now: float) -> bool:
        return now >= self.next_check

    def record(self, succeeded: bool, now: float) -> str:
        """Take in the outcome of a check, and return the status.

        Failures within the start period do not count, unless a check has succeeded before.
        """
        self.next_check = now + self.check.interval
        if succeeded:
            self.status, self.failures = HEALTHY, 0
        elif self.status == HEALTHY or now - self.started >= self.check.start_period:
            self.failures += 1
            if self.failures >= self.check.retries:
                self.status = UNHEALTHY
        return self.status
