# SPDX-License-Identifier: GPL-3.0-or-later
"""A small HTTP server for what tasks and the emulator ask of the control process; on loopback only."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_log = logging.getLogger(__name__)

Answer = tuple[int, Any]  # status and what is sent as JSON
#: Gets method, the path below its prefix without query, and the parsed body (None when there is none).
Route = Callable[[str, str, Any], Answer]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ControlServer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        try:
            status, answer = self.server.route(self.command, path, json.loads(body) if body else None)
        except ValueError as error:
            status, answer = 400, {"error": f"The body is not JSON: {error}"}
        except Exception as error:
            _log.exception("%s %s", self.command, path)
            status, answer = 500, {"error": str(error)}
        content = json.dumps(answer, default=str).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = _answer  # noqa: N815 - the names that the base class looks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class has it
        """Say nothing: tasks ask for credentials all the time."""


class ControlServer(ThreadingHTTPServer):
    """Serves routes by the beginning of their path, on a socket that listens already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, routes: dict[str, Route]) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self._routes = routes

    def route(self, method: str, path: str, body: Any) -> Answer:
        for prefix, route in self._routes.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                return route(method, path[len(prefix) :].strip("/"), body)
        return 404, {"error": f"There is nothing at {path}."}
