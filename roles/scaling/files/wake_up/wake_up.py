# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wake a service that stands at zero, as soon as there is a document for it.

The rule that feeds a processor's queue also invokes this function, once for each document. It saves
the minutes that queue metrics, alarms and capacity providers take; without it the scaling policies do
the same, later. So it never tries twice, and does nothing for a service that is already awake.

A second rule invokes it every few hours to keep the queues' metrics alive: SQS stops sending them for
a queue that nobody has used for six hours, and the alarms that see a burst would wait for them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

NAMESPACE = "Pasture"
METRIC = "Woken"

# A service that was seen awake is not looked at again for so many seconds: of a million events, one
# in the first millisecond asks ECS, and the others leave at once.
SEEN_FOR = 15.0

_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
}
_MISSING = {"ServiceNotFoundException", "ClusterNotFoundException", "ServiceNotActiveException"}


@dataclass(frozen=True)
class Target:
    """What is to be woken: the constant input of the rule's target."""

    stack: str
    processor: str
    cluster: str
    service: str
    auto_scaling_group: str
    queue: str
    documents_per_task: int
    max_tasks: int
    tasks_per_instance: int


class WakeUp:
    """Wakes services, and remembers which are awake.

    :param client: makes the client of a service by its name, such as C(ecs).
    :param clock: seconds that only ever grow.
    """

    def __init__(self, client: Callable[[str], Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._ecs = client("ecs")
        self._groups = client("autoscaling")
        self._metrics = client("cloudwatch")
        self._sqs = client("sqs")
        self._clock = clock
        self._awake_until: dict[Target, float] = {}

    def wake(self, target: Target) -> str:
        """Set a service without a task to what its documents need; answers what was found or done.

        :raises ClientError: when a call is refused for another reason than haste or absence.
        """
        if self._clock() < self._awake_until.get(target, 0.0):
            return "awake"
        try:
            outcome = self._look_and_wake(target)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _MISSING:
                return "missing"
            if code in _THROTTLED:
                return "throttled"
            raise
        if outcome in {"awake", "woken"}:
            self._awake_until[target] = self._clock() + SEEN_FOR
        return outcome

    def _look_and_wake(self, target: Target) -> str:
        answer = self._ecs.describe_services(cluster=target.cluster, services=[target.service])
        found = answer["services"]
        if not found or found[0].get("status") != "ACTIVE":
            return "missing"
        if found[0]["desiredCount"] > 0:
            return "awake"
        self._tell(target)
        tasks = self._needed(target)
        self._ecs.update_service(cluster=target.cluster, service=target.service, desiredCount=tasks)
        self._start_instances(target, -(-tasks // target.tasks_per_instance))
        return "woken"

    def keep(self, queues: Sequence[str]) -> str:
        """Use each queue, so that SQS goes on sending its metrics.

        "CloudWatch considers a queue to be active for up to six hours if it contains any messages or if any
        action accesses it."
        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/monitoring-using-cloudwatch.html
        """
        kept = 0
        for queue in queues:
            try:
                self._documents(queue)
                kept += 1
            except (BotoCoreError, ClientError) as error:
                print(json.dumps({"message": "the queue was not used", "queue": queue, "error": str(error)}))
        return f"kept {kept}"

    def _documents(self, queue: str) -> int:
        """Documents that wait in a queue or are worked on, as far as SQS knows at once."""
        url = self._sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found.get(name, 0)) for name in names)

    def _needed(self, target: Target) -> int:
        """The tasks that clear the documents there are by now; the policies add those for later ones."""
        try:
            documents = self._documents(target.queue)
        except (BotoCoreError, ClientError) as error:
            log("the documents could not be counted", target, error=str(error))
            return 1
        return max(1, min(target.max_tasks, -(-documents // target.documents_per_task)))

    def _tell(self, target: Target) -> None:
        """Keep the idle alarm from sending the service back to zero on metrics older than this event.

        An alarm that is in alarm repeats its scaling action every minute, and the queue's metrics are a
        minute or more behind (https://repost.aws/knowledge-center/autoscaling-policy-cloudwatch-alarm).
        """
        dimensions = [
            {"Name": "Stack", "Value": target.stack},
            {"Name": "Processor", "Value": target.processor},
        ]
        try:
            self._metrics.put_metric_data(
                Namespace=NAMESPACE,
                MetricData=[{"MetricName": METRIC, "Dimensions": dimensions, "Value": 1, "Unit": "Count"}],
            )
        except (BotoCoreError, ClientError) as error:
            # Worst case: back to zero too early, and awake again by the alarm.
            log("the idle alarm could not be told", target, error=str(error))

    def _start_instances(self, target: Target, count: int) -> None:
        """Start the first instances now; the capacity provider would, some minutes later."""
        try:
            answer = self._groups.describe_auto_scaling_groups(
                AutoScalingGroupNames=[target.auto_scaling_group]
            )
            if any(group["DesiredCapacity"] < count for group in answer["AutoScalingGroups"]):
                self._groups.set_desired_capacity(
                    AutoScalingGroupName=target.auto_scaling_group, DesiredCapacity=count, HonorCooldown=False
                )
        except (BotoCoreError, ClientError) as error:
            log("the instances are left to the capacity provider", target, error=str(error))


def log(message: str, target: Target, **details: Any) -> None:
    """One line of JSON in the function's log group."""
    print(json.dumps({"message": message, "stack": target.stack, "processor": target.processor, **details}))


def _client(service: str) -> Any:
    # Whoever comes too late is served by the policies: one try, no waiting.
    config = Config(connect_timeout=2, read_timeout=4, retries={"total_max_attempts": 1})
    return boto3.client(service, config=config)


@cache
def _wake_up() -> WakeUp:
    """Kept between the invocations of one sandbox, with its clients and what it has seen."""
    return WakeUp(_client)


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    """The entry point of Lambda.

    :param event: the fields of C(Target), or C(queues), the names of those whose metrics are to be kept alive.
    """
    if "queues" in event:
        return {"outcome": _wake_up().keep(event["queues"])}
    target = Target(**event)
    outcome = _wake_up().wake(target)
    if outcome != "awake":
        log(outcome, target)
    return {"outcome": outcome}
