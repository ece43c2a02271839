# SPDX-License-Identifier: GPL-3.0-or-later
"""When a task is protected from scale-in, by the requests that the ECS agent gets."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ollama_worker.protection import TaskProtection


class Agent:
    """The agent's endpoint; `refuse` makes it answer with a failure."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.refuse = False
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                owner.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                failure = {"failure": {"Reason": "DEPLOYMENT_BLOCKED"}}
                body = json.dumps(failure if owner.refuse else {"protection": {}}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api"

    @property
    def states(self) -> list[object]:
        return [body["ProtectionEnabled"] for body in self.asked]


@pytest.fixture
def agent() -> Iterator[Agent]:
    agent = Agent()
    threading.Thread(target=agent.server.serve_forever, args=(0.02,), daemon=True).start()
    yield agent
    agent.server.shutdown()
    agent.server.server_close()


class Time:
    """A clock that is moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_gaps_between_documents_are_no_idleness(agent: Agent) -> None:
    clock = Time()
    protection = TaskProtection(agent.url, clock)
    for busy in (False, True, True, False, True, False):
        clock.now += 3
        protection.update(busy=busy)
    assert agent.states == [True]
    clock.now += 20
    protection.update(busy=False)
    assert agent.states == [True, False]


def test_a_task_that_is_never_idle_lets_go_of_its_protection_now_and_then(agent: Agent) -> None:
    clock = Time()
    protection = TaskProtection(agent.url, clock)
    changes: list[tuple[float, object]] = []
    for _ in range(2 * 3600):
        clock.now += 1
        protection.update(busy=True)
        if len(agent.states) > len(changes):
            changes.append((clock.now, agent.states[-1]))
    assert [state for _, state in changes] == [True, False, True, False, True, False, True]
    held = [b[0] - a[0] for a, b in itertools.pairwise(changes) if a[1]]
    free = [b[0] - a[0] for a, b in itertools.pairwise(changes) if not a[1]]
    assert set(held) == {1800.0}
    assert set(free) == {120.0}
    # Should the worker die, ECS lets go by itself, but not before the worker does.
    assert {body.get("ExpiresInMinutes") for body in agent.asked if body["ProtectionEnabled"]} == {60}


def test_a_refusal_is_asked_again_a_little_later(agent: Agent) -> None:
    clock = Time()
    protection = TaskProtection(agent.url, clock)
    agent.refuse = True
    for _ in range(20):
        clock.now += 1
        protection.update(busy=True)
    assert agent.states == [True, True]
    agent.refuse = False
    clock.now += 15
    protection.update(busy=True)
    protection.update(busy=False, final=True)
    assert agent.states == [True, True, True, False]
