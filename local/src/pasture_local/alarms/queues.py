# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics that SQS publishes each minute.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from pasture_local.alarms.metrics import Metric
from pasture_local.cloud import Cloud

NAMESPACE = "AWS/SQS"
#: Where the emulator tells what the API of SQS does not.
PATH = "/moto-api/pasture/queues"


class QueueMetrics:
    """Samples the queues of the region."""

    def __init__(self, cloud: Cloud) -> None:
        self._url = f"{cloud.endpoint_url}{PATH}"
        self._region = cloud.region
        self._deleted: dict[str, int] = {}

    def sample(self, speed: float) -> dict[Metric, float]:
        """The metrics of this moment; ages are in virtual seconds."""
        with urllib.request.urlopen(self._url, timeout=10) as answer:  # noqa: S310 - always the emulator's http URL
            queues: list[dict[str, Any]] = json.load(answer)
        found: dict[Metric, float] = {}
        for queue in queues:
            if queue["region"] == self._region:
                found |= self._of(queue, speed)
        return found

    def _of(self, queue: Mapping[str, Any], speed: float) -> dict[Metric, float]:
        name = queue["name"]
        before = self._deleted.get(name, 0)
        self._deleted[name] = queue["deleted"]
        figures = {
            "ApproximateNumberOfMessagesVisible": queue["visible"],
            "ApproximateNumberOfMessagesNotVisible": queue["not_visible"],
            "ApproximateNumberOfMessagesDelayed": queue["delayed"],
            "ApproximateAgeOfOldestMessage": queue["age"] * speed,
            # A queue that was emptied and made anew begins to count anew.
            "NumberOfMessagesDeleted": max(0, queue["deleted"] - before),
        }
        dimension = frozenset({("QueueName", name)})
        return {Metric(NAMESPACE, key, dimension): float(value) for key, value in figures.items()}
