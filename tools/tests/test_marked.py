# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes are found wherever they went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import marked
import pytest

PARENT = """
import subprocess, sys
child = subprocess.Popen(['sleep', '60'], env={}, start_new_session=True)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def mark() -> marked.Mark:
    return marked.Mark()


@pytest.fixture
def family(mark: marked.Mark) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a process with the mark, and by it one without; yield the one and the pid of the other."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env=mark.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        yield parent, child
        parent.kill()
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def test_finds_a_child_that_left_the_session_and_gave_up_its_environment(
    mark: marked.Mark, family: tuple[subprocess.Popen[str], int]
) -> None:
    parent, child = family
    assert {process.pid for process in mark.look()} == {parent.pid, child}
    assert marked.pss(parent.pid) > 1024 * 1024


def test_goes_on_seeing_a_child_whose_parent_has_ended(
    mark: marked.Mark, family: tuple[subprocess.Popen[str], int]
) -> None:
    parent, child = family
    mark.look()
    parent.kill()
    parent.wait()
    assert [process.pid for process in mark.look()] == [child]


def test_kills_them_all(mark: marked.Mark, family: tuple[subprocess.Popen[str], int]) -> None:
    parent, _ = family
    mark.kill()
    assert parent.wait() == -signal.SIGKILL
    assert mark.look() == []


def test_what_ends_by_itself_between_the_look_and_the_kill_is_no_trouble(
    mark: marked.Mark, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    ended = marked.Process(process.pid, 0, 1, "true", has_mark=True)
    looks = iter([[ended], []])
    monkeypatch.setattr(mark, "look", lambda: next(looks))
    mark.kill()
    assert list(looks) == []


def test_does_not_see_the_processes_of_another_mark(family: tuple[subprocess.Popen[str], int]) -> None:
    assert marked.Mark().look() == []


def test_a_process_that_has_ended_has_no_memory() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert marked.pss(process.pid) == 0
