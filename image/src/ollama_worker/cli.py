# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``ollama-worker``."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence

from ollama_worker import __version__, log
from ollama_worker.errors import WorkerError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    :returns: the exit status: 0 for success, 1 for a failure, 2 for a wrong call.
    """
    options = _parser().parse_args(arguments)
    command = options.command or "run"
    if command != "process":
        log.configure(os.environ.get("PASTURE_LOG_LEVEL") or "INFO")
    try:
        # Imported where they are used: `health` runs every few seconds and needs none of it.
        if command == "health":
            return _health()
        if command == "seed":
            from ollama_worker.seed import seed  # noqa: PLC0415

            return seed(options.models, os.environ)
        if command == "check":
            from ollama_worker.check import check  # noqa: PLC0415

            return check(os.environ)
        if command == "process":
            from ollama_worker.process import process  # noqa: PLC0415

            return process(options, os.environ)
        return _run()
    except WorkerError as error:
        if command == "process":
            print(f"ollama-worker: {error}", file=sys.stderr)
        else:
            log.log(40, str(error), error_type=error.slug)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ollama-worker", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="process the documents of the queue until told to stop (the default)")
    seed = commands.add_parser("seed", help="bring models into the shared store")
    seed.add_argument("models", nargs="+", metavar="NAME:TAG")
    commands.add_parser("check", help="check settings, permissions, engine and model, and print a table")
    commands.add_parser("health", help="exit with 0 when the worker of this container is well")
    process = commands.add_parser(
        "process", help="run one local document through a model, and print the result"
    )
    process.add_argument("file", metavar="FILE")
    process.add_argument("--model", help="NAME:TAG; by default the one of PASTURE_MODEL_PARAMETER")
    process.add_argument("--prompt", help="what to do with the document; by default PASTURE_PROMPT")
    process.add_argument("--type", help="the document's mime-type, when its name does not tell")
    process.add_argument("--provenance", action="store_true", help="print tokens and parts to standard error")
    return parser


def _run() -> int:
    from ollama_worker.worker import run  # noqa: PLC0415

    try:
        status = run(os.environ)
    except WorkerError as error:
        log.log(40, str(error), error_type=error.slug)
        status = 1
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        # A thread of a pool still waits for a socket; its message was handed back. The interpreter would
        # join it at its end, past the time that ECS gives.
        sys.stdout.flush()
        os._exit(status)
    return status


def _health() -> int:
    import tempfile  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from ollama_worker.health import HealthFile  # noqa: PLC0415

    problem = HealthFile(Path(tempfile.gettempdir())).check()
    if problem is not None:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
