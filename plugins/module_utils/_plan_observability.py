# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the observability role makes, as a pure function of the processors.

For internal use of this collection only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._plan_scaling import queue_depth, queue_metric
from ansible_collections.pasture.ollama.plugins.module_utils._stack import Stack, policy

ROLE = "observability"
#: The namespace of the metrics that workers write into their logs.
WORKER_NAMESPACE = "Pasture"
_WIDTH = 24
_HEIGHT = 6


def observability_plan(
    processors: list[dict[str, Any]], fact: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """All that the observability role makes.

    :param processors: the normalised processors of preflight.
    :param fact: C(preflight_result).
    :param options: C(topic_arns) of who is told, C(age_minutes), C(stalled_minutes).
    """
    stack = Stack.parse(fact)
    topics = list(options.get("topic_arns") or [])
    return {
        "alarms": [
            {**alarm, "alarm_actions": topics, "ok_actions": topics}
            for processor in processors
            for alarm in _alarms(stack, processor, options)
        ],
        "dashboard": dashboard(stack, processors),
        "topic_policy": topic_policy(stack),
        "topic_tags": stack.tags_for(ROLE, stack.prefix),
    }


def topic_policy(stack: Stack) -> dict[str, Any]:
    """Only the stack's own alarms may publish to its topic."""
    return policy(
        {
            "Sid": "Alarms",
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": stack.arn("sns", stack.prefix),
            "Condition": {
                "ArnLike": {"aws:SourceArn": stack.arn("cloudwatch", f"alarm:{stack.prefix}-*")},
                "StringEquals": {"aws:SourceAccount": stack.account_id},
            },
        }
    )


def _alarms(stack: Stack, processor: Mapping[str, Any], options: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = stack.name(processor["name"])
    stalled_periods = max(1, round(int(options["stalled_minutes"]) / 5))
    common = {"period": 300, "evaluation_periods": 1, "missing_data": "notBreaching"}
    alarms = [
        {
            **common,
            "name": f"{name}-dlq",
            "description": f"{processor['name']} could not process a document. The dead-letter queue's messages say "
            "why; the playbook pasture.ollama.redrive sends them again.",
            "metrics": [
                {
                    **queue_metric("dead", "ApproximateNumberOfMessagesVisible", f"{name}-dlq"),
                    "return_data": True,
                }
            ],
            "period": 60,
            "threshold": 1,
            "comparison": "GreaterThanOrEqualToThreshold",
        },
        {
            **common,
            "name": f"{name}-age",
            "description": f"A document waits for {processor['name']} for more than {options['age_minutes']} minutes. "
            "More instances (max_instances) or fewer documents for each task would help.",
            "metrics": [
                {
                    **queue_metric("age", "ApproximateAgeOfOldestMessage", name),
                    "return_data": True,
                }
            ],
            "threshold": int(options["age_minutes"]) * 60,
            "comparison": "GreaterThanOrEqualToThreshold",
        },
        {
            **common,
            "name": f"{name}-stalled",
            "description": f"{processor['name']} has documents, but has finished none for "
            f"{stalled_periods * 5} minutes. See the events of its service and the newest entries of its log.",
            "metrics": [
                *queue_depth(name),
                queue_metric("deleted", "NumberOfMessagesDeleted", name, "Sum"),
                {
                    "id": "stalled",
                    "expression": "IF(visible + FILL(in_flight, 0) > 0 AND FILL(deleted, 0) < 1, 1, 0)",
                    "return_data": True,
                },
            ],
            "evaluation_periods": stalled_periods,
            "threshold": 1,
            "comparison": "GreaterThanOrEqualToThreshold",
        },
    ]
    return [
        {**alarm, "tags": stack.tags_for(ROLE, str(alarm["name"]), processor["name"])} for alarm in alarms
    ]


def dashboard(stack: Stack, processors: list[dict[str, Any]]) -> dict[str, Any]:
    """The stack on one page: a row for each processor, from documents on the left to instances on the right.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    widgets: list[dict[str, Any]] = []
    for index, processor in enumerate(processors):
        row = _row(stack, processor)
        width = _WIDTH // len(row)
        widgets += [
            {
                "type": "metric",
                "x": column * width,
                "y": index * _HEIGHT,
                "width": width,
                "height": _HEIGHT,
                "properties": {"region": stack.region, "view": "timeSeries", "stacked": False, **properties},
            }
            for column, properties in enumerate(row)
        ]
    return {"widgets": widgets}


def _row(stack: Stack, processor: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = stack.name(processor["name"])
    title = processor["name"]
    worker = ["Stack", stack.stack, "Processor", title]
    service = ["ClusterName", stack.prefix, "ServiceName", name]
    minute = {"period": 60}
    return [
        {
            **minute,
            "title": f"{title}: documents",
            "stat": "Maximum",
            "metrics": [
                ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name, {"label": "waiting"}],
                [
                    "AWS/SQS",
                    "ApproximateNumberOfMessagesNotVisible",
                    "QueueName",
                    name,
                    {"label": "in flight"},
                ],
                [
                    "AWS/SQS",
                    "ApproximateNumberOfMessagesVisible",
                    "QueueName",
                    f"{name}-dlq",
                    {"label": "failed"},
                ],
            ],
        },
        {
            **minute,
            "title": f"{title}: results",
            "stat": "Sum",
            "metrics": [
                [WORKER_NAMESPACE, "DocumentsSucceeded", *worker, {"label": "done"}],
                [WORKER_NAMESPACE, "DocumentsFailed", *worker, {"label": "failed"}],
                [WORKER_NAMESPACE, "DocumentsRetried", *worker, {"label": "tried again"}],
                [WORKER_NAMESPACE, "TokensOut", *worker, {"label": "tokens written", "yAxis": "right"}],
            ],
        },
        {
            **minute,
            "title": f"{title}: seconds",
            "stat": "p95",
            "metrics": [
                [WORKER_NAMESPACE, "QueueWait", *worker, {"label": "in the queue (p95)"}],
                [WORKER_NAMESPACE, "EngineWait", *worker, {"label": "waiting for the model (p95)"}],
                [WORKER_NAMESPACE, "InferTime", *worker, {"label": "in the model (p95)"}],
                [WORKER_NAMESPACE, "ReadyTime", *worker, {"label": "until a worker was ready (p95)"}],
            ],
        },
        {
            **minute,
            "title": f"{title}: tasks and instances",
            "stat": "Maximum",
            "metrics": [
                ["ECS/ContainerInsights", "RunningTaskCount", *service, {"label": "tasks"}],
                ["ECS/ContainerInsights", "DesiredTaskCount", *service, {"label": "tasks wanted"}],
                [
                    "AWS/AutoScaling",
                    "GroupInServiceInstances",
                    "AutoScalingGroupName",
                    name,
                    {"label": "instances"},
                ],
            ],
        },
    ]
