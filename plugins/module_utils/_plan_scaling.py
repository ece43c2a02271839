# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the scaling role makes, as a pure function of the processors. For internal use of this collection only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._plan_processor import rule_arns, rule_names
from ansible_collections.pasture.ollama.plugins.module_utils._stack import Stack, allow, policy, trust
from ansible_collections.pasture.ollama.plugins.module_utils._staircase import staircase, step_adjustments

ROLE = "scaling"
#: Where the wake-up function says that it woke a service, see roles/scaling/files/wake_up/wake_up.py.
WOKEN_NAMESPACE = "Pasture"
WOKEN_METRIC = "Woken"
OUTSTANDING_POLICY = "outstanding"
IDLE_POLICY = "idle"
# The outstanding alarm goes off with the first document.
OUTSTANDING_THRESHOLD = 1
PERIOD_SECONDS = 60
# Tasks are taken away when fewer would have done for so many minutes. An alarm is evaluated each minute over a window
# that slides with it, so that the maximum of a longer period lets tasks come as quickly as before and go more slowly.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation-window.html
# A capacity provider keeps an idle instance for 15 minutes, so that a task that stays as long costs nothing more.
LONGEST_WINDOW_MINUTES = 15
# The number in flight is reported "if in-flight messages exist", and a sum with a missing part is missing.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
OUTSTANDING = "visible + FILL(in_flight, 0)"
# SQS sends no metrics for a queue that was not used for six hours, and may take 15 minutes to begin again.
KEEP_METRICS = "keep-metrics"
KEEP_METRICS_SCHEDULE = "rate(4 hours)"


def scaling_plan(
    processors: list[dict[str, Any]], fact: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """All that the scaling role makes.

    :param processors: the normalised processors of preflight.
    :param fact: C(preflight_result).
    :param options: C(permissions_boundary), C(wake_up), C(concurrency);
        for C(alarms) also C(service_policies) and C(group_policies), the ARNs of the policies by what they
        scale and their name.
    """
    stack = Stack.parse(fact)
    wakes = bool(options.get("wake_up", True))
    return {
        "roles": [_role(stack, processors, options)] if wakes else [],
        "function": _function(stack, processors, options),
        "rules": [_keep_metrics(stack, processors)] if wakes else [],
        "targets": [_target(stack, processor) for processor in processors],
        "group_policies": [_group_policy(stack, processor) for processor in processors],
        "alarms": [alarm for processor in processors for alarm in _alarms(stack, processor, options)],
    }


def service_resource(stack: Stack, processor: Mapping[str, Any]) -> str:
    """What Application Auto Scaling calls the service."""
    return f"service/{stack.prefix}/{stack.name(processor['name'])}"


def _target(stack: Stack, processor: Mapping[str, Any]) -> dict[str, Any]:
    steps = step_adjustments(
        staircase(int(processor["max_tasks"]), int(processor["documents_per_task"])), OUTSTANDING_THRESHOLD
    )
    resource = service_resource(stack, processor)
    return {
        "resource_id": resource,
        "min_capacity": 0,
        "max_capacity": processor["max_tasks"],
        "policies": [
            {"name": OUTSTANDING_POLICY, "cooldown": 60, "aggregation": "Maximum", "steps": steps},
            {"name": IDLE_POLICY, "cooldown": 0, "aggregation": "Maximum", "steps": to_zero()},
        ],
        "tags": stack.tags_for(ROLE, stack.name(processor["name"]), processor["name"]),
    }


def to_zero() -> list[dict[str, Any]]:
    """The one step of the idle policies: the alarm's threshold and below is nothing at all."""
    return [{"metric_interval_upper_bound": 0, "scaling_adjustment": 0}]


def window_seconds(idle_minutes: int) -> int:
    """The period of the outstanding alarm, in seconds.

    It ends a minute before the idle alarm's, where that is possible: two alarms on the same documents, evaluated at
    different moments of a minute, must not be on at once and set the service to zero and back.
    """
    return 60 * max(1, min(idle_minutes - 1, LONGEST_WINDOW_MINUTES))


def _group_policy(stack: Stack, processor: Mapping[str, Any]) -> dict[str, Any]:
    # A capacity provider ends its last instance only after 15 idle minutes. Instances with a task on them are
    # protected from scale-in by ECS, so this ends idle ones only.
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-termination-protection.html
    group = stack.name(processor["name"])
    return {"name": f"{group}-{IDLE_POLICY}", "auto_scaling_group": group, "steps": to_zero()}


def queue_metric(identifier: str, metric: str, queue: str, statistic: str = "Maximum") -> dict[str, Any]:
    """One metric of a queue for an alarm."""
    return {
        "id": identifier,
        "namespace": "AWS/SQS",
        "metric_name": metric,
        "dimensions": {"QueueName": queue},
        "statistic": statistic,
        "return_data": False,
    }


def queue_depth(queue: str) -> list[dict[str, Any]]:
    """The documents that wait and those that are worked on.

    A policy that looked at the waiting ones alone would end busy workers.
    """
    return [
        queue_metric("visible", "ApproximateNumberOfMessagesVisible", queue),
        queue_metric("in_flight", "ApproximateNumberOfMessagesNotVisible", queue),
    ]


def _alarms(stack: Stack, processor: Mapping[str, Any], options: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = stack.name(processor["name"])
    resource = service_resource(stack, processor)
    service = options.get("service_policies", {}).get(resource, {})
    group = options.get("group_policies", {}).get(name, {})
    woken = {
        "id": "woken",
        "namespace": WOKEN_NAMESPACE,
        "metric_name": WOKEN_METRIC,
        "dimensions": {"Stack": stack.stack, "Processor": processor["name"]},
        "statistic": "Maximum",
        "return_data": False,
    }
    return [
        {
            "name": f"{name}-outstanding",
            "description": f"Documents wait for {processor['name']} or are worked on: "
            "the policy sets the number of tasks.",
            "metrics": [
                *queue_depth(name),
                {"id": "outstanding", "expression": OUTSTANDING, "return_data": True},
            ],
            "period": window_seconds(int(processor["idle_minutes"])),
            "threshold": OUTSTANDING_THRESHOLD,
            "comparison": "GreaterThanOrEqualToThreshold",
            "evaluation_periods": 1,
            # SQS sends no metrics for a queue that was idle for six hours: no news wakes nobody.
            "missing_data": "notBreaching",
            "alarm_actions": [arn for arn in [service.get(OUTSTANDING_POLICY)] if arn],
            "tags": stack.tags_for(ROLE, f"{name}-outstanding", processor["name"]),
        },
        {
            "name": f"{name}-idle",
            "description": f"{processor['name']} has had no documents for {processor['idle_minutes']} minutes: "
            "the policies take its tasks and instances to zero.",
            # While an alarm is on, its scaling actions are repeated every minute, and the queue's metrics are late.
            # A service that was just woken would be sent to sleep again, if the function that woke it did not
            # count for as long as the documents do that it was woken for.
            "metrics": [
                *queue_depth(name),
                woken,
                {
                    "id": "outstanding",
                    "expression": f"{OUTSTANDING} + FILL(woken, 0)",
                    "return_data": True,
                },
            ],
            "period": PERIOD_SECONDS,
            "threshold": 0,
            "comparison": "LessThanOrEqualToThreshold",
            "evaluation_periods": processor["idle_minutes"],
            # No metrics are no proof of no documents: they can be 15 minutes late after six idle hours.
            "missing_data": "notBreaching",
            "alarm_actions": [
                arn for arn in [service.get(IDLE_POLICY), group.get(f"{name}-{IDLE_POLICY}")] if arn
            ],
            "tags": stack.tags_for(ROLE, f"{name}-idle", processor["name"]),
        },
    ]


def _keep_metrics(stack: Stack, processors: list[dict[str, Any]]) -> dict[str, Any]:
    """The rule that has the function use each queue before its metrics end."""
    name = stack.name(KEEP_METRICS)
    return {
        "name": name,
        "description": f"Keeps the metrics of the queues of {stack.prefix} alive.",
        "schedule": KEEP_METRICS_SCHEDULE,
        "targets": [
            {
                "id": "keep-metrics",
                "arn": stack.arn("lambda", f"function:{stack.name('wakeup')}"),
                "input": {"queues": [stack.name(processor["name"]) for processor in processors]},
            }
        ],
        "tags": stack.tags_for(ROLE, name),
    }


def _role(stack: Stack, processors: list[dict[str, Any]], options: Mapping[str, Any]) -> dict[str, Any]:
    name = stack.name("wakeup")
    return {
        "name": name,
        "description": f"Wakes the services of {stack.prefix}.",
        # Lambda names the function's account (and no more of it can be known before the function is there).
        "trust_policy": trust("lambda.amazonaws.com", StringEquals={"aws:SourceAccount": stack.account_id}),
        "policies": {"pasture": wake_up_policy(stack, processors)},
        "managed_policies": [],
        "permissions_boundary": options.get("permissions_boundary") or "",
        "tags": stack.tags_for(ROLE, name),
    }


def wake_up_policy(stack: Stack, processors: list[dict[str, Any]]) -> dict[str, Any]:
    """What the wake-up function may do: look at the stack's services and give them their first task."""
    names = [stack.name(processor["name"]) for processor in processors]
    groups = [stack.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}") for name in names]
    return policy(
        allow(
            "Services",
            ["ecs:DescribeServices", "ecs:UpdateService"],
            [stack.arn("ecs", f"service/{stack.prefix}/{name}") for name in names],
        ),
        allow(
            "Queues",
            ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"],
            [stack.arn("sqs", name) for name in names],
        ),
        # The action takes no resource.
        allow("Look", ["autoscaling:DescribeAutoScalingGroups"], ["*"]),
        allow("Instances", ["autoscaling:SetDesiredCapacity"], groups),
        # The action takes no resource, but a namespace.
        allow(
            "Tell",
            ["cloudwatch:PutMetricData"],
            ["*"],
            StringEquals={"cloudwatch:namespace": WOKEN_NAMESPACE},
        ),
        allow(
            "Logs",
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [stack.arn("logs", f"log-group:{stack.log_group(f'{ROLE}/wakeup')}:*")],
        ),
    )


def _function(stack: Stack, processors: list[dict[str, Any]], options: Mapping[str, Any]) -> dict[str, Any]:
    name = stack.name("wakeup")
    permissions = [
        {"id": rule, "principal": "events.amazonaws.com", "source_arn": arn}
        for processor in processors
        for (_bus, rule), arn in zip(rule_names(stack, processor), rule_arns(stack, processor), strict=True)
    ]
    keep = stack.name(KEEP_METRICS)
    permissions.append(
        {"id": keep, "principal": "events.amazonaws.com", "source_arn": stack.rule_arn("default", keep)}
    )
    return {
        "name": name,
        "role_arn": stack.role_arn(name),
        "description": f"Wakes the services of {stack.prefix} when a document arrives.",
        "log_group": stack.log_group(f"{ROLE}/wakeup"),
        "reserved_concurrency": options.get("concurrency", 1),
        "permissions": permissions,
        "tags": stack.tags_for(ROLE, name),
    }
