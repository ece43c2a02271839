# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the worker with faults: it is killed after a stage, and AWS fails now and then.

The stages are wrapped from outside, so the product has no fault points of its own.

    FAULT_STAGE=store FAULT_COUNT=3   SIGKILL after the third time that the stage is done
    FAULT_RATE=0.05                   share of the AWS calls that fail, in one of several ways
    FAULT_SEED=1
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
from collections.abc import Callable
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from ollama_worker import cli, pipeline
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
        if next(times) == count and (name != "receive" or result):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(holder, name, wrapped)


def wrap_provenance(count: int) -> None:
    """Kill between the writes of provenance and result."""
    original = ResultStore.write
    times = itertools.count(1)

    def write(self: Any, key: str, body: bytes, **named: Any) -> Any:
        number = next(times)

        class Killer:
            def put_object(self, **arguments: Any) -> Any:
                answer = client.put_object(**arguments)
                if number == count:
                    os.kill(os.getpid(), signal.SIGKILL)
                return answer

        client, self._s3 = self._s3, Killer()
        try:
            return original(self, key, body, **named)
        finally:
            self._s3 = client

    ResultStore.write = write  # type: ignore[method-assign]


def break_aws(rate: float, dice: random.Random) -> None:
    """Let calls fail before or after they reached AWS."""
    original = URLLib3Session.send

    class Raw:
        def __init__(self, body: bytes) -> None:
            self.body = body

        def stream(self, *_: Any, **__: Any) -> Any:
            yield self.body

        def read(self, *_: Any, **__: Any) -> bytes:
            body, self.body = self.body, b""
            return body

    def refuse(url: str, status: int, code: str) -> AWSResponse:
        body = (
            f"<Error><Code>{code}</Code><Message>injected</Message></Error>"
            if "source-" in url or "results-" in url
            else f'{{"__type": "{code}", "message": "injected"}}'
        )
        return AWSResponse(url, status, {}, Raw(body.encode()))

    def send(self: Any, request: Any) -> Any:
        if dice.random() >= rate:
            return original(self, request)
        way = dice.randrange(5)
        if way == 0:
            return refuse(request.url, 503, "SlowDown")
        if way == 1:
            return refuse(request.url, 400, "ThrottlingException")
        if way == 2:
            raise EndpointConnectionError(endpoint_url=request.url)
        # The call was carried out, but its answer got lost: the worst there is.
        original(self, request)
        if way == 3:
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
    rate = float(os.environ.get("FAULT_RATE", "0"))
    if rate:
        break_aws(rate, random.Random(int(os.environ.get("FAULT_SEED", "0"))))  # noqa: S311
    return cli.main(["run"])


if __name__ == "__main__":
    sys.exit(main())
