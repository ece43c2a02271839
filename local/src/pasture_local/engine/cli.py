# SPDX-License-Identifier: GPL-3.0-or-later
"""``pasture-engine``: stands in for ``ollama`` on machines that have none."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from types import FrameType
from typing import Any

from pasture_local.engine.options import Settings
from pasture_local.engine.server import VERSION, Routes, Server

# Seconds without an answer.
_TIMEOUT = 600.0


def main(argv: list[str] | None = None) -> int:
    """Run a command; the exit status is 1 when it failed, with a sentence on standard error."""
    parser = argparse.ArgumentParser(prog="pasture-engine", description=__doc__)
    parser.add_argument("-v", "--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="serve on OLLAMA_HOST until SIGTERM", aliases=["start"])
    for name, text in (
        ("pull", "pull a model from the library"),
        ("show", "tell about a model"),
        ("stop", "unload a model"),
        ("rm", "remove a model"),
    ):
        commands.add_parser(name, help=text).add_argument("model")
    commands.add_parser("list", help="list the models", aliases=["ls"])
    commands.add_parser("ps", help="list the models in memory")
    args = parser.parse_args(argv)
    if args.version:
        print(f"ollama version is {VERSION}")
        return 0
    if not args.command:
        parser.print_help()
        return 0
    try:
        settings = Settings.from_environment()
        if args.command in {"serve", "start"}:
            serve(settings)
        else:
            _Client(settings).run(args.command, getattr(args, "model", ""))
    except (_ServerError, OSError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    :raises OSError: when the address cannot be used.
    """
    # llama.cpp is loaded here and not for the commands that only talk to a server.
    from pasture_local.engine.inference import Inference  # noqa: PLC0415
    from pasture_local.engine.models import Models  # noqa: PLC0415
    from pasture_local.engine.scheduler import Scheduler  # noqa: PLC0415
    from pasture_local.engine.store import Store  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    store = Store(settings.models)
    if settings.prune:
        store.prune()
    scheduler = Scheduler(settings.keep_alive, settings.max_queue)
    routes = Routes(Models(store, scheduler), Inference(store, scheduler, settings))
    try:
        server = Server((settings.host, settings.port), routes)
    except OSError as error:
        raise OSError(f"listen tcp {settings.host}:{settings.port}: {error.strerror}") from error

    def stop(_signum: int, _frame: FrameType | None) -> None:
        # shutdown() waits for serve_forever(), which runs in this very thread.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"Listening on {settings.host}:{server.server_address[1]} (version {VERSION})", flush=True)
    server.serve_forever(poll_interval=0.1)
    # Like Ollama, without waiting for requests: the worker drains before it stops its engine.
    sys.stdout.flush()
    os._exit(0)


class _ServerError(Exception):
    """What the server said, or that there is none."""


class _Client:
    """The commands that talk to a running server."""

    def __init__(self, settings: Settings) -> None:
        host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host  # noqa: S104 - any address is loopback's, too
        self._url = f"http://{host}:{settings.port}"

    def run(self, command: str, model: str) -> None:
        match command:
            case "pull":
                for line in self._call("POST", "/api/pull", {"model": model}):
                    print(line["status"])
            case "rm":
                list(self._call("DELETE", "/api/delete", {"model": model}))
                print(f"deleted '{model}'")
            case "stop":
                list(self._call("POST", "/api/generate", {"model": model, "keep_alive": 0, "stream": False}))
            case "show":
                (shown,) = self._call("POST", "/api/show", {"model": model})
                for name, value in {**shown["details"], "capabilities": shown["capabilities"]}.items():
                    print(f"{name:<20} {value}")
            case "ps":
                self._table("/api/ps", ("name", "digest", "size", "context_length", "expires_at"))
            case _:
                self._table("/api/tags", ("name", "digest", "size", "modified_at"))

    def _table(self, path: str, columns: tuple[str, ...]) -> None:
        (answer,) = self._call("GET", path, None)
        rows = [[column.upper() for column in columns]]
        rows += [[str(model[column])[:32] for column in columns] for model in answer["models"]]
        widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data=data, method=method)  # noqa: S310 - http only
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310 - as above
                for line in response:
                    part = json.loads(line)
                    if "error" in part:
                        raise _ServerError(part["error"])
                    yield part
        except urllib.error.HTTPError as error:
            raise _ServerError(json.loads(error.read()).get("error", str(error))) from error
        except urllib.error.URLError as error:
            raise _ServerError(
                f"could not connect to {self._url}: is it running? ({error.reason})"
            ) from error


if __name__ == "__main__":
    sys.exit(main())
