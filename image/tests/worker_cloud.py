# SPDX-License-Identifier: GPL-3.0-or-later
"""What the worker finds around it in AWS, made on the embedded cloud's emulator."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session

REGION = "eu-west-1"
# Far more than anything takes here, also on a machine that does other things.
DEADLINE = 180.0  # seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def emulator() -> Iterator[str]:
    """The URL of an emulator in a process of its own."""
    # Not moto itself, which loses a message that is sent while another one is deleted, and counts one whose
    # visibility ends in that moment not at all (docs/fidelity.md).
    command = [sys.executable, "-m", "pasture_local.emulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            said = re.search(r"http://\S+", process.stdout.readline())
            assert said, "the emulator did not start"
            yield said[0]
        finally:
            # It holds nothing that needs an orderly end.
            process.kill()


class Cloud:
    """Buckets, queues, bus and model definition of one processor."""

    def __init__(self, endpoint: str, *, max_receives: int = 5) -> None:
        self.endpoint = endpoint
        self.id = uuid.uuid4().hex[:8]
        self.environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_MAX_ATTEMPTS": "2",
        }
        session = botocore.session.get_session()
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        for service in ("s3", "sqs", "events", "ssm"):
            client = session.create_client(service, region_name=REGION, endpoint_url=endpoint, **keys)
            setattr(self, service, client)
        self.source = f"source-{self.id}"
        self.results = f"results-{self.id}"
        where = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
        self.s3.create_bucket(Bucket=self.source, **where)
        self.s3.create_bucket(Bucket=self.results, **where)
        self.dlq = self.sqs.create_queue(QueueName=f"q-{self.id}-dlq")["QueueUrl"]
        self.events_queue = self.sqs.create_queue(QueueName=f"events-{self.id}")["QueueUrl"]
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": self.arn(self.events_queue),
        }
        self.sqs.set_queue_attributes(
            QueueUrl=self.events_queue,
            Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [allowed]})},
        )
        policy = {"deadLetterTargetArn": self.arn(self.dlq), "maxReceiveCount": max_receives}
        self.queue = self.sqs.create_queue(
            QueueName=f"q-{self.id}", Attributes={"RedrivePolicy": json.dumps(policy)}
        )["QueueUrl"]
        self.bus = f"bus-{self.id}"
        self.events.create_event_bus(Name=self.bus)
        pattern = {"source": [{"prefix": "/pasture/"}]}
        self.events.put_rule(Name="all", EventBusName=self.bus, EventPattern=json.dumps(pattern))
        self.events.put_targets(
            Rule="all", EventBusName=self.bus, Targets=[{"Id": "q", "Arn": self.arn(self.events_queue)}]
        )
        self.parameter = f"/pasture/{self.id}/models/tiny/latest"
        self.define()

    s3: Any
    sqs: Any
    events: Any
    ssm: Any

    def arn(self, queue_url: str) -> str:
        answer = self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    def define(self, **changes: Any) -> None:
        definition = {
            "schema_version": 1,
            "name": "tiny",
            "tag": "latest",
            "family": "llama",
            "capabilities": ["completion"],
            "inputs": ["text/plain", "text/markdown", "text/csv", "text/html", "application/pdf"],
            "outputs": ["text/plain"],
            "context_length": 131072,
            "size": 1000,
            "options": {},
            "from": None,
            **changes,
        }
        self.ssm.put_parameter(
            Name=self.parameter, Value=json.dumps(definition), Type="String", Overwrite=True
        )

    def put(self, key: str, data: bytes | str, *, event: bool = True, **arguments: Any) -> dict[str, Any]:
        """Put a document and send its event to the queue; returns the event."""
        raw = data.encode() if isinstance(data, str) else data
        answer = self.s3.put_object(Bucket=self.source, Key=key, Body=raw, **arguments)
        value = s3_event(self.source, key, len(raw), answer["ETag"].strip('"'))
        if event:
            self.send(value)
        return value

    def send(self, body: dict[str, Any] | str) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=text)

    def settings(self, **changes: str) -> dict[str, str]:
        """The worker's environment."""
        return {
            **self.environment,
            "PASTURE_STACK": "test",
            "PASTURE_PROCESSOR": "summarize",
            "PASTURE_QUEUE_URL": self.queue,
            "PASTURE_DLQ_URL": self.dlq,
            "PASTURE_RESULTS_BUCKET": self.results,
            "PASTURE_EVENT_BUS": self.bus,
            "PASTURE_MODEL_PARAMETER": self.parameter,
            "PASTURE_PROMPT": "Summarize.",
            "PASTURE_POLL_SECONDS": "1",
            **changes,
        }

    def messages(self, queue_url: str) -> list[dict[str, Any]]:
        """All messages of a queue; they are deleted."""
        found: list[dict[str, Any]] = []
        while True:
            answer = self.sqs.receive_message(
                QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
            )
            if not answer.get("Messages"):
                return found
            for message in answer["Messages"]:
                self.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
                found.append(message)

    def announced(self) -> list[dict[str, Any]]:
        """The events on the bus since the last look, as EventBridge delivered them."""
        return [json.loads(message["Body"]) for message in self.messages(self.events_queue)]

    def outstanding(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)
        return sum(int(value) for name, value in answer["Attributes"].items() if name in names)

    def result(self, key: str) -> str:
        return str(self.s3.get_object(Bucket=self.results, Key=key)["Body"].read().decode())

    def provenance(self, key: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.result(key + ".provenance.json"))
        return value

    def result_keys(self) -> list[str]:
        keys: list[str] = []
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.results):
            keys += [entry["Key"] for entry in page.get("Contents") or []]
        return [key for key in keys if not key.endswith(".provenance.json")]


def s3_event(bucket: str, key: str, size: int, etag: str, sequencer: str = "") -> dict[str, Any]:
    """EventBridge's "Object Created", as AWS documents it."""
    entry = {"key": key, "size": size, "etag": etag, "sequencer": sequencer or uuid.uuid4().hex[:16].upper()}
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "123456789012",
        "time": "2026-01-22T13:19:10Z",
        "region": REGION,
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {"version": "0", "bucket": {"name": bucket}, "object": entry, "reason": "PutObject"},
    }


class Worker:
    """``ollama-worker run`` as a process."""

    def __init__(self, environment: dict[str, str], folder: Path, *command: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log_path = folder / f"worker-{uuid.uuid4().hex[:6]}.log"
        self._log = self.log_path.open("wb")
        base = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PYTHONUNBUFFERED": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, *(command or ("-m", "ollama_worker", "run"))],
            env={**base, **environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._log.close()

    def stop(self, seconds: float = 60.0) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def log(self) -> list[dict[str, Any]]:
        lines = []
        for line in self.log_path.read_text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                lines.append({"message": line})
        return lines

    def text(self) -> str:
        return self.log_path.read_text()


def wait_for(condition: Any, seconds: float = DEADLINE, worker: Worker | None = None) -> None:
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if worker is not None and worker.process.poll() is not None:
            raise AssertionError(f"the worker ended:\n{worker.text()[-3000:]}")
        if time.monotonic() > deadline:
            raise AssertionError("not in time" + (f":\n{worker.text()[-3000:]}" if worker else ""))
        time.sleep(0.05)
