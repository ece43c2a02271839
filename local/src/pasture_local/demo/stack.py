# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployed stack as the demonstration sees it: through AWS's own interfaces, by the names that are a promise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from pasture_local.cloud import Cloud


@dataclass(frozen=True)
class Snapshot:
    """What goes on at one moment."""

    waiting: int
    in_flight: int
    rejected: int
    desired: int
    running: int
    instances: int

    @property
    def at_rest(self) -> bool:
        """Whether nothing is left to do and nothing runs."""
        return not (self.waiting or self.in_flight or self.desired or self.running or self.instances)

    def __str__(self) -> str:
        return (
            f"documents: {self.waiting} waiting, {self.in_flight} in flight; "
            f"tasks: {self.running} of {self.desired}; instances: {self.instances}"
        )


@dataclass(frozen=True)
class Result:
    """A result with its provenance."""

    url: str
    text: str
    prompt_tokens: int
    output_tokens: int
    parts: int
    dropped: int
    seconds: float


@dataclass(frozen=True)
class Rejection:
    """A document in the dead-letter queue."""

    key: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Ended:
    """A task that ended by itself."""

    task_id: str
    reason: str
    exit_code: int | None


class Stack:
    """One processor of a deployed stack."""

    def __init__(self, cloud: Cloud, stack: str, processor: str) -> None:
        self._cloud = cloud
        self.prefix = f"pasture-{stack}"
        self.name = f"{self.prefix}-{processor}"
        self.processor = processor
        account = cloud.client("sts").get_caller_identity()["Account"]
        self.source = f"{self.prefix}-{account}-{cloud.region}-source"
        self.results = f"{self.prefix}-{account}-{cloud.region}-results"
        sqs = cloud.client("sqs")
        self._queue = sqs.get_queue_url(QueueName=self.name)["QueueUrl"]
        self._dead = sqs.get_queue_url(QueueName=f"{self.name}-dlq")["QueueUrl"]

    def inventory(self) -> list[str]:
        """What was deployed, in a few lines."""
        client = self._cloud.client
        tag = [{"Name": "tag:pasture:stack", "Values": [self.prefix.removeprefix("pasture-")]}]
        subnets = client("ec2").describe_subnets(Filters=tag)["Subnets"]
        alarms = self._cloud.pages(
            "cloudwatch", "describe_alarms", "MetricAlarms", AlarmNamePrefix=self.prefix
        )
        policies = self._cloud.pages(
            "application-autoscaling", "describe_scaling_policies", "ScalingPolicies", ServiceNamespace="ecs"
        )
        service = self._service()
        definition = service["taskDefinition"].rsplit("/", 1)[-1]
        return [
            f"network of {len(subnets)} subnets; buckets {self.source} and ...-results",
            f"cluster {self.prefix}: service {self.name} on {definition}, desired {service['desiredCount']}",
            f"queue {self.name} and its dead-letter queue, fed by an event rule that also wakes the service",
            f"{len(policies)} scaling policies and {len(alarms)} alarms; least-privilege roles; models on EFS",
        ]

    def models(self) -> list[str]:
        """The models that are registered, and whether they are in the cache."""
        path = f"/pasture/{self.prefix.removeprefix('pasture-')}/models"
        parameters = self._cloud.pages(
            "ssm", "get_parameters_by_path", "Parameters", Path=path, Recursive=True
        )
        lines = []
        for parameter in parameters:
            definition = json.loads(parameter["Value"])
            lines.append(
                f"{definition['name']}:{definition['tag']}, {definition['size'] / 1e6:,.0f} MB in the library, "
                f"context of {definition['context_length']:,} tokens"
            )
        return lines

    def suffixes(self) -> list[str]:
        """The ends of keys that the event rules let through; none when they let everything through."""
        found = set()
        events = self._cloud.client("events")
        for rule in events.list_rules(NamePrefix=f"{self.name}-")["Rules"]:
            detail = json.loads(rule["EventPattern"]).get("detail", {})
            for match in detail.get("object", {}).get("key", ()):
                suffix = match.get("suffix", {}) if isinstance(match, dict) else {}
                found.add(suffix if isinstance(suffix, str) else suffix.get("equals-ignore-case", ""))
        return sorted(suffix for suffix in found if suffix)

    def submit(self, key: str, content: bytes) -> str:
        """Drop a document into the source bucket; returns its URL."""
        self._cloud.client("s3").put_object(Bucket=self.source, Key=key, Body=content)
        return f"s3://{self.source}/{key}"

    def snapshot(self) -> Snapshot:
        """What goes on now."""
        service = self._service()
        waiting, in_flight = self._counts(self._queue)
        dead, _ = self._counts(self._dead)
        groups = self._cloud.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[self.name]
        )
        instances = sum(len(group["Instances"]) for group in groups["AutoScalingGroups"])
        return Snapshot(waiting, in_flight, dead, service["desiredCount"], service["runningCount"], instances)

    def _service(self) -> dict[str, Any]:
        ecs = self._cloud.client("ecs")
        found = ecs.describe_services(cluster=self.prefix, services=[self.name])["services"]
        return dict(found[0])

    def _counts(self, url: str) -> tuple[int, int]:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self._cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)[
            "Attributes"
        ]
        return int(attributes[names[0]]), int(attributes[names[1]])

    def result(self, key: str) -> Result | None:
        """The result for a document, None while there is none."""
        s3 = self._cloud.client("s3")
        listed = s3.list_objects_v2(Bucket=self.results, Prefix=f"{self.processor}/{key}.")
        keys = [entry["Key"] for entry in listed.get("Contents", ())]
        found = next((name for name in keys if not name.endswith(".provenance.json")), None)
        if found is None:
            return None
        try:
            provenance = json.load(s3.get_object(Bucket=self.results, Key=f"{found}.provenance.json")["Body"])
            text = s3.get_object(Bucket=self.results, Key=found)["Body"].read().decode()
        except s3.exceptions.NoSuchKey:
            return None
        usage = provenance["usage"]
        return Result(
            url=f"s3://{self.results}/{found}",
            text=text,
            prompt_tokens=usage["prompt_tokens"],
            output_tokens=usage["output_tokens"],
            parts=usage["parts"],
            dropped=usage["characters_dropped"],
            seconds=sum(provenance["seconds"].values()),
        )

    def rejections(self) -> list[Rejection]:
        """What is in the dead-letter queue; it stays there."""
        messages = (
            self._cloud.client("sqs")
            .receive_message(
                QueueUrl=self._dead,
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
                VisibilityTimeout=0,
            )
            .get("Messages", ())
        )
        return [_rejection(message) for message in messages]

    def ended(self) -> list[Ended]:
        """Tasks of the service that ended without being told to."""
        ecs = self._cloud.client("ecs")
        arns = ecs.list_tasks(cluster=self.prefix, serviceName=self.name, desiredStatus="STOPPED")["taskArns"]
        if not arns:
            return []
        return [
            Ended(task["taskArn"].rsplit("/", 1)[-1], task.get("stoppedReason", ""), _exit_code(task))
            for task in ecs.describe_tasks(cluster=self.prefix, tasks=arns)["tasks"]
            if task.get("stopCode") == "EssentialContainerExited" or _exit_code(task) not in {0, None}
        ]

    def last_words(self, task_id: str) -> str:
        """The last reason that a task logged, empty when it logged none."""
        logs = self._cloud.client("logs")
        group = f"/{self.prefix.replace('-', '/', 1)}/{self.processor}"
        try:
            streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
            name = next((s["logStreamName"] for s in streams if s["logStreamName"].endswith(task_id)), None)
            if name is None:
                return ""
            events = logs.get_log_events(logGroupName=group, logStreamName=name)["events"]
        except ClientError:
            return ""
        for event in reversed(events):
            try:
                entry = json.loads(event["message"])
            except ValueError:
                continue
            if isinstance(entry, dict) and (reason := entry.get("reason")):
                return str(reason)
        return str(events[-1]["message"]) if events else ""


def _exit_code(task: dict[str, Any]) -> int | None:
    codes = [container.get("exitCode") for container in task.get("containers", ())]
    return next((code for code in codes if code is not None), None)


def _rejection(message: dict[str, Any]) -> Rejection:
    attributes = {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()}
    try:
        key = json.loads(message["Body"])["detail"]["object"]["key"]
    except (ValueError, KeyError, TypeError):
        key = "?"
    return Rejection(
        key=key,
        kind=attributes.get("ErrorType", "too-many-receives"),
        reason=attributes.get("Reason", "It was tried too often; the service's log says why."),
    )
