# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A deployed stack, read back by its names: its processors, queues, and what is in them.

For internal use of this collection only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal

_QUEUE_MISSING = (
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "com.amazonaws.sqs#QueueDoesNotExist",
)
_COUNTS = {
    "ApproximateNumberOfMessages": "waiting",
    "ApproximateNumberOfMessagesNotVisible": "in_flight",
    "ApproximateNumberOfMessagesDelayed": "delayed",
}
# DescribeServices takes so many names.
_SERVICES_AT_ONCE = 10


def prefix_of(stack: str) -> str:
    """What the names of all things of the stack begin with."""
    return f"pasture-{stack}"


def services(ecs: Api, stack: str) -> list[dict[str, Any]]:
    """The active services of a stack, as ECS describes them, in the order of their names.

    :raises Refusal: when there is no such stack.
    """
    cluster = prefix_of(stack)
    arns = list(
        ecs.pages("list_services", "serviceArns", cluster=cluster, missing=("ClusterNotFoundException",))
    )
    found: list[dict[str, Any]] = []
    for start in range(0, len(arns), _SERVICES_AT_ONCE):
        page = ecs.call(
            "describe_services",
            cluster=cluster,
            services=arns[start : start + _SERVICES_AT_ONCE],
            missing=("ClusterNotFoundException",),
        )
        found += (page or {}).get("services", [])
    active = [service for service in found if service["status"] == "ACTIVE"]
    if not active:
        raise Refusal(
            f"there is no stack '{stack}' with processors in the region {ecs.region}; "
            "check pasture_stack, pasture_region and the credentials"
        )
    return sorted(active, key=lambda service: str(service["serviceName"]))


def processor_of(service: Mapping[str, Any], stack: str) -> str:
    """The name of the processor that a service is."""
    return str(service["serviceName"]).removeprefix(f"{prefix_of(stack)}-")


def processors(ecs: Api, stack: str, wanted: list[str]) -> list[str]:
    """The names of a stack's processors, or of those that are wanted.

    :raises Refusal: when there is no such stack, or it has no such processor.
    """
    names = [processor_of(service, stack) for service in services(ecs, stack)]
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise Refusal(f"the stack '{stack}' has no processor '{unknown[0]}'; it has {', '.join(names)}")
    return [name for name in names if not wanted or name in wanted]


@dataclass(frozen=True)
class Queue:
    """A queue and what is in it."""

    url: str
    arn: str
    waiting: int
    in_flight: int
    delayed: int

    @property
    def outstanding(self) -> int:
        """Documents that are not done."""
        return self.waiting + self.in_flight + self.delayed


def queue(sqs: Api, name: str) -> Queue:
    """A queue by its name.

    :raises Refusal: when there is none.
    """
    found = sqs.call("get_queue_url", QueueName=name, missing=_QUEUE_MISSING)
    if found is None:
        raise Refusal(f"the queue {name} does not exist; deploy the stack again to mend it")
    url = str(found["QueueUrl"])
    answer = sqs.call("get_queue_attributes", QueueUrl=url, AttributeNames=["QueueArn", *_COUNTS]) or {}
    attributes = answer.get("Attributes", {})
    counts = {key: int(attributes.get(name, 0)) for name, key in _COUNTS.items()}
    return Queue(url=url, arn=str(attributes["QueueArn"]), **counts)


def failure_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """What a message of a dead-letter queue tells about its document and why it failed."""
    attributes = {
        name: value.get("StringValue", "") for name, value in (message.get("MessageAttributes") or {}).items()
    }
    received = int((message.get("Attributes") or {}).get("ApproximateReceiveCount", 0))
    return {
        "document": document_of(str(message.get("Body", ""))),
        "error_type": attributes.get("ErrorType", "too-many-receives"),
        "reason": attributes.get("Reason")
        or "It was received too often without success; the log of the processor says why.",
        "chain_id": attributes.get("ChainId", ""),
        "received": received,
    }


def document_of(body: str) -> str:
    """The URL of the document that an event is about; empty when the body is no event that is known here."""
    try:
        event = json.loads(body)
        detail = event.get("detail") or {}
        if "object" in detail:
            return f"s3://{detail['bucket']['name']}/{detail['object']['key']}"
        return str(detail["data"]["document"]["url"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def failures(sqs: Api, url: str, most: int) -> list[dict[str, Any]]:
    """Up to C(most) messages of a dead-letter queue, which stay where they are.

    They are hidden for a moment only, so that the second read does not bring what the first one did.
    """
    found: dict[str, dict[str, Any]] = {}
    while len(found) < most:
        answer = sqs.call(
            "receive_message",
            QueueUrl=url,
            MaxNumberOfMessages=min(10, most - len(found)),
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
            VisibilityTimeout=2,
        )
        messages = (answer or {}).get("Messages", [])
        fresh = {m["MessageId"]: failure_of(m) for m in messages if m["MessageId"] not in found}
        if not fresh:
            break
        found |= fresh
    return list(found.values())
