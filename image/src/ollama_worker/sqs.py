# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue: receive, extend, hand back, move to the dead-letter queue, delete."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ollama_worker.aws import calling
from ollama_worker.errors import WorkerError

#: What one call of SQS takes at most.
BATCH = 10

_MAX_DELAY = 900
_FIRST_DELAY = 10
_MAX_REASON_BYTES = 1024

# What SQS allows in a message attribute (the characters of XML 1.0).
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Message:
    """A message in hand.

    :ivar receives: how often it was received, this time included.
    :ivar sent: when it was sent, in seconds since the epoch; 0 when unknown.
    """

    id: str
    receipt: str
    body: str
    receives: int = 1
    sent: float = 0.0


class Queue:
    """An SQS queue with its dead-letter queue."""

    def __init__(self, sqs: Any, url: str, dlq_url: str | None, visibility_seconds: int) -> None:
        self._sqs = sqs
        self._url = url
        self._dlq_url = dlq_url
        self._visibility = visibility_seconds

    def max_receives(self) -> int | None:
        """After how many receives the queue moves a message away by itself; None for never."""
        with calling("read the queue's redrive policy"):
            answer = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["RedrivePolicy"])
        policy = json.loads((answer.get("Attributes") or {}).get("RedrivePolicy") or "{}")
        return int(policy["maxReceiveCount"]) if "maxReceiveCount" in policy else None

    def receive(self, count: int, wait_seconds: int) -> list[Message]:
        """Up to `count` messages, waiting `wait_seconds` for the first."""
        with calling("receive messages"):
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(count, BATCH),
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=self._visibility,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
        messages = []
        for raw in answer.get("Messages") or []:
            attributes = raw.get("Attributes") or {}
            messages.append(
                Message(
                    id=raw["MessageId"],
                    receipt=raw["ReceiptHandle"],
                    body=raw.get("Body") or "",
                    receives=int(attributes.get("ApproximateReceiveCount") or 1),
                    sent=int(attributes.get("SentTimestamp") or 0) / 1000,
                )
            )
        return messages

    def extend(self, messages: Sequence[Message]) -> list[Message]:
        """Keep messages invisible for another visibility timeout.

        :returns: those that could not be kept: deleted, expired, or the call failed for them.
        """
        lost: list[Message] = []
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            with calling("extend the visibility of messages"):
                answer = self._sqs.change_message_visibility_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {"Id": str(n), "ReceiptHandle": m.receipt, "VisibilityTimeout": self._visibility}
                        for n, m in enumerate(batch)
                    ],
                )
            lost += [batch[int(failed["Id"])] for failed in answer.get("Failed") or []]
        return lost

    def hand_back(self, message: Message, delay: int = 0) -> None:
        """Make a message visible again after `delay` seconds."""
        with calling("hand a message back"):
            self._sqs.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=message.receipt, VisibilityTimeout=delay
            )

    def delete(self, message: Message) -> None:
        """The message is done with."""
        with calling("delete a message"):
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)

    def bury(self, message: Message, error: WorkerError, chain_id: str) -> None:
        """Put a copy of the message on the dead-letter queue, with the reason as attributes."""
        if self._dlq_url is None:
            return
        attributes = {"Reason": str(error), "ErrorType": error.slug, "ChainId": chain_id}
        with calling("move a message to the dead-letter queue"):
            self._sqs.send_message(
                QueueUrl=self._dlq_url,
                MessageBody=_FORBIDDEN.sub("\ufffd", message.body) or "{}",
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": _attribute(value)}
                    for name, value in attributes.items()
                    if value
                },
            )


def retry_delay(receives: int) -> int:
    """Seconds until a message that failed is tried again: doubling, with jitter, at most 15 minutes."""
    ceiling = min(_MAX_DELAY, _FIRST_DELAY * 2 ** min(receives - 1, 10))
    # Spread, so that documents that failed together do not come back together.
    return random.randint(ceiling // 2, ceiling)  # noqa: S311


def _attribute(value: str) -> str:
    clean = _FORBIDDEN.sub("\ufffd", value)
    return clean.encode("utf-8", "replace")[:_MAX_REASON_BYTES].decode("utf-8", "ignore")
