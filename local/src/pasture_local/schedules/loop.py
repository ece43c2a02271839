# SPDX-License-Identifier: GPL-3.0-or-later
"""Fires the deployed rules that have a schedule, by the clock of the embedded cloud."""

from __future__ import annotations

import logging
import urllib.error
import urllib.parse
import urllib.request

from pasture_local.clock import Clock
from pasture_local.cloud import Cloud
from pasture_local.schedules.expression import ScheduleError, parse

_log = logging.getLogger(__name__)
#: Where the emulator takes the order to fire a rule, which the API of EventBridge knows no action for.
PATH = "/moto-api/pasture/rules"
_MINUTE = 60.0


class ScheduleLoop:
    """Looks at the rules of the default bus, the only one that takes schedules, once a virtual minute."""

    def __init__(self, cloud: Cloud, clock: Clock) -> None:
        self._cloud = cloud
        self._clock = clock
        self._looked = clock.now()
        # When a rule was first seen with this schedule: a rate counts from there.
        self._made: dict[tuple[str, str], float] = {}
        self._refused: set[str] = set()

    @property
    def interval(self) -> float:
        """How often ``tick`` should be called, in real seconds."""
        return max(0.1, min(1.0, self._clock.real(_MINUTE) / 4))

    def tick(self) -> None:
        """Fire what has become due since the last look."""
        now = self._clock.now()
        if now < self._looked + _MINUTE:
            return
        since, self._looked = self._looked, now
        seen: dict[tuple[str, str], float] = {}
        for rule in self._cloud.pages("events", "list_rules", "Rules"):
            expression = rule.get("ScheduleExpression")
            if not expression or rule.get("State") != "ENABLED":
                continue
            key = rule["Arn"], expression
            seen[key] = self._made.get(key, now)
            if self._due(expression, seen[key], since, now):
                self._fire(rule["Arn"])
        self._made = seen

    def _due(self, expression: str, made: float, since: float, now: float) -> bool:
        try:
            return parse(expression).due(made, since, now)
        except ScheduleError as error:
            if expression not in self._refused:
                self._refused.add(expression)
                _log.warning("%s; it never fires", error)
            return False

    def _fire(self, arn: str) -> None:
        url = f"{self._cloud.endpoint_url}{PATH}?{urllib.parse.urlencode({'arn': arn})}"
        request = urllib.request.Request(url, method="POST")  # noqa: S310 - always the emulator's http URL
        _log.info("the schedule of %s is due", arn)
        try:
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - as above
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            _log.warning("%s was not fired: %s", arn, error)
