# SPDX-License-Identifier: GPL-3.0-or-later
"""When models are loaded and unloaded, with runners that cost nothing."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pasture_local.engine import names
from pasture_local.engine.errors import ApiError
from pasture_local.engine.runner import Profile
from pasture_local.engine.scheduler import Scheduler
from pasture_local.engine.store import Blob, Stored

MODEL = Stored(names.parse("m"), "digest", 0.0, {}, Blob("", "", 0), ())
PROFILE = Profile(Path("w"), False, 512, True, 512, 0, True, 1, 0)
LARGER = dataclasses.replace(PROFILE, num_ctx=1024)


class FakeRunner:
    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def runners() -> list[FakeRunner]:
    return []


@pytest.fixture
def scheduler(runners: list[FakeRunner]) -> Scheduler:
    def load(profile: Profile) -> Any:
        runners.append(FakeRunner(profile))
        return runners[-1]

    return Scheduler(keep_alive=60, max_queue=1, load=load)


def test_a_model_is_loaded_once_for_the_same_profile(scheduler: Scheduler, runners: list[FakeRunner]) -> None:
    with scheduler.use(MODEL, PROFILE, None) as first, scheduler.use(MODEL, PROFILE, None) as second:
        assert first is second
    assert len(runners) == 1
    assert not runners[0].closed


def test_another_profile_waits_for_the_users_of_the_first(
    scheduler: Scheduler, runners: list[FakeRunner]
) -> None:
    done = threading.Event()

    def other() -> None:
        with scheduler.use(MODEL, LARGER, None):
            done.set()

    with scheduler.use(MODEL, PROFILE, None):
        thread = threading.Thread(target=other)
        thread.start()
        assert not done.wait(0.2)
        assert not runners[0].closed
    assert done.wait(30)
    thread.join()
    assert [(runner.profile.num_ctx, runner.closed) for runner in runners] == [(512, True), (1024, False)]


def test_too_many_that_wait_are_turned_away(scheduler: Scheduler) -> None:
    with scheduler.use(MODEL, PROFILE, None):
        waiting = threading.Thread(target=lambda: scheduler.use(MODEL, LARGER, None).__enter__(), daemon=True)
        waiting.start()
        deadline = time.monotonic() + 30
        while not scheduler._waiting and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(ApiError, match="server busy") as busy, scheduler.use(MODEL, LARGER, None):
            pass
    assert busy.value.status == 503
    waiting.join(30)


def test_keep_alive_zero_unloads_after_the_last_user(scheduler: Scheduler, runners: list[FakeRunner]) -> None:
    with scheduler.use(MODEL, PROFILE, 0), scheduler.use(MODEL, PROFILE, None):
        pass
    assert runners[0].closed
    assert scheduler.loaded() == []


def test_an_expired_model_leaves_when_its_user_does(scheduler: Scheduler, runners: list[FakeRunner]) -> None:
    with scheduler.use(MODEL, PROFILE, None):
        scheduler.expire(MODEL)
        assert not runners[0].closed
    assert runners[0].closed


def test_a_model_that_cannot_be_loaded_is_tried_again(runners: list[FakeRunner]) -> None:
    failures = [ApiError(500, "no memory")]

    def load(profile: Profile) -> Any:
        if failures:
            raise failures.pop()
        return FakeRunner(profile)

    scheduler = Scheduler(keep_alive=60, max_queue=8, load=load)
    with pytest.raises(ApiError, match="no memory"), scheduler.use(MODEL, PROFILE, None):
        pass
    with scheduler.use(MODEL, PROFILE, None) as runner:
        assert runner.profile == PROFILE
