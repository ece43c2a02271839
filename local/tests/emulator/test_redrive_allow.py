# SPDX-License-Identifier: GPL-3.0-or-later
"""A dead-letter queue tells which queues may use it."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.mark.mends("sqs-redrive-allow")
def test_the_redrive_allow_policy_is_given_back(cloud: Any, name: str) -> None:
    sqs = cloud.client("sqs")
    policy = {"redrivePermission": "byQueue", "sourceQueueArns": ["arn:aws:sqs:eu-west-1:123456789012:one"]}
    url = sqs.create_queue(QueueName=name, Attributes={"RedriveAllowPolicy": json.dumps(policy)})["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert json.loads(attributes["RedriveAllowPolicy"]) == policy
