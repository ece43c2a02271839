# SPDX-License-Identifier: GPL-3.0-or-later
"""ECS task scale-in protection: held while there are documents in hand.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
"""

from __future__ import annotations

import time

import httpx

from ollama_worker import log

_EXPIRES_MINUTES = 60
# Renewed long before it ends, and tried again soon when ECS refused.
_RENEW_SECONDS = _EXPIRES_MINUTES * 60 / 3
_RETRY_SECONDS = 15.0
# A gap between two documents is not idleness: ECS throttles those who change their minds.
_IDLE_SECONDS = 10.0


class TaskProtection:
    """Protects this task from scale-in. Without an ECS agent every call does nothing."""

    def __init__(self, agent_uri: str | None) -> None:
        self._url = f"{agent_uri.rstrip('/')}/task-protection/v1/state" if agent_uri else None
        self._held = False
        self._failed = False
        self._next = 0.0
        self._last_busy = float("-inf")

    def update(self, *, busy: bool, final: bool = False) -> None:
        """Say whether the task has work; asks ECS only when that changed, or to renew. Never raises.

        :param final: an idle task is not waited for any more: the worker ends.
        """
        if self._url is None:
            return
        now = time.monotonic()
        if busy:
            self._last_busy = now
        elif not final and now - self._last_busy < _IDLE_SECONDS:
            return
        if busy == self._held and not (busy and now >= self._next):
            return
        if self._failed and now < self._next:
            return
        body = {"ProtectionEnabled": busy, **({"ExpiresInMinutes": _EXPIRES_MINUTES} if busy else {})}
        try:
            answer = httpx.put(self._url, json=body, timeout=5.0, trust_env=False)
            problem = "" if answer.status_code == 200 else f"{answer.status_code}: {answer.text[:300]}"
            failure = answer.json().get("failure") if not problem else None
            problem = problem or (str(failure) if failure else "")
        except (httpx.HTTPError, ValueError, AttributeError) as error:
            problem = str(error) or type(error).__name__
        self._failed = bool(problem)
        self._next = now + (_RETRY_SECONDS if problem else _RENEW_SECONDS)
        if problem:
            log.warning("task protection could not be changed", busy=busy, error=problem)
        else:
            self._held = busy
