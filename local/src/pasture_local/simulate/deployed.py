# SPDX-License-Identifier: GPL-3.0-or-later
"""A processor's scaling as it is deployed: read back through AWS's API, kept as JSON, and run.

What decides here is what decides in the account: the alarms of DescribeAlarms, evaluated by the rules
of ``pasture_local.alarms``, invoke the policies of DescribeScalingPolicies. The wake-up function,
which sets the service and the group from 0 to 1, is the only part that is written again.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pasture_local.alarms import alarm as alarms
from pasture_local.alarms.metrics import Metric, MetricStore
from pasture_local.alarms.scaling import Activity, Policy, desired_capacity
from pasture_local.simulate.plant import MINUTE, Decision, View

_NOTHING = Decision()
_SQS = "AWS/SQS"
# "Amazon SQS metrics [...] a queue is active for up to six hours" after its last message or call; then "there can be a
# delay of up to 15 minutes" until they come again.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/monitoring-using-cloudwatch.html
ACTIVE_SECONDS = 6 * 3600
# What decides in an alarm and in a policy. The rest (when it was changed, in which state it is) would make two readings
# of the same scaling differ.
_ALARM = (
    "AlarmName", "ActionsEnabled", "AlarmActions", "OKActions", "InsufficientDataActions",
    "Namespace", "MetricName", "Dimensions", "Statistic", "ExtendedStatistic", "Period", "Metrics",
    "EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator", "TreatMissingData",
)  # fmt: skip
_POLICY = (
    "PolicyName", "PolicyType", "ResourceId", "AutoScalingGroupName", "StepScalingPolicyConfiguration",
    "AdjustmentType", "StepAdjustments", "ScalingAdjustment", "MinAdjustmentMagnitude", "Cooldown",
)  # fmt: skip


class ScalingError(ValueError):
    """The scaling cannot be read; the message says what is missing and what to do."""


@dataclass(frozen=True)
class Scaling:
    """The deployed alarms and policies of one processor, as the API describes them.

    :ivar policies: of the service and of its Auto Scaling group, by ARN.
    :ivar wake_up: what the rules tell the wake-up function, None when they have no such target.
    :ivar keeps_metrics: whether a schedule uses the queue before its metrics end.
    """

    name: str
    minimum: int
    maximum: int
    max_instances: int
    alarms: Sequence[Mapping[str, Any]]
    policies: Mapping[str, Mapping[str, Any]]
    wake_up: Mapping[str, Any] | None
    keeps_metrics: bool

    def save(self, path: Path) -> None:
        """Write it as JSON, for a run without the account."""
        path.write_text(json.dumps(self.__dict__, indent=1, default=str) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Scaling:
        """Read what ``save`` wrote.

        :raises ScalingError: when it is not that.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise ScalingError(f"{path} cannot be read: {error.strerror}.") from None
        except (ValueError, TypeError) as error:
            raise ScalingError(f"{path} is no scaling written by --save-scaling: {error}.") from None


def read(session: Any, stack: str, processor: str) -> Scaling:
    """Read the scaling of a deployed processor.

    :param session: a boto3 session with the account's credentials and region.
    :raises ScalingError: when there is no such processor.
    """
    cluster, name = f"pasture-{stack}", f"pasture-{stack}-{processor}"
    resource = f"service/{cluster}/{name}"
    scaling = session.client("application-autoscaling")
    targets = scaling.describe_scalable_targets(ServiceNamespace="ecs", ResourceIds=[resource])[
        "ScalableTargets"
    ]
    if not targets:
        raise ScalingError(
            f"There is no processor '{processor}' of a stack '{stack}' in {session.region_name}: deploy it first, "
            "or give the scaling of another run with --scaling FILE."
        )
    groups = session.client("autoscaling")
    described = groups.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    policies = {
        policy["PolicyARN"]: _only(_POLICY, policy)
        for client, operation, arguments in (
            (scaling, "describe_scaling_policies", {"ServiceNamespace": "ecs", "ResourceId": resource}),
            (groups, "describe_policies", {"AutoScalingGroupName": name}),
        )
        for page in client.get_paginator(operation).paginate(**arguments)
        for policy in page["ScalingPolicies"]
    }
    pages = session.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{name}-")
    acting = [
        _only(_ALARM, alarm)
        for page in pages
        for alarm in page["MetricAlarms"]
        if any(action in policies for key in ("AlarmActions", "OKActions") for action in alarm.get(key, ()))
    ]
    if not acting:
        raise ScalingError(
            f"No alarm invokes a scaling policy of {name}: run the deploy playbook to the end."
        )
    events = session.client("events")
    told = _inputs(events, ("default", cluster), name)
    kept = [
        queue
        for entry in _inputs(events, ("default",), f"{cluster}-keep")
        for queue in entry.get("queues", ())
    ]
    return Scaling(
        name=name,
        minimum=int(targets[0]["MinCapacity"]),
        maximum=int(targets[0]["MaxCapacity"]),
        max_instances=int(described[0]["MaxSize"]) if described else int(targets[0]["MaxCapacity"]),
        alarms=acting,
        policies=policies,
        wake_up=told[0] if told else None,
        keeps_metrics=name in kept,
    )


def _only(names: Sequence[str], described: Mapping[str, Any]) -> dict[str, Any]:
    """The named fields of what an API described, as far as they say anything."""
    return {name: described[name] for name in names if described.get(name) not in (None, [], "")}


def _inputs(events: Any, buses: Sequence[str], prefix: str) -> list[dict[str, Any]]:
    """What the functions among the targets of the rules called ``prefix``-... are told."""
    found = []
    for bus in buses:
        try:
            rules = events.list_rules(NamePrefix=f"{prefix}-", EventBusName=bus)["Rules"]
        except events.exceptions.ResourceNotFoundException:
            continue
        for rule in rules:
            targets = events.list_targets_by_rule(Rule=rule["Name"], EventBusName=bus)["Targets"]
            found += [json.loads(t.get("Input") or "{}") for t in targets if ":lambda:" in t["Arn"]]
    return found


@dataclass(frozen=True)
class Delays:
    """How late the parts of AWS are, in seconds. Sources in docs/simulator.md."""

    metric: float
    revival: float


class Deployed:
    """Runs a deployed scaling; a controller of the plant."""

    leaves_after: float | None = None

    def __init__(self, scaling: Scaling, delays: Delays) -> None:
        self._scaling = scaling
        self._delays = delays
        self._store = MetricStore()
        self._alarms = [dict(alarm, StateValue=alarms.INSUFFICIENT_DATA) for alarm in scaling.alarms]
        self._policies = {arn: Policy.of(policy) for arn, policy in scaling.policies.items()}
        watched = {metric for alarm in self._alarms for metric in alarms.metrics_of(alarm)}
        self._metrics = {metric for metric in watched if metric.namespace == _SQS}
        self._told = watched - self._metrics
        self._activities: dict[str, Activity] = {}
        self._sent = 0
        self._oldest: int | None = None
        self._woken = False
        self._active_until = -1.0
        self._metrics_from = 0.0
        self._late: deque[dict[Metric, float]] = deque()

    def on_arrival(self, view: View) -> Decision:
        """The rule's second target: the wake-up function."""
        self._sent += view.arrived
        self._touch(view.second)
        told = self._scaling.wake_up
        if told is not None and view.desired == 0:
            self._woken = True
            documents = view.visible + view.in_flight
            tasks = max(1, min(int(told["max_tasks"]), -(-documents // int(told["documents_per_task"]))))
            instances = -(-tasks // int(told["tasks_per_instance"]))
            return Decision(desired=tasks, instances=max(instances, view.instances))
        return _NOTHING

    def every_minute(self, view: View) -> Decision:
        """Publish the queue's metrics, evaluate the alarms, apply the policies."""
        if view.visible or view.in_flight or view.tasks_ready:
            self._touch(view.second)  # workers poll: the queue is in use
        self._publish(view)
        desired, instances = view.desired, view.instances
        for alarm in self._alarms:
            before = alarm["StateValue"]
            verdict = alarms.evaluate(alarm, self._store, float(view.second))
            alarm["StateValue"] = verdict.state
            for arn in alarms.actions_of(alarm, before, verdict.state):
                threshold = float(alarm["Threshold"])
                if ":autoScalingGroupName/" in arn:
                    limits = 0, self._scaling.max_instances
                    instances = self._apply(arn, verdict.latest, threshold, instances, limits, view.second)
                else:
                    limits = self._scaling.minimum, self._scaling.maximum
                    desired = self._apply(arn, verdict.latest, threshold, desired, limits, view.second)
        return Decision(
            desired if desired != view.desired else None, instances if instances != view.instances else None
        )

    def _touch(self, second: int) -> None:
        if second > self._active_until and not self._scaling.keeps_metrics:
            # The first activity after six quiet hours: the metrics come back late.
            self._metrics_from = second + self._delays.revival
        self._active_until = second + ACTIVE_SECONDS

    def _publish(self, view: View) -> None:
        waiting = view.visible + view.in_flight
        self._oldest = (view.second if self._oldest is None else self._oldest) if waiting else None
        sample = {
            "ApproximateNumberOfMessagesVisible": float(view.visible),
            "ApproximateNumberOfMessagesNotVisible": float(view.in_flight),
            "ApproximateNumberOfMessagesDelayed": 0.0,
            "ApproximateAgeOfOldestMessage": float(view.second - self._oldest)
            if self._oldest is not None
            else 0.0,
            "NumberOfMessagesSent": float(self._sent),
        }
        self._sent = 0
        if self._woken:
            # The function tells the idle alarm itself, and at once.
            for metric in self._told:
                self._store.add(metric, view.second - MINUTE / 2, 1.0)
            self._woken = False
        active = self._scaling.keeps_metrics or self._metrics_from <= view.second <= self._active_until
        self._late.append({m: sample[m.name] for m in self._metrics if m.name in sample} if active else {})
        if len(self._late) > round(self._delays.metric / MINUTE):
            # Into the newest period that the alarms look at now; its data is as old as the delay says.
            for metric, value in self._late.popleft().items():
                self._store.add(metric, view.second - MINUTE / 2, value)

    def _apply(
        self,
        arn: str,
        value: float | None,
        threshold: float,
        capacity: int,
        limits: tuple[int, int],
        second: int,
    ) -> int:
        policy = self._policies.get(arn)
        if policy is None:
            return capacity
        target = str(self._scaling.policies[arn].get("AutoScalingGroupName") or "service")
        wanted = desired_capacity(
            policy,
            value=value,
            threshold=threshold,
            capacity=capacity,
            minimum=limits[0],
            maximum=limits[1],
            last=self._activities.get(target),
            now=float(second),
        )
        if wanted != capacity:
            self._activities[target] = Activity(float(second), capacity, wanted, policy.cooldown)
        return wanted
