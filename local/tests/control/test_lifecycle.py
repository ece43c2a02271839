# SPDX-License-Identifier: GPL-3.0-or-later
"""A cloud comes up once, goes down whole, and never outlives its owner."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pasture_local import cli, init, lifecycle, processes
from pasture_local.home import Home

from .conftest import alive, wait_for

OWNER = """
import sys, time
from pathlib import Path
from pasture_local import lifecycle
from pasture_local.home import Home
lifeline = lifecycle.Lifeline()
lifecycle.up(Home(Path(sys.argv[1])), lifeline=lifeline)
if sys.argv[2] == "release":
    lifeline.release()
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Home]:
    """A folder for a cloud, in which none runs afterwards."""
    home = Home(tmp_path / "home")
    yield home
    lifecycle.down(home)


def owned(home: Home, what: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A process that owns a cloud, and the cloud's processes."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home.path), what], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "up\n"
    state = home.read_state()
    assert state is not None
    return owner, [state.pid, *init.descendants(state.pid)]


@pytest.mark.integration
def test_up_is_idempotent_and_down_leaves_nothing(own: Home) -> None:
    first, started = lifecycle.up(own)
    second, again = lifecycle.up(own)
    assert (started, again) == (True, False)
    assert first == second
    pids = [first.pid, *init.descendants(first.pid)]
    assert len(pids) >= 5
    assert lifecycle.down(own) is True
    assert not [pid for pid in pids if alive(pid)]
    assert lifecycle.down(own) is False
    assert own.read_state() is None


@pytest.mark.integration
def test_cloud_ends_when_its_owner_is_killed(own: Home) -> None:
    owner, pids = owned(own, "keep")
    owner.kill()
    owner.wait()
    wait_for(lambda: not any(map(alive, pids)), what="the end of the cloud")


@pytest.mark.integration
def test_released_cloud_outlives_its_owner(own: Home) -> None:
    owner, _ = owned(own, "release")
    owner.kill()
    owner.wait()
    time.sleep(1)
    assert own.is_running()


@pytest.mark.integration
def test_nothing_outlives_a_killed_supervisor(own: Home) -> None:
    state, _ = lifecycle.up(own)
    pids = [state.pid, *init.descendants(state.pid)]
    os.kill(state.pid, signal.SIGKILL)
    wait_for(lambda: not any(map(alive, pids)), what="the end of the cloud")


@pytest.mark.integration
def test_cloud_ends_when_its_folder_is_removed(own: Home) -> None:
    state, _ = lifecycle.up(own)
    pids = [state.pid, *init.descendants(state.pid)]
    shutil.rmtree(own.path)
    wait_for(lambda: not any(map(alive, pids)), what="the end of the cloud")


@pytest.mark.integration
def test_port_in_use_is_told_in_a_sentence(own: Home, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert cli.main(["--home", str(own.path), "up", "--port", str(port)]) == 1
    message = capsys.readouterr().err
    assert f"Port {port}" in message
    assert "\n" not in message.strip()
    assert not own.is_running()


@pytest.mark.integration
def test_env_and_status_tell_where_it_is(own: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--home", str(own.path), "status"]) == 3
    assert cli.main(["--home", str(own.path), "env"]) == 3
    state, _ = lifecycle.up(own)
    capsys.readouterr()
    assert cli.main(["--home", str(own.path), "env"]) == 0
    assert f"export AWS_ENDPOINT_URL={state.endpoint_url}\n" in capsys.readouterr().out
    assert cli.main(["--home", str(own.path), "status"]) == 0


def test_killing_a_command_kills_what_it_started() -> None:
    script = "sleep 600 & setsid sleep 600 & echo $!; wait"
    process = processes.start(["/bin/sh", "-c", script], stdout=processes.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    pids = init.descendants(process.pid)
    assert len(pids) >= 3
    processes.kill(process)
    assert not [pid for pid in pids if alive(pid)]


def test_exit_status_is_the_commands_and_leftovers_go_with_it() -> None:
    process = processes.start(["/bin/sh", "-c", "sleep 600 & echo $!; exit 7"], stdout=processes.PIPE)
    assert process.stdout is not None
    left = int(process.stdout.readline())
    assert process.wait(10) == 7
    assert not alive(left)


def test_command_that_does_not_exist_ends_with_127() -> None:
    process = processes.start(["/no/such/program"], stdout=processes.DEVNULL)
    assert process.wait(10) == 127
