# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP side: routes, JSON, streams of lines, and clients that go away."""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from pasture_local.engine.errors import ApiError
from pasture_local.engine.inference import Inference
from pasture_local.engine.models import Models
from pasture_local.engine.runner import Cancellation

Body = dict[str, Any]

# Of which Ollama's API this is a part. A suffix says that it is not Ollama itself.
VERSION = "0.33.0-pasture"
# How often it is looked whether a client has gone, in seconds.
_WATCH_INTERVAL = 0.1
_BLOBS = "/api/blobs/"
# Bytes of a body that are read at a time.
_PIECE = 1 << 20
_log = logging.getLogger(__name__)


class Routes:
    """What answers which request."""

    def __init__(self, models: Models, inference: Inference) -> None:
        self.models = models
        self.plain: dict[tuple[str, str], Callable[[Body, Cancellation], Body | None]] = {
            ("GET", "/api/version"): lambda _body, _c: {"version": VERSION},
            ("GET", "/api/tags"): lambda _body, _c: models.tags(),
            ("GET", "/api/ps"): lambda _body, _c: models.ps(),
            ("POST", "/api/show"): lambda body, _c: models.show(body),
            ("POST", "/api/copy"): lambda body, _c: models.copy(body),
            ("DELETE", "/api/delete"): lambda body, _c: models.delete(body),
            ("POST", "/api/embed"): inference.embed,
            ("POST", "/api/embeddings"): inference.embeddings,
        }
        self.streams: dict[tuple[str, str], Callable[[Body, Cancellation], Iterator[Body]]] = {
            ("POST", "/api/generate"): inference.generate,
            ("POST", "/api/chat"): inference.chat,
            ("POST", "/api/pull"): lambda body, _c: models.pull(body),
            ("POST", "/api/create"): lambda body, _c: models.create(body),
        }

    def methods(self, path: str) -> set[str]:
        """The methods that a path knows."""
        return {method for method, known in (*self.plain, *self.streams) if known == path}


class Server(http.server.ThreadingHTTPServer):
    """Listens, with a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], routes: Routes) -> None:
        self.routes = routes
        super().__init__(address, _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/":
            self._send(200, b"Ollama is running", "text/plain; charset=utf-8")
        else:
            self._dispatch()

    do_HEAD = do_GET  # noqa: N815 - the name is http.server's

    def do_POST(self) -> None:
        self._dispatch()

    def do_DELETE(self) -> None:
        self._dispatch()

    def _dispatch(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(_BLOBS) and self.command in {"HEAD", "POST"}:
            self._blob(path.removeprefix(_BLOBS))
            return
        method = "GET" if self.command == "HEAD" else self.command
        raw = self._read()
        plain = self.server.routes.plain.get((method, path))
        stream = self.server.routes.streams.get((method, path))
        if plain is None and stream is None:
            known = self.server.routes.methods(path)
            status, text = (405, "405 method not allowed") if known else (404, "404 page not found")
            self._send(status, text.encode(), "text/plain")
            return
        try:
            body = _parsed(raw) if method != "GET" else {}
            with self._watched() as cancellation:
                if plain:
                    self._json(200, plain(body, cancellation))
                elif stream:
                    self._answer(stream(body, cancellation), body)
        except ApiError as error:
            self._json(error.status, {"error": error.message})
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            _log.exception("%s %s", self.command, self.path)
            self._json(500, {"error": str(error)})

    def _blob(self, digest: str) -> None:
        """``HEAD`` and ``POST /api/blobs/:digest``: is it there, and here it is."""
        models = self.server.routes.models
        if self.command == "HEAD":
            self._send(200 if models.has_blob(digest) else 404, b"", "application/json; charset=utf-8")
            return
        try:
            self._json(201 if models.put_blob(digest, self._pieces()) else 200, None)
        except ApiError as error:
            self._json(error.status, {"error": error.message})
            # What has not been read of the body is no request.
            self.close_connection = True

    def _answer(self, parts: Iterator[Body], body: Body) -> None:
        try:
            if body.get("stream") is False:
                self._json(200, _whole(parts))
            else:
                self._stream(parts)
        finally:
            # Ends the generator, which gives the model back.
            parts.close()  # type: ignore[attr-defined]

    def _stream(self, parts: Iterator[Body]) -> None:
        # An error before the first part still has a status of its own.
        first = next(parts, None)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            part = first
            while part is not None:
                self._chunk(part)
                part = next(parts, None)
        except ApiError as error:
            self._chunk({"error": error.message})
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, part: Body) -> None:
        line = _encoded(part) + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()

    def _json(self, status: int, body: Body | None) -> None:
        content = b"" if body is None else _encoded(body)
        self._send(status, content, "application/json; charset=utf-8")

    def _send(self, status: int, content: bytes, content_type: str) -> None:
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
                self.wfile.flush()

    def _read(self) -> bytes:
        return b"".join(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        """The body, as it comes."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (piece := self.rfile.read(min(left, _PIECE))):
            left -= len(piece)
            yield piece

    @contextlib.contextmanager
    def _watched(self) -> Iterator[Cancellation]:
        """Cancel when the client closes the connection, as Ollama does."""
        cancellation, over = Cancellation(), threading.Event()

        def watch() -> None:
            while not over.wait(_WATCH_INTERVAL):
                if _closed(self.connection):
                    cancellation.cancel()
                    return

        watcher = threading.Thread(target=watch, name="watcher", daemon=True)
        watcher.start()
        try:
            yield cancellation
        finally:
            over.set()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        _log.debug(format, *args)


def _closed(connection: socket.socket) -> bool:
    try:
        readable = select.select([connection], [], [], 0)[0]
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except (OSError, ValueError):
        return True


def _parsed(raw: bytes) -> Body:
    if not raw.strip():
        raise ApiError(400, "missing request body")
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise ApiError(400, f"invalid JSON: {error}") from error
    if not isinstance(body, dict):
        raise ApiError(400, "json: cannot unmarshal the body into an object")
    return body


def _encoded(body: Body) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _whole(parts: Iterator[Body]) -> Body:
    """The last part, with the text of all of them."""
    last: Body = {}
    response, content = "", ""
    for part in parts:
        last = part
        response += part.get("response", "")
        content += part.get("message", {}).get("content", "")
    if "response" in last:
        last["response"] = response
    if "message" in last:
        last["message"]["content"] = content
    return last
