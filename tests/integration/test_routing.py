# SPDX-License-Identifier: GPL-3.0-or-later
"""Forty objects put into an emulated bucket reach exactly the right ones of six queues, by the rules of a stack."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / ".build" / "dev"))

# By name, since a collection carries no types.
COLLECTION = "ansible_collections.pasture.ollama.plugins"
event_patterns = importlib.import_module(f"{COLLECTION}.filter.pipeline").event_patterns
TEXT_INPUTS = importlib.import_module(f"{COLLECTION}.module_utils._mime_types").TEXT_INPUTS

pytestmark = pytest.mark.integration

FIXTURE = yaml.safe_load((ROOT / "tests" / "fixtures" / "routing.yml").read_text(encoding="utf-8"))
BUCKET = "routing-source"
BUS = "pasture-docs"
REGION = "eu-west-1"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An emulator of this test's own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pasture_local.emulator", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(120)


class Account:
    """A bucket, a bus, and a queue with its rules for each processor."""

    def __init__(self, endpoint: str) -> None:
        self.s3, self.events, self.sqs = (
            boto3.client(
                service,
                region_name=REGION,
                endpoint_url=endpoint,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
            )
            for service in ("s3", "events", "sqs")
        )
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        self.events.create_event_bus(Name=BUS)
        self.queues = {name: self._processor(name, row) for name, row in FIXTURE["processors"].items()}

    def _processor(self, name: str, row: dict[str, Any]) -> str:
        url: str = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        inputs = TEXT_INPUTS if row["inputs"] == "text" else row["inputs"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "events.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": arn,
                }
            ],
        }
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        rules = event_patterns(inputs, "docs", BUCKET, row["sources"], row.get("sniff", False))
        for index, rule in enumerate(rules):
            bus = {"EventBusName": BUS if rule["bus"] == "stack" else "default"}
            rule_name = f"{name}-{index}"
            self.events.put_rule(Name=rule_name, EventPattern=json.dumps(rule["pattern"]), **bus)
            self.events.put_targets(Rule=rule_name, Targets=[{"Id": "queue", "Arn": arn}], **bus)
        return url

    def received(self, name: str) -> list[dict[str, Any]]:
        """All events in a processor's queue, taken out of it."""
        found: list[dict[str, Any]] = []
        while messages := self.sqs.receive_message(
            QueueUrl=self.queues[name], MaxNumberOfMessages=10, WaitTimeSeconds=0
        ).get("Messages"):
            found += [json.loads(message["Body"]) for message in messages]
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.queues[name], ReceiptHandle=message["ReceiptHandle"])
        return found


@pytest.fixture(scope="module")
def account(endpoint: str) -> Account:
    return Account(endpoint)


def test_each_object_reaches_exactly_the_right_queues_once(account: Account) -> None:
    for key in FIXTURE["keys"]:
        account.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    reached = {
        name: sorted(event["detail"]["object"]["key"] for event in account.received(name))
        for name in account.queues
    }
    assert reached == {
        name: sorted(key for key, names in FIXTURE["keys"].items() if name in names)
        for name in account.queues
    }


def test_a_chain_carries_what_the_next_can_read(account: Account) -> None:
    for processor, mime_type in (
        ("summarize", "text/plain"),
        ("caption", "image/png"),
        ("translate", "text/plain"),
    ):
        detail = {"data": {"document": {"url": f"s3://results/{processor}", "type": mime_type}}}
        account.events.put_events(
            Entries=[
                {
                    "EventBusName": BUS,
                    "Source": f"/pasture/docs/{processor}",
                    "DetailType": "document-created",
                    "Detail": json.dumps(detail),
                }
            ]
        )
    events = account.received("translate")
    assert [event["detail"]["data"]["document"]["url"] for event in events] == ["s3://results/summarize"]
