# SPDX-License-Identifier: GPL-3.0-or-later
"""Constraints that the API reference states and the service models do not.

Most are rows of a table: where in the request, and what. What does not fit a row is a function.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pasture_local.emulator.constraints._check import broken, sentence

_DOCS = "https://docs.aws.amazon.com"
_ECS = f"{_DOCS}/AmazonECS/latest/APIReference"
_SQS = f"{_DOCS}/AWSSimpleQueueService/latest/APIReference"
_CLOUDWATCH = f"{_DOCS}/AmazonCloudWatch/latest/APIReference"

_ECS_NAME = {"pattern": "[A-Za-z0-9_-]{1,255}"}
_ID_OF_METRIC = {"pattern": "[a-z][a-zA-Z0-9_]*"}


@dataclass(frozen=True)
class Row:
    """What the values at a path have to be.

    ``*`` in the path stands for every element of a list, and ``{}`` after a name for JSON in a text.
    """

    service: str
    operations: tuple[str, ...]
    path: str
    constraint: Mapping[str, Any]
    source: str


_QUEUE = ("CreateQueue", "SetQueueAttributes")
_REGISTER = ("RegisterTaskDefinition",)
_SERVICE = ("CreateService", "UpdateService")
_ALARM = ("PutMetricAlarm",)

ROWS = (
    Row(
        "sqs",
        ("CreateQueue",),
        "QueueName",
        {"pattern": r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo"},
        f"{_SQS}/API_CreateQueue.html",
    ),
    *(
        Row("sqs", _QUEUE, f"Attributes.{name}", {"min": low, "max": high}, f"{_SQS}/API_CreateQueue.html")
        for name, low, high in (
            ("DelaySeconds", 0, 900),
            ("KmsDataKeyReusePeriodSeconds", 60, 86_400),
            ("MaximumMessageSize", 1024, 1_048_576),
            ("MessageRetentionPeriod", 60, 1_209_600),
            ("ReceiveMessageWaitTimeSeconds", 0, 20),
            ("RedrivePolicy{}.maxReceiveCount", 1, 1000),
            ("VisibilityTimeout", 0, 43_200),
        )
    ),
    Row("sqs", ("SendMessage",), "DelaySeconds", {"min": 0, "max": 900}, f"{_SQS}/API_SendMessage.html"),
    *(
        Row("sqs", ("ReceiveMessage",), name, {"min": low, "max": high}, f"{_SQS}/API_ReceiveMessage.html")
        for name, low, high in (
            ("MaxNumberOfMessages", 1, 10),
            ("VisibilityTimeout", 0, 43_200),
            ("WaitTimeSeconds", 0, 20),
        )
    ),
    Row("ecs", ("CreateCluster",), "clusterName", _ECS_NAME, f"{_ECS}/API_CreateCluster.html"),
    Row("ecs", ("CreateService",), "serviceName", _ECS_NAME, f"{_ECS}/API_CreateService.html"),
    Row("ecs", _REGISTER, "family", _ECS_NAME, f"{_ECS}/API_RegisterTaskDefinition.html"),
    Row("ecs", _REGISTER, "volumes.*.name", _ECS_NAME, f"{_ECS}/API_Volume.html"),
    Row("ecs", _REGISTER, "containerDefinitions", {"min": 1, "max": 10}, f"{_ECS}/API_TaskDefinition.html"),
    Row(
        "ecs",
        _REGISTER,
        "containerDefinitions.*.name",
        _ECS_NAME,
        f"{_ECS}/API_ContainerDefinition.html",
    ),
    # Docker reserves so much.
    Row(
        "ecs",
        _REGISTER,
        "containerDefinitions.*.memory",
        {"min": 6},
        f"{_ECS}/API_ContainerDefinition.html",
    ),
    *(
        Row(
            "ecs",
            _REGISTER,
            f"containerDefinitions.*.healthCheck.{name}",
            {"min": low, "max": high},
            f"{_ECS}/API_HealthCheck.html",
        )
        for name, low, high in (
            ("interval", 5, 300),
            ("retries", 1, 10),
            ("startPeriod", 0, 300),
            ("timeout", 2, 60),
        )
    ),
    Row(
        "ecs",
        ("CreateCapacityProvider",),
        "name",
        {"pattern": "(?!(?i:aws|ecs|fargate))[A-Za-z0-9_-]{1,255}"},
        f"{_ECS}/API_CreateCapacityProvider.html",
    ),
    Row("ecs", _SERVICE, "desiredCount", {"min": 0}, f"{_ECS}/API_CreateService.html"),
    Row(
        "ecs",
        ("CreateCapacityProvider", "CreateCluster", "CreateService", *_REGISTER, "RunTask", "TagResource"),
        "tags",
        {"max": 50},
        f"{_ECS}/API_Tag.html",
    ),
    Row("ecs", ("DescribeServices",), "services", {"max": 10}, f"{_ECS}/API_DescribeServices.html"),
    Row("ecs", ("DescribeTasks",), "tasks", {"max": 100}, f"{_ECS}/API_DescribeTasks.html"),
    Row("ecs", ("UpdateTaskProtection",), "tasks", {"max": 10}, f"{_ECS}/API_UpdateTaskProtection.html"),
    Row(
        "ecs",
        ("UpdateTaskProtection",),
        "expiresInMinutes",
        {"min": 1, "max": 2880},
        f"{_ECS}/API_UpdateTaskProtection.html",
    ),
    Row(
        "ecs",
        ("PutClusterCapacityProviders",),
        "capacityProviders",
        {"max": 20},
        f"{_DOCS}/AmazonECS/latest/developerguide/service-quotas.html",
    ),
    Row(
        "efs",
        ("CreateFileSystem", "CreateAccessPoint"),
        "Tags",
        {"max": 50},
        f"{_DOCS}/efs/latest/ug/limits.html",
    ),
    Row(
        "application-autoscaling",
        ("PutScalingPolicy",),
        "StepScalingPolicyConfiguration.StepAdjustments",
        {"min": 1, "max": 20},
        f"{_DOCS}/autoscaling/application/userguide/application-auto-scaling-limits.html",
    ),
    *(
        Row(
            "application-autoscaling",
            ("RegisterScalableTarget",),
            name,
            {"min": 0},
            f"{_DOCS}/autoscaling/application/APIReference/API_RegisterScalableTarget.html",
        )
        for name in ("MinCapacity", "MaxCapacity")
    ),
    Row(
        "events",
        ("PutRule",),
        "EventPattern",
        {"max": 2048},
        f"{_DOCS}/eventbridge/latest/userguide/eb-quota.html",
    ),
    Row(
        "events",
        ("PutRule",),
        "ScheduleExpression",
        {
            "pattern": r"rate\((1 (minute|hour|day)|(?!1 )[1-9][0-9]* (minutes|hours|days))\)"
            r"|cron\(\S+ \S+ \S+ \S+ \S+ \S+\)"
        },
        f"{_DOCS}/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html",
    ),
    Row(
        "events",
        ("PutTargets",),
        "Targets",
        {"max": 5},
        f"{_DOCS}/eventbridge/latest/userguide/eb-quota.html",
    ),
    Row(
        "cloudwatch",
        ("PutDashboard",),
        "DashboardName",
        {"pattern": "[A-Za-z0-9_-]{1,255}"},
        f"{_CLOUDWATCH}/API_PutDashboard.html",
    ),
    Row("cloudwatch", _ALARM, "Metrics.*.Id", _ID_OF_METRIC, f"{_CLOUDWATCH}/API_MetricDataQuery.html"),
    Row(
        "cloudwatch",
        ("GetMetricData",),
        "MetricDataQueries.*.Id",
        _ID_OF_METRIC,
        f"{_CLOUDWATCH}/API_MetricDataQuery.html",
    ),
    Row(
        "ssm",
        ("PutParameter",),
        "Name",
        {"pattern": r"(?!(?i:/?(aws|ssm)))[A-Za-z0-9_.\-/]{1,1011}"},
        f"{_DOCS}/systems-manager/latest/APIReference/API_PutParameter.html",
    ),
    # The standard tier; nothing here asks for another.
    Row(
        "ssm",
        ("PutParameter",),
        "Value",
        {"max": 4096},
        f"{_DOCS}/systems-manager/latest/userguide/parameter-store-advanced-parameters.html",
    ),
    *(
        Row(
            "iam",
            (operation,),
            name,
            {"max": most},
            f"{_DOCS}/IAM/latest/UserGuide/reference_iam-quotas.html",
        )
        for operation, name, most in (
            ("CreateRole", "AssumeRolePolicyDocument", 2048),
            ("UpdateAssumeRolePolicy", "PolicyDocument", 2048),
            ("PutRolePolicy", "PolicyDocument", 10_240),
        )
    ),
)


def violations(service: str, operation: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each constraint of the reference that is not met."""
    for row in ROWS:
        if row.service == service and operation in row.operations:
            for path, value in _at(parameters, row.path.split("."), ""):
                for constraint in broken(value, row.constraint):
                    yield f"{sentence(path, value, constraint)} ({row.source})"
    if check := CHECKS.get((service, operation)):
        yield from check(parameters)


def _at(value: Any, steps: list[str], path: str) -> Iterator[tuple[str, Any]]:
    """The values at the end of a path, each with its own path; SQS has its numbers as texts."""
    if value is None:
        return
    if not steps:
        yield path, int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else value
        return
    step, rest = steps[0], steps[1:]
    if step == "*":
        for index, element in enumerate(value, 1):
            yield from _at(element, rest, f"{path}.{index}.member")
        return
    name = step.removesuffix("{}")
    found = value.get(name)
    if found and name != step:
        found = json.loads(found)
    yield from _at(found, rest, f"{path}.{name}" if path else name)


def _alarm(parameters: Mapping[str, Any]) -> Iterator[str]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"""
    queries = parameters.get("Metrics") or []
    periods = [parameters.get("Period")]
    periods += [(query.get("MetricStat") or query).get("Period") for query in queries]
    given = [period for period in periods if period]
    for period in given:
        if period not in {10, 20, 30} and period % 60:
            yield sentence("Period", period, "Member must be 10, 20, 30, or a multiple of 60")
    count = parameters.get("EvaluationPeriods") or 1
    for period in given:
        longest = 7 * 86_400 if period >= 3600 else 86_400
        if period * count > longest:
            yield sentence(
                "EvaluationPeriods",
                count,
                f"Member times the period of {period} must be at most {longest} seconds",
            )
    points = parameters.get("DatapointsToAlarm")
    if points and points > count:
        yield sentence("DatapointsToAlarm", points, f"Member must be at most EvaluationPeriods ({count})")
    if queries and sum(query.get("ReturnData", True) for query in queries) != 1:
        yield sentence(
            "Metrics", [query.get("Id") for query in queries], "Exactly one member must return data"
        )


def _steps(parameters: Mapping[str, Any]) -> Iterator[str]:
    """https://docs.aws.amazon.com/autoscaling/application/userguide/step-scaling-policy-overview.html"""
    configuration = parameters.get("StepScalingPolicyConfiguration") or {}
    steps = sorted(
        (
            step.get("MetricIntervalLowerBound", float("-inf")),
            step.get("MetricIntervalUpperBound", float("inf")),
        )
        for step in configuration.get("StepAdjustments") or []
    )
    for (_, upper), (lower, _) in itertools.pairwise(steps):
        if upper != lower:
            yield sentence("StepAdjustments", [upper, lower], "Members must have no gap and not overlap")
    if configuration.get("AdjustmentType") == "ExactCapacity":
        for step in configuration.get("StepAdjustments") or []:
            if step["ScalingAdjustment"] < 0:
                yield sentence("ScalingAdjustment", step["ScalingAdjustment"], "Member must not be negative")


CHECKS: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Iterator[str]]] = {
    ("application-autoscaling", "PutScalingPolicy"): _steps,
    ("cloudwatch", "PutMetricAlarm"): _alarm,
}
