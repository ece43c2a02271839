# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP for the emulator: keep-alive connections around moto's WSGI application, on loopback only."""

from __future__ import annotations

import io
import logging
import socket
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.exceptions import InternalServerError
from werkzeug.serving import ThreadedWSGIServer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

LOOPBACK = "127.0.0.1"
_log = logging.getLogger(__name__)


class PortInUseError(Exception):
    """Something else listens on the port."""


class _Handler(MotoRequestHandler):  # type: ignore[misc]
    """One connection.

    Werkzeug's own handler closes the connection after each response, because an application may leave a
    part of the request unread. Here the body is read before the application runs, so that connections can be
    kept: an SDK makes hundreds of small calls, and a connection and a thread for each would be most of the
    cost.
    """

    protocol_version = "HTTP/1.1"
    # Otherwise Nagle's algorithm and delayed acknowledgements add 40 ms to answers on a kept connection.
    disable_nagle_algorithm = True
    # Headers and body leave in one packet.
    wbufsize = -1

    def run_wsgi(self) -> None:
        if self.headers.get("Expect", "").strip().lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        environ: WSGIEnvironment = self.make_environ()
        try:
            body = self._read_body(environ)
        except OSError:
            # A client that ends in the middle of a request has asked for nothing: S3 stores no half object.
            self.close_connection = True
            return
        environ["wsgi.input"] = io.BytesIO(body)
        # A chunked body has been put together here; what is below sees a plain one.
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.pop("wsgi.input_terminated", None)
        environ["CONTENT_LENGTH"] = str(len(body))
        status, headers, content = self._call(environ)
        try:
            self._respond(status, headers, content)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _read_body(self, environ: WSGIEnvironment) -> bytes:
        if environ.get("wsgi.input_terminated"):  # chunked: werkzeug has wrapped the stream
            return bytes(environ["wsgi.input"].read())
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = bytes(self.rfile.read(length))
        if len(body) < length:
            raise ConnectionAbortedError
        return body

    def _call(self, environ: WSGIEnvironment) -> tuple[str, list[tuple[str, str]], bytes]:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Any:
            started.append((status, headers))
            return lambda _data: None

        application: WSGIApplication = self.server.app
        try:
            chunks: Iterable[bytes] = application(environ, start_response)
            content = b"".join(chunks)
            if hasattr(chunks, "close"):
                chunks.close()
        except Exception:
            _log.exception("%s %s", self.command, self.path)
            started.clear()
            content = b"".join(InternalServerError()(environ, start_response))
        status, headers = started[-1]
        return status, headers, content

    def _respond(self, status: str, headers: list[tuple[str, str]], content: bytes) -> None:
        code_text, _, reason = status.partition(" ")
        code = int(code_text)
        self.send_response(code, reason)
        names = {name.lower() for name, _ in headers}
        for name, value in headers:
            self.send_header(name, value)
        bodiless = self.command == "HEAD" or code in {204, 304}
        if "content-length" not in names and not bodiless:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not bodiless:
            self.wfile.write(content)
        self.wfile.flush()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002
        """Say nothing about requests that went well: a stack makes thousands."""
        if str(code).startswith("5"):
            _log.warning('"%s" answered %s', self.requestline, code)


def make_server(application: WSGIApplication, port: int) -> ThreadedWSGIServer:
    """Bind to a port of loopback, 0 for a free one.

    Raises PortInUseError when it is taken.
    """
    try:
        probe = socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise PortInUseError(
            f"Port {port} of {LOOPBACK} cannot be used ({error.strerror}): "
            "stop what listens there or choose another."
        ) from error
    with probe:
        server = ThreadedWSGIServer(LOOPBACK, port, application, _Handler, fd=probe.fileno())
    sys.stdout.flush()
    return server
