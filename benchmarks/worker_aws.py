# SPDX-License-Identifier: GPL-3.0-or-later
"""S3, SQS, EventBridge and Parameter Store, as light as can be, for measuring the worker.

moto's server takes some 10 ms of processor time for a call and looks at every message of a queue for each
receive: with it, a benchmark of the worker measures moto. This one has only the calls that the worker makes, in
the shapes that botocore understands, and answers each after a round trip of its own (`--latency`), as AWS does.

    python benchmarks/worker_aws.py --documents 400 --messages 400     # prints its URL, and serves until it is ended
"""

from __future__ import annotations

import argparse
import hashlib
import json
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

SOURCE, RESULTS = "source", "results"
QUEUE = "/000000000000/work"
BUS = "bench"
PARAMETER = "/pasture/bench/models/m"
DEFINITION = {
    "schema_version": 1,
    "name": "tiny",
    "tag": "latest",
    "family": "llama",
    "capabilities": ["completion"],
    "inputs": ["text/plain"],
    "outputs": ["text/plain"],
    "context_length": 131072,
    "options": {},
}


@dataclass
class State:
    """Everything that the services know."""

    latency: float
    model: dict[str, Any]
    objects: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    visible: deque[tuple[str, str, float, int]] = field(default_factory=deque)
    in_flight: dict[str, tuple[str, str, float, int, float]] = field(default_factory=dict)
    events: int = 0
    calls: int = 0
    lock: threading.Condition = field(default_factory=threading.Condition)

    def receive(self, count: int, wait: float, visibility: float) -> list[dict[str, Any]]:
        """Up to `count` messages; those whose time is over are visible again."""
        deadline = time.monotonic() + wait
        with self.lock:
            self._expire()
            while not self.visible and time.monotonic() < deadline:
                self.lock.wait(0.05)
                self._expire()
            messages: list[dict[str, Any]] = []
            while self.visible and len(messages) < count:
                name, body, sent, receives = self.visible.popleft()
                receipt = uuid.uuid4().hex
                self.in_flight[receipt] = (name, body, sent, receives + 1, time.monotonic() + visibility)
                attributes = {
                    "ApproximateReceiveCount": str(receives + 1),
                    "SentTimestamp": str(int(sent * 1000)),
                }
                messages.append(
                    {"MessageId": name, "ReceiptHandle": receipt, "Body": body, "Attributes": attributes}
                )
            return messages

    def change(self, receipt: str, visibility: float) -> None:
        with self.lock:
            if receipt in self.in_flight:
                entry = self.in_flight[receipt]
                self.in_flight[receipt] = (*entry[:4], time.monotonic() + visibility)

    def _expire(self) -> None:
        now = time.monotonic()
        for receipt in [r for r, entry in self.in_flight.items() if entry[4] <= now]:
            self.visible.append(self.in_flight.pop(receipt)[:4])


class _Handler(BaseHTTPRequestHandler):
    state: State
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _begin(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.state.calls += 1
        if self.state.latency:
            time.sleep(self.state.latency)
        return body

    def do_POST(self) -> None:
        body = json.loads(self._begin() or b"{}")
        service, _, action = self.headers["X-Amz-Target"].rpartition(".")
        answer = getattr(self, f"_{action}")(body)
        kind = "application/x-amz-json-1.0" if service == "AmazonSQS" else "application/x-amz-json-1.1"
        self._send(200, json.dumps(answer).encode(), {"Content-Type": kind})

    def _SendMessage(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - named after the action
        name = str(uuid.uuid4())
        with self.state.lock:
            self.state.visible.append((name, body["MessageBody"], time.time(), 0))
            self.state.lock.notify()
        return {"MessageId": name}

    def _ReceiveMessage(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - as above
        found = self.state.receive(
            body.get("MaxNumberOfMessages", 1),
            body.get("WaitTimeSeconds", 0),
            body.get("VisibilityTimeout", 30),
        )
        return {"Messages": found} if found else {}

    def _DeleteMessage(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - as above
        with self.state.lock:
            self.state.in_flight.pop(body["ReceiptHandle"], None)
        return {}

    def _ChangeMessageVisibility(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - as above
        self.state.change(body["ReceiptHandle"], body["VisibilityTimeout"])
        return {}

    def _ChangeMessageVisibilityBatch(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - as above
        for entry in body["Entries"]:
            self.state.change(entry["ReceiptHandle"], entry["VisibilityTimeout"])
        return {"Successful": [{"Id": entry["Id"]} for entry in body["Entries"]], "Failed": []}

    def _GetQueueAttributes(self, _body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - as above
        state = self.state
        with state.lock:
            counts = {
                "ApproximateNumberOfMessages": str(len(state.visible)),
                "ApproximateNumberOfMessagesNotVisible": str(len(state.in_flight)),
            }
        return {"Attributes": counts}

    def _PutEvents(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - as above
        self.state.events += len(body["Entries"])
        return {"FailedEntryCount": 0, "Entries": [{"EventId": str(uuid.uuid4())} for _ in body["Entries"]]}

    def _GetParameter(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - as above
        return {"Parameter": {"Name": body["Name"], "Value": json.dumps(self.state.model)}}

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path)

    def do_PUT(self) -> None:
        data = self._begin()
        state = self.state
        key = self._key()
        with state.lock:
            if self.headers.get("If-None-Match") == "*" and key in state.objects:
                self._send(412)
                return
            headers = {
                n: v for n, v in self.headers.items() if n.lower().startswith(("x-amz-meta-", "content-type"))
            }
            etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
            state.objects[key] = (data, {**headers, "ETag": etag})
        self._send(200, headers={"ETag": etag})

    def do_GET(self) -> None:
        self._object()

    def do_HEAD(self) -> None:
        self._object()

    def _object(self) -> None:
        self._begin()
        found = self.state.objects.get(self._key())
        if found is None:
            self._send(404, b"" if self.command == "HEAD" else b"<Error><Code>NoSuchKey</Code></Error>")
            return
        data, headers = found
        self._send(200, data if self.command == "GET" else b"", {**headers, "Content-Length": str(len(data))})


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A worker that is killed leaves its connections behind: not worth a traceback."""


def document(number: int) -> str:
    """A small document: a paragraph that no other document has."""
    return f"Document {number}. " + "It is a small one. " * 20


def preload(state: State, documents: int, messages: int) -> None:
    """Small documents in the source bucket, and their events in the queue, again and again."""
    events = []
    for number in range(documents):
        key = f"{number:05}.txt"
        data = document(number).encode()
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        state.objects[f"/{SOURCE}/{key}"] = (data, {"ETag": f'"{etag}"', "Content-Type": "text/plain"})
        detail = {"bucket": {"name": SOURCE}, "object": {"key": key, "size": len(data), "etag": etag}}
        event = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
        events.append(json.dumps(event))
    for number in range(messages):
        state.visible.append((str(uuid.uuid4()), events[number % documents], time.time(), 0))


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--latency", type=float, default=0.02, help="seconds that each call takes")
    parser.add_argument("--documents", type=int, default=10, help="documents in the source bucket")
    parser.add_argument("--messages", type=int, default=10, help="messages in the queue, of these documents")
    parser.add_argument("--model", type=json.loads, default={}, help="changes of the model's definition")
    options = parser.parse_args()
    state = State(options.latency, {**DEFINITION, **options.model})
    preload(state, options.documents, options.messages)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
