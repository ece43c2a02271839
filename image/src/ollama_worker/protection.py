# SPDX-License-Identifier: GPL-3.0-or-later
"""ECS task scale-in protection: held while there are documents in hand.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html

ECS does not stop a protected task for a deployment either, and tells it nothing. A worker whose queue never runs
empty would go on with the settings of an old deployment for as long. So it lets go for two minutes
in every half hour, while it works on: an ECS that waits for that sends SIGTERM, and the worker finishes or hands
back what it has as at any other stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from ollama_worker import log

_EXPIRES_MINUTES = 60
# How long it is held in one go, and let go of then.
_HELD_SECONDS = 1800.0
_FREE_SECONDS = 120.0
# Tried again soon when ECS refused.
_RETRY_SECONDS = 15.0
# A gap between two documents is not idleness: ECS throttles those who change their minds.
_IDLE_SECONDS = 10.0


class TaskProtection:
    """Protects this task from scale-in. Without an ECS agent every call does nothing."""

    def __init__(self, agent_uri: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        """:param clock: seconds that only grow."""
        self._url = f"{agent_uri.rstrip('/')}/task-protection/v1/state" if agent_uri else None
        self._clock = clock
        self._held = False
        self._held_since = 0.0
        self._not_before = 0.0
        self._last_busy = float("-inf")

    def update(self, *, busy: bool, final: bool = False) -> None:
        """Say whether the task has work; asks ECS only when something is to change. Never raises.

        :param final: an idle task is not waited for any more: the worker ends.
        """
        if self._url is None:
            return
        now = self._clock()
        if busy:
            self._last_busy = now
        resting = self._held and not final and now - self._last_busy < _IDLE_SECONDS
        let_go = self._held and now - self._held_since >= _HELD_SECONDS
        wanted = (busy or resting) and not let_go
        if wanted == self._held or (now < self._not_before and not final):
            return
        problem = self._put(self._url, protect=wanted)
        if problem:
            self._not_before = now + _RETRY_SECONDS
            log.warning("task protection could not be changed", protect=wanted, error=problem)
            return
        self._held = wanted
        self._held_since = now
        self._not_before = now + _FREE_SECONDS if let_go else now

    def _put(self, url: str, *, protect: bool) -> str:
        """Ask ECS; what is wrong, ``""`` when nothing is."""
        body = {"ProtectionEnabled": protect, **({"ExpiresInMinutes": _EXPIRES_MINUTES} if protect else {})}
        try:
            answer = httpx.put(url, json=body, timeout=5.0, trust_env=False)
            if answer.status_code != 200:
                return f"{answer.status_code}: {answer.text[:300]}"
            failure = answer.json().get("failure")
        except (httpx.HTTPError, ValueError, AttributeError) as error:
            return str(error) or type(error).__name__
        return str(failure) if failure else ""
