# SPDX-License-Identifier: GPL-3.0-or-later
"""The control process of a cloud: ECS agent, alarms, schedules and functions, in threads of one process."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from pasture_local.agent.endpoints import AGENT_API, CREDENTIALS, METADATA, TaskEndpoints
from pasture_local.agent.loop import Agent
from pasture_local.agent.podman import runner_for
from pasture_local.alarms.loop import AlarmLoop
from pasture_local.clock import Clock
from pasture_local.cloud import Cloud
from pasture_local.credentials import RoleCredentials
from pasture_local.functions.runner import FunctionRunner
from pasture_local.home import Home
from pasture_local.http_server import ControlServer
from pasture_local.schedules.loop import ScheduleLoop

_log = logging.getLogger(__name__)
#: Seconds between two rounds of the agent.
_AGENT_INTERVAL = 0.4


def _repeat(act: Callable[[], None], interval: float, stop: threading.Event) -> None:
    """Do something again and again until told to stop; the emulator may refuse, it must not end the loop."""
    while not stop.is_set():
        started = time.monotonic()
        try:
            act()
        except (ClientError, BotoCoreError):
            _log.exception("a round failed")
        # Whoever has much to do takes a pause as long as its work, and no more than half of a core.
        stop.wait(max(interval, time.monotonic() - started))


def main(argv: list[str] | None = None) -> int:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m pasture_local.control", description=main.__doc__)
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--home", type=Path, required=True)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("botocore", "urllib3", "boto3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    home, cloud, clock = Home(args.home), Cloud(args.endpoint, args.region), Clock(args.speed)
    credentials = RoleCredentials(cloud)
    endpoints = TaskEndpoints(cloud, credentials, args.url)
    functions = FunctionRunner(cloud, credentials, home)
    agent = Agent(cloud, clock, home, endpoints, credentials, runner_for(home, os.environ))
    alarms = AlarmLoop(cloud, clock)
    schedules = ScheduleLoop(cloud, clock)
    server = ControlServer(
        socket.socket(fileno=args.listen_fd),
        {
            "/health": lambda _method, _path, _body: (200, {"pid": os.getpid()}),
            "/functions": functions.handle,
            CREDENTIALS: endpoints.credentials,
            METADATA: endpoints.metadata,
            AGENT_API: endpoints.agent_api,
        },
    )
    threads = [
        threading.Thread(target=server.serve_forever, args=(0.2,), name="http", daemon=True),
        threading.Thread(
            target=_repeat, args=(alarms.tick, alarms.interval, stop), name="alarms", daemon=True
        ),
        threading.Thread(
            target=_repeat, args=(schedules.tick, schedules.interval, stop), name="schedules", daemon=True
        ),
    ]
    for thread in threads:
        thread.start()
    try:
        # In the main thread: tasks end with the thread that started them (see processes.start).
        _repeat(agent.tick, _AGENT_INTERVAL, stop)
    finally:
        stop.set()
        functions.shutdown()
        agent.shutdown()
        server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
