# SPDX-License-Identifier: GPL-3.0-or-later
"""A clock that may run faster than the one on the wall."""

from __future__ import annotations

import time


class Clock:
    """Virtual time in seconds since the epoch; ``speed`` virtual seconds pass in each real one."""

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"a clock runs forward: the speed {speed} is not above 0")
        self.speed = speed
        self._epoch = time.time()
        self._origin = time.monotonic()

    def now(self) -> float:
        """Virtual seconds since the epoch; equal to real time at the moment the clock was made."""
        return self._epoch + (time.monotonic() - self._origin) * self.speed

    def real(self, virtual_seconds: float) -> float:
        """How many real seconds that many virtual ones take."""
        return virtual_seconds / self.speed

    def virtual_time(self, real_time: float) -> float:
        """The virtual time at which the wall clock showed ``real_time`` (seconds since the epoch)."""
        return self._epoch + (real_time - self._epoch) * self.speed
