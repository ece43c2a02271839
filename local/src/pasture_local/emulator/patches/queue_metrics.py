# SPDX-License-Identifier: GPL-3.0-or-later
"""What SQS tells CloudWatch about its queues, for the alarm loop that plays CloudWatch."""

from __future__ import annotations

import json
import time
from typing import Any

from moto.core.responses import TYPE_RESPONSE
from moto.sqs.models import Queue, sqs_backends

from pasture_local.emulator.patches._patch import OwnPath, Patch
from pasture_local.emulator.patches.sqs import counts

# A message that was received three times or more counts as a poison pill and is left out of the age:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
_POISON_RECEIVES = 3
PATH = "/moto-api/pasture/queues"


def age_of_oldest(queue: Any, now: float) -> float:
    """ApproximateAgeOfOldestMessage of a queue in seconds."""
    # moto keeps milliseconds.
    sent = [
        message.sent_timestamp / 1000
        for message in queue._messages
        if message.sent_timestamp and message.approximate_receive_count < _POISON_RECEIVES
    ]
    return max(0.0, now - min(sent)) if sent else 0.0


def queues(_request: Any, _url: str, _headers: Any) -> TYPE_RESPONSE:
    """moto publishes no metrics, and the API of SQS tells neither the age of messages nor how many were deleted."""
    now = time.time()
    answer = [
        {
            "region": region,
            "name": queue.name,
            **counts(queue)._asdict(),
            "age": age_of_oldest(queue, now),
            "deleted": getattr(queue, "pasture_deleted", 0),
        }
        for _, account in sqs_backends.items()
        for region, backend in account.items()
        for queue in backend.queues.values()
    ]
    return 200, {"Content-Type": "application/json"}, json.dumps(answer)


def delete_message(original: Any, self: Any, receipt_handle: str) -> None:
    """moto keeps no count of the deletions, which AWS publishes as NumberOfMessagesDeleted."""
    original(self, receipt_handle)
    self.pasture_deleted = getattr(self, "pasture_deleted", 0) + 1


PATCHES = (
    OwnPath("sqs-metrics", PATH, queues),
    Patch("sqs-deletions", Queue, "delete_message", delete_message),
)
