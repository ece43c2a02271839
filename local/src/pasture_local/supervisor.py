# SPDX-License-Identifier: GPL-3.0-or-later
"""The detached process that owns a cloud: it starts emulator and control process, and ends with them.

Whatever ends it, nothing stays: its children run below init processes that the kernel tells when it dies.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from pasture_local import init, processes
from pasture_local.home import Home, State

LOOPBACK = "127.0.0.1"
#: Written to the lifeline by an owner that wants the cloud to outlive it.
RELEASE = b"k"

_START_SECONDS = 60.0
#: What the control process needs to stop its tasks, and a little more.
_CONTROL_GRACE = 12.0
_EMULATOR_GRACE = 3.0
_LOCK_SECONDS = 2.0
_LOOK_SECONDS = 2.0
_READY = re.compile(r"^AWS emulator on (http://\S+)$", re.MULTILINE)


class StartError(Exception):
    """The cloud could not be started; the message says why."""


class _Stopped(Exception):
    """Told to stop while still starting."""


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


class Supervisor:
    """One cloud, from start to end."""

    def __init__(
        self, home: Home, *, port: int, region: str, speed: float, lifeline: int | None, record: Path | None
    ) -> None:
        self._home = home
        self._port = port
        self._region = region
        self._speed = speed
        self._lifeline = lifeline
        self._record = record
        self._children: dict[str, processes.Process] = {}
        self._wake, wake_end = os.pipe()
        os.set_blocking(wake_end, False)
        # A signal writes its number to the pipe, so that one select() waits for everything.
        signal.set_wakeup_fd(wake_end)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def start(self) -> State:
        """Start everything and return where it is; raise StartError, leaving nothing behind."""
        listener = socket.create_server((LOOPBACK, 0))
        control_url = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        endpoint = self._start_emulator(f"{control_url}/functions")
        self._start_control(listener, control_url, endpoint)
        listener.close()
        state = State(
            pid=os.getpid(),
            endpoint_url=endpoint,
            region=self._region,
            control_url=control_url,
            speed=self._speed,
            pids={name: child.pid for name, child in self._children.items()},
        )
        self._home.write_state(state)
        return state

    def _start_emulator(self, functions_url: str) -> str:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "pasture_local.emulator",
            "--port",
            str(self._port),
        ]
        command += ["--functions-url", functions_url]
        if self._record:
            command += ["--record", self._record]
        log = self._spawn("emulator", command)
        deadline = time.monotonic() + _START_SECONDS
        while not (match := _READY.search(log.read_text(errors="replace"))):
            self._check("emulator", log, deadline)
        return match.group(1)

    def _start_control(self, listener: socket.socket, url: str, endpoint: str) -> None:
        command: list[str | Path] = [sys.executable, "-m", "pasture_local.control"]
        command += ["--listen-fd", str(listener.fileno()), "--url", url, "--endpoint", endpoint]
        command += ["--region", self._region, "--speed", str(self._speed), "--home", self._home.path]
        log = self._spawn("control", command, pass_fds=(listener.fileno(),))
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                # The socket listens from the beginning; who is not yet there to answer is waited for.
                with urllib.request.urlopen(f"{url}/health", timeout=1):  # noqa: S310 - always our own http URL
                    return
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                self._check("control", log, deadline)

    def _spawn(self, name: str, command: Sequence[str | Path], pass_fds: Sequence[int] = ()) -> Path:
        log = self._home.logs / f"{name}.log"
        with log.open("wb") as output:
            self._children[name] = processes.start(command, stdout=output, pass_fds=pass_fds)
        return log

    def _check(self, name: str, log: Path, deadline: float) -> None:
        """Wait a moment; raise when the child has ended, takes too long, or everything shall stop."""
        if self._children[name].poll() is not None:
            raise StartError(f"The {name} did not start: {_last_line(log)} (see {log})")
        if time.monotonic() > deadline:
            raise StartError(f"The {name} was not ready after {_START_SECONDS:.0f} s (see {log}).")
        if self._told_to_stop(0.05):
            raise _Stopped

    def watch(self) -> str:
        """Wait until it has to end, and return why."""
        while True:
            for name, child in self._children.items():
                if child.poll() is not None:
                    return f"the {name} ended with status {child.returncode}"
            if reason := self._told_to_stop(_LOOK_SECONDS):
                return reason
            # Without its folder nobody could find it any more to stop it.
            if not self._home.state_file.exists():
                return "its folder was removed"

    def _told_to_stop(self, seconds: float) -> str | None:
        waiting = [self._wake] + ([self._lifeline] if self._lifeline is not None else [])
        readable, _, _ = select.select(waiting, [], [], seconds)
        if self._wake in readable:
            numbers = os.read(self._wake, 64)
            if any(number in {signal.SIGTERM, signal.SIGINT} for number in numbers):
                return "it was told to"
        if self._lifeline is not None and self._lifeline in readable:
            if os.read(self._lifeline, 1) != RELEASE:
                return "its owner has gone"
            os.close(self._lifeline)
            self._lifeline = None
        return None

    def stop(self) -> None:
        """Stop everything, in the order that lets tasks say goodbye to the emulator."""
        self._home.state_file.unlink(missing_ok=True)
        for name, grace in (("control", _CONTROL_GRACE), ("emulator", _EMULATOR_GRACE)):
            if child := self._children.get(name):
                processes.stop(child, grace)
        init.kill_descendants()


def _take_lock(home: Home) -> IO[str]:
    deadline = time.monotonic() + _LOCK_SECONDS
    # Who looks whether a cloud runs holds the lock for a moment.
    while (lock := home.lock()) is None:
        if time.monotonic() > deadline:
            raise StartError(
                f"A cloud already runs in {home.path}: use it, or end it with 'pasture-local down'."
            )
        time.sleep(0.05)
    return lock


def main(argv: list[str] | None = None) -> int:
    """Run a cloud until it is told to stop; one line of JSON on ``--ready-fd`` says how the start went."""
    parser = argparse.ArgumentParser(prog="python -m pasture_local.supervisor", description=main.__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--region", required=True)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--lifeline-fd", type=int)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args(argv)
    home = Home(args.home)
    with os.fdopen(args.ready_fd, "w") as ready:

        def tell(answer: dict[str, str]) -> None:
            try:
                ready.write(json.dumps(answer) + "\n")
                ready.flush()
            except BrokenPipeError:
                pass  # who asked has gone; the lifeline decides what that means

        try:
            lock = _take_lock(home)
        except StartError as error:
            tell({"error": str(error)})
            return 1
        with lock:
            init.prctl(init.PR_SET_CHILD_SUBREAPER, 1)
            supervisor = Supervisor(
                home,
                port=args.port,
                region=args.region,
                speed=args.speed,
                lifeline=args.lifeline_fd,
                record=args.record,
            )
            try:
                supervisor.start()
                tell({"ready": "yes"})
                ready.close()
                print(f"Stopping, because {supervisor.watch()}.", flush=True)
            except StartError as error:
                tell({"error": str(error)})
                print(error, flush=True)
                return 1
            except _Stopped:
                tell({"error": "It was told to stop while it was starting."})
            finally:
                supervisor.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
