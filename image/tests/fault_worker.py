# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the worker with faults: it is killed after a stage, and AWS fails now and then.

The stages are wrapped from outside, so the product has no fault points of its own.

    FAULT_STAGE=store FAULT_COUNT=3   SIGKILL after the third time that the stage is done
    FAULT_RATES={"s3": 0.05, ...}     share of the calls to each service that fail, in one of several ways
    FAULT_SEED=1
    FAULT_LOG=file                    gets a line for each
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from urllib3.exceptions import ProtocolError

from ollama_worker import cli, pipeline, sqs, worker
from ollama_worker.documents import DocumentWork
from ollama_worker.results import ResultStore
from ollama_worker.sqs import Queue

#: After each arrow of the flow, and between the two writes of a result.
STAGES: dict[str, tuple[Any, str]] = {
    "receive": (Queue, "receive"),
    "parse": (pipeline, "parse"),
    "look-up": (DocumentWork, "look_up"),
    "load": (DocumentWork, "load"),
    "extract": (DocumentWork, "extract"),
    "infer": (DocumentWork, "infer"),
    "store": (DocumentWork, "store"),
    "announce": (DocumentWork, "announce"),
    "announce-failure": (DocumentWork, "announce_failure"),
    "bury": (Queue, "bury"),
    "delete": (Queue, "delete"),
    "provenance": (ResultStore, "write"),
}


def wrap(holder: Any, name: str, count: int) -> None:
    original: Callable[..., Any] = getattr(holder, name)
    times = itertools.count(1)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        # An empty receive is none.
        if (name != "receive" or result) and next(times) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(holder, name, wrapped)


def wrap_provenance(count: int) -> None:
    """Kill between the writes of provenance and result."""
    original = ResultStore.__init__
    times = itertools.count(1)

    class Killer:
        def __init__(self, client: Any) -> None:
            self._client = client

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

        def put_object(self, **arguments: Any) -> Any:
            answer = self._client.put_object(**arguments)
            if arguments["Key"].endswith(".provenance.json") and next(times) == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

    def init(self: Any, s3: Any, *arguments: Any) -> None:
        original(self, Killer(s3), *arguments)

    ResultStore.__init__ = init  # type: ignore[method-assign]


class _Body:
    """A body as botocore reads one; `broken` drops the connection in the middle of it."""

    def __init__(self, body: bytes, *, broken: bool = False) -> None:
        self.body = body
        self.broken = broken

    def read(self, *_: Any, **__: Any) -> bytes:
        body, self.body = self.body, b""
        if self.broken and not body:
            raise ProtocolError("injected: connection broken")
        return body

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self.read()

    def close(self) -> None:
        pass


def _answer(url: str, status: int, body: bytes) -> AWSResponse:
    return AWSResponse(url, status, {}, _Body(body))


def _refused(request: Any, service: str, status: int, code: str) -> AWSResponse:
    if service == "s3":
        body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>"
    else:
        body = json.dumps({"__type": code, "message": "injected"})
    return _answer(request.url, status, body.encode())


def _service(request: Any) -> str:
    target = request.headers.get("X-Amz-Target", b"")
    name = (target.decode() if isinstance(target, bytes) else target).partition(".")[0]
    return {"AmazonSQS": "sqs", "AWSEvents": "events", "AmazonSSM": "ssm"}.get(name, "s3")


#: What can happen to a call. A call that is lost was carried out, but its answer did not arrive: the worst there is.
FAULTS = ("throttled", "failed", "unreachable", "timed out", "dropped", "half done")


def break_aws(rates: dict[str, float], dice: random.Random, log: Path) -> None:
    """Let calls fail before or after they reached AWS, each fault as a line of `log`."""
    original = URLLib3Session.send

    def send(self: Any, request: Any) -> Any:
        service = _service(request)
        if dice.random() >= rates[service]:
            return original(self, request)
        # A body that ends half-way comes with documents alone: often enough to be seen.
        fault = dice.choice(FAULTS + ("half done",) * 2 * (request.method == "GET"))
        if fault == "half done" and not (service == "events" or request.method == "GET"):
            fault = "dropped"
        with log.open("a") as file:
            file.write(f"{service} {fault}\n")
        if fault == "throttled":
            code = "SlowDown" if service == "s3" else "ThrottlingException"
            return _refused(request, service, 503 if service == "s3" else 400, code)
        if fault == "failed":
            return _refused(request, service, 500, "InternalError")
        if fault == "unreachable":
            raise EndpointConnectionError(endpoint_url=request.url)
        if fault == "half done" and service == "events":
            # EventBridge refuses an entry under status 200.
            entry = {"ErrorCode": "InternalFailure", "ErrorMessage": "injected"}
            return _answer(request.url, 200, json.dumps({"FailedEntryCount": 1, "Entries": [entry]}).encode())
        answer = original(self, request)
        if fault == "half done":
            content = answer.content
            answer.raw = _Body(content[: len(content) // 2], broken=True)
            answer._content = None
            return answer
        if fault == "timed out":
            raise ReadTimeoutError(endpoint_url=request.url)
        raise ConnectionClosedError(endpoint_url=request.url)

    URLLib3Session.send = send


def main() -> int:
    stage = os.environ.get("FAULT_STAGE", "")
    count = int(os.environ.get("FAULT_COUNT", "1"))
    if stage == "provenance":
        wrap_provenance(count)
    elif stage:
        wrap(*STAGES[stage], count)
    rates = json.loads(os.environ.get("FAULT_RATES", "{}"))
    if rates:
        # The pauses after a fault are not what is shown, and there are many faults.
        worker._DEFINITION_SECONDS, pipeline._RECEIVE_PAUSE = 1.0, 0.5
        sqs._FIRST_DELAY, sqs._MAX_DELAY = 2, 8
        dice = random.Random(int(os.environ["FAULT_SEED"]))  # noqa: S311
        break_aws(rates, dice, Path(os.environ["FAULT_LOG"]))
    return cli.main(["run"])


if __name__ == "__main__":
    sys.exit(main())
