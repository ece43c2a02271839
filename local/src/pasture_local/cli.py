# SPDX-License-Identifier: GPL-3.0-or-later
"""``pasture-local``: the embedded cloud from the command line."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pasture_local import lifecycle
from pasture_local.home import DEFAULT_REGION, Home, State
from pasture_local.simulate.arguments import add_simulation_arguments
from pasture_local.supervisor import StartError


def _up(args: argparse.Namespace, home: Home) -> int:
    state, started = lifecycle.up(
        home, port=args.port, region=args.region, speed=args.speed, record=args.record
    )
    if args.json:
        print(json.dumps(_described(home, state) | {"changed": started}))
    elif started:
        print(f"The embedded cloud is up at {state.endpoint_url}; 'pasture-local env' prints its settings.")
    else:
        print(f"The embedded cloud is up already, at {state.endpoint_url}.")
    return 0


def _down(_: argparse.Namespace, home: Home) -> int:
    if lifecycle.down(home):
        print(f"The embedded cloud has ended. Its logs are in {home.logs}.")
    else:
        print(f"No embedded cloud runs in {home.path}.")
    return 0


def _status(args: argparse.Namespace, home: Home) -> int:
    state = home.read_state()
    if args.json:
        print(json.dumps(_described(home, state) if state else {"running": False, "home": str(home.path)}))
    elif state:
        print(
            f"The embedded cloud runs at {state.endpoint_url} (region {state.region}, clock x{state.speed:g})."
        )
        print(f"  home {home.path}, supervisor {state.pid}", end="")
        print("".join(f", {name} {pid}" for name, pid in state.pids.items()))
    else:
        print(f"No embedded cloud runs in {home.path}.")
    return 0 if state else 3


def _env(args: argparse.Namespace, home: Home) -> int:
    state = home.read_state()
    if state is None:
        print(f"No embedded cloud runs in {home.path}: start one with 'pasture-local up'.", file=sys.stderr)
        return 3
    if args.json:
        print(json.dumps(state.environment()))
    else:
        for name, value in state.environment().items():
            print(f"export {name}={shlex.quote(value)}")
    return 0


def _demo(args: argparse.Namespace, home: Home) -> int:
    from pasture_local.demo.run import demo  # noqa: PLC0415 - the other commands start without it

    return demo(
        home,
        document=args.document,
        prompt=args.prompt,
        model=args.model,
        keep=args.keep,
        port=args.port,
        record=args.record,
        timeout=args.timeout,
    )


def _simulate(args: argparse.Namespace, _: Home) -> int:
    from pasture_local.simulate.command import run  # noqa: PLC0415 - the other commands start without it

    return run(args)


def _described(home: Home, state: State) -> dict[str, object]:
    return {
        "running": True,
        "home": str(home.path),
        **asdict(state),
        "environment": state.environment(),
    }


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port (0 to 65535)")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pasture-local", description="The embedded cloud of pasture.ollama."
    )
    parser.add_argument(
        "--home", type=Path, help="its folder (default: $PASTURE_LOCAL_HOME, or .pasture in this folder)"
    )
    commands = parser.add_subparsers(dest="command", required=True)

    up = commands.add_parser("up", help="start it, unless it runs")
    up.add_argument("--region", default=DEFAULT_REGION, help="the AWS region it plays (default: %(default)s)")
    up.add_argument(
        "--speed", type=_positive, default=1.0, help="seconds of alarms and scaling in one real second"
    )
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="stop it and everything in it")
    down.set_defaults(run=_down)
    status = commands.add_parser("status", help="say whether it runs; exit status 3 when it does not")
    status.set_defaults(run=_status)
    env = commands.add_parser("env", help='print its settings for a shell: eval "$(pasture-local env)"')
    env.set_defaults(run=_env)

    demo = commands.add_parser("demo", help="deploy a stack, have documents processed, show what came out")
    demo.add_argument("--keep", action="store_true", help="leave it running")
    demo.add_argument(
        "--document", type=Path, metavar="FILE", help="a document of yours instead of the samples"
    )
    demo.add_argument("--prompt", help="what the model is asked to do with each document")
    demo.add_argument("--model", help="the model (default: the one that the embedded engine has)")
    demo.add_argument(
        "--timeout", type=_positive, default=900.0, metavar="SECONDS", help="(default: %(default)g)"
    )
    demo.set_defaults(run=_demo)

    simulate = commands.add_parser("simulate", help="say what a load will cost and when it is done")
    add_simulation_arguments(simulate)
    simulate.set_defaults(run=_simulate)

    for command in (up, demo):
        command.add_argument(
            "--port", type=_port, default=0, help="of the emulator on 127.0.0.1 (default: a free one)"
        )
        command.add_argument(
            "--record", type=Path, metavar="FILE", help="append every AWS call to this file, as JSON"
        )
    for command in (up, status, env):
        command.add_argument("--json", action="store_true", help="for programs")
    return parser


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    del number
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    """Run a command; 0 when it went well, 1 when not, 3 when no cloud runs, 130 when interrupted."""
    args = _parser().parse_args(argv)
    home = Home(args.home) if args.home else Home.of(os.environ)
    # `kill` and a closed terminal end it as Ctrl-C does: with everything it started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return int(args.run(args, home))
    except (StartError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
