# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudWatch at work: each virtual minute the metrics are published, the alarms evaluated, the policies applied."""

from __future__ import annotations

import json
import logging
import urllib.error
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pasture_local.alarms import alarm as alarms
from pasture_local.alarms.metrics import Metric, MetricStore
from pasture_local.alarms.queues import NAMESPACE, QueueMetrics
from pasture_local.alarms.scaling import Activity, Policy, desired_capacity
from pasture_local.clock import Clock
from pasture_local.cloud import Cloud

_log = logging.getLogger(__name__)
_MINUTE = 60.0


class AlarmLoop:
    """Evaluates what is deployed. SQS publishes each minute, and alarms are evaluated each minute."""

    def __init__(self, cloud: Cloud, clock: Clock) -> None:
        self._cloud = cloud
        self._clock = clock
        self._queues = QueueMetrics(cloud)
        self._store = MetricStore()
        self._activities: dict[str, Activity] = {}
        self._next = clock.now() + _MINUTE
        self._fetched: dict[Metric, datetime] = {}

    @property
    def interval(self) -> float:
        """How often ``tick`` should be called, in real seconds."""
        return max(0.1, min(1.0, self._clock.real(_MINUTE) / 4))

    def tick(self) -> None:
        """Do what is due at this virtual time."""
        now = self._clock.now()
        if now < self._next:
            return
        # A minute that was missed, because the machine was busy or asleep, is not made up for.
        self._next = max(self._next + _MINUTE, now)
        try:
            sampled = self._queues.sample(self._clock.speed)
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            _log.warning("the queues' metrics could not be read: %s", error)
            return
        for metric, value in sampled.items():
            # Into the minute that ends now.
            self._store.add(metric, now - _MINUTE / 2, value)
        self._publish(sampled)
        deployed = self._cloud.pages("cloudwatch", "describe_alarms", "MetricAlarms")
        for described in deployed:
            try:
                self._evaluate(described, now)
            except (ClientError, BotoCoreError) as error:
                _log.warning("alarm %s: %s", described["AlarmName"], error)

    def _publish(self, sampled: Mapping[Metric, float]) -> None:
        """Let others read the metrics too: dashboards, and people."""
        data = [
            {
                "MetricName": metric.name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions],
                "Value": value,
            }
            for metric, value in sampled.items()
        ]
        client = self._cloud.client("cloudwatch")
        for start in range(0, len(data), 500):
            client.put_metric_data(Namespace=NAMESPACE, MetricData=data[start : start + 500])

    def _evaluate(self, described: Mapping[str, Any], now: float) -> None:
        for metric in alarms.metrics_of(described):
            if metric.namespace != NAMESPACE:
                self._fetch(metric)
        before = described.get("StateValue") or alarms.INSUFFICIENT_DATA
        verdict = alarms.evaluate(described, self._store, now)
        if verdict.state != before:
            _log.info(
                "alarm %s: %s -> %s (%s)", described["AlarmName"], before, verdict.state, verdict.reason
            )
            self._cloud.client("cloudwatch").set_alarm_state(
                AlarmName=described["AlarmName"],
                StateValue=verdict.state,
                StateReason=verdict.reason[:1023],
                StateReasonData=json.dumps({"recentDatapoints": verdict.values}),
            )
        for arn in alarms.actions_of(described, before, verdict.state):
            if ":scalingPolicy:" in arn:
                self._scale(arn, verdict.latest, float(described["Threshold"]), now)

    def _fetch(self, metric: Metric) -> None:
        """New data points of a metric that others publish, such as the workers."""
        until = datetime.now(UTC)
        since = self._fetched.get(metric, until - timedelta(seconds=self._clock.real(_MINUTE)))
        answer = self._cloud.client("cloudwatch").get_metric_statistics(
            Namespace=metric.namespace,
            MetricName=metric.name,
            Dimensions=[{"Name": name, "Value": value} for name, value in metric.dimensions],
            StartTime=since,
            EndTime=until,
            Period=1,
            Statistics=["Sum"],
        )
        self._fetched[metric] = until
        for point in sorted(answer["Datapoints"], key=lambda point: point["Timestamp"]):
            moment = self._clock.virtual_time(point["Timestamp"].timestamp())
            self._store.add(metric, moment, float(point["Sum"]))

    # --- Scaling ------------------------------------------------------------------------------------------------

    def _scale(self, arn: str, value: float | None, threshold: float, now: float) -> None:
        if ":autoScalingGroupName/" in arn:
            self._scale_group(arn, value, threshold, now)
        else:
            self._scale_service(arn, value, threshold, now)

    def _scale_service(self, arn: str, value: float | None, threshold: float, now: float) -> None:
        client = self._cloud.client("application-autoscaling")
        policies = self._cloud.pages(
            "application-autoscaling", "describe_scaling_policies", "ScalingPolicies", ServiceNamespace="ecs"
        )
        policy = next((policy for policy in policies if policy["PolicyARN"] == arn), None)
        if policy is None:
            _log.warning("the scaling policy %s does not exist", arn)
            return
        resource = policy["ResourceId"]
        targets = client.describe_scalable_targets(ServiceNamespace="ecs", ResourceIds=[resource])[
            "ScalableTargets"
        ]
        if not targets:
            return
        _, cluster, name = resource.split("/")
        ecs = self._cloud.client("ecs")
        services = ecs.describe_services(cluster=cluster, services=[name])["services"]
        if not services or services[0]["status"] != "ACTIVE":
            return
        current = int(services[0]["desiredCount"])
        wanted = self._decide(
            resource,
            Policy.of(policy),
            current,
            (int(targets[0]["MinCapacity"]), int(targets[0]["MaxCapacity"])),
            (value, threshold),
            now,
        )
        if wanted != current:
            ecs.update_service(cluster=cluster, service=name, desiredCount=wanted)

    def _scale_group(self, arn: str, value: float | None, threshold: float, now: float) -> None:
        client = self._cloud.client("autoscaling")
        policies = self._cloud.pages("autoscaling", "describe_policies", "ScalingPolicies")
        policy = next((policy for policy in policies if policy["PolicyARN"] == arn), None)
        if policy is None:
            _log.warning("the scaling policy %s does not exist", arn)
            return
        name = policy["AutoScalingGroupName"]
        groups = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        if not groups:
            return
        current = int(groups[0]["DesiredCapacity"])
        limits = int(groups[0]["MinSize"]), int(groups[0]["MaxSize"])
        wanted = self._decide(name, Policy.of(policy), current, limits, (value, threshold), now)
        if wanted != current:
            client.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=wanted)

    def _decide(
        self,
        target: str,
        policy: Policy,
        current: int,
        limits: tuple[int, int],
        breach: tuple[float | None, float],
        now: float,
    ) -> int:
        """The new capacity of a target, remembered when it is another one."""
        wanted = desired_capacity(
            policy,
            value=breach[0],
            threshold=breach[1],
            capacity=current,
            minimum=limits[0],
            maximum=limits[1],
            last=self._activities.get(target),
            now=now,
        )
        if wanted != current:
            _log.info("%s: %d -> %d (value %s)", target, current, wanted, breach[0])
            self._activities[target] = Activity(now, current, wanted, policy.cooldown)
        return wanted
