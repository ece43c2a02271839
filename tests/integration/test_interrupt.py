# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C ends everything that a demonstration started, whatever it is doing."""

from __future__ import annotations

import os
import signal
import time

import pytest
from demonstration import DEADLINE, Demonstration

pytestmark = pytest.mark.integration

# What the processes of the demonstration tell about how far it is.
STARTING = "pasture_local.emulator"
DEPLOYING = "pasture.ollama.local"
WORKING = "ollama-worker"


def wait_for(demonstration: Demonstration, part: str) -> None:
    """Return when a process with ``part`` in its command has come."""
    deadline = time.monotonic() + DEADLINE
    while not any(part in process.command for process in demonstration.mark.look()):
        assert time.monotonic() < deadline, demonstration.log.read_text()
        time.sleep(0.1)


@pytest.mark.parametrize("part", [STARTING, DEPLOYING, WORKING])
def test_nothing_is_left_running(fresh: Demonstration, part: str) -> None:
    process = fresh.start("make", "demo")
    wait_for(fresh, part)
    # A terminal sends the signal to the whole group: to make as well.
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(DEADLINE) != 0
    assert fresh.left() == []
    assert "Traceback" not in fresh.log.read_text()
