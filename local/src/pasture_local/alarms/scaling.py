# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scaling policy makes of a breach. Pure; times are seconds, capacities whole numbers.

https://docs.aws.amazon.com/autoscaling/application/userguide/step-scaling-policy-overview.html
https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

EXACT, CHANGE, PERCENT = "ExactCapacity", "ChangeInCapacity", "PercentChangeInCapacity"


@dataclass(frozen=True)
class Step:
    """A step of a policy; the bounds are relative to the alarm's threshold, None is infinite."""

    adjustment: int
    lower: float | None = None
    upper: float | None = None

    def covers(self, difference: float) -> bool:
        """Whether the step applies to a value that lies so far from the threshold.

        Above the threshold the lower bound belongs to the step and the upper does not; below it is the other way
        round: https://docs.aws.amazon.com/autoscaling/application/APIReference/API_StepAdjustment.html
        """
        lower = -math.inf if self.lower is None else self.lower
        upper = math.inf if self.upper is None else self.upper
        if difference >= 0 and upper > 0:
            return lower <= difference < upper
        return lower < difference <= upper


@dataclass(frozen=True)
class Policy:
    """A step policy, or a simple one: a single step without bounds."""

    adjustment_type: str
    steps: tuple[Step, ...]
    cooldown: float = 300.0
    minimum_magnitude: int = 0

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Policy:
        """From DescribeScalingPolicies or DescribePolicies."""
        configuration = described.get("StepScalingPolicyConfiguration") or described
        adjustments: Sequence[Mapping[str, Any]] = configuration.get("StepAdjustments") or ()
        steps = tuple(
            Step(
                int(step["ScalingAdjustment"]),
                step.get("MetricIntervalLowerBound"),
                step.get("MetricIntervalUpperBound"),
            )
            for step in adjustments
        )
        if not steps and configuration.get("ScalingAdjustment") is not None:
            steps = (Step(int(configuration["ScalingAdjustment"])),)
        cooldown = configuration.get("Cooldown")
        # Step policies of Auto Scaling groups know no cooldown; the default of the others is 300 s.
        default = 0.0 if configuration is described and adjustments else 300.0
        return cls(
            adjustment_type=configuration.get("AdjustmentType") or CHANGE,
            steps=steps,
            cooldown=default if cooldown is None else float(cooldown),
            minimum_magnitude=int(
                configuration.get("MinAdjustmentMagnitude") or configuration.get("MinAdjustmentStep") or 0
            ),
        )


@dataclass(frozen=True)
class Activity:
    """The last scaling of a target: when it was, and from which capacity to which."""

    time: float
    before: int
    after: int
    cooldown: float


def adjusted(policy: Policy, step: Step, capacity: int) -> int:
    """The capacity after a step, before the target's limits."""
    if policy.adjustment_type == EXACT:
        return step.adjustment
    if policy.adjustment_type == CHANGE:
        return capacity + step.adjustment
    exact = capacity * step.adjustment / 100
    # Above 1 it is rounded down, between 0 and 1 up to 1; below zero likewise.
    change = math.floor(exact) if exact >= 1 else math.ceil(exact) if exact > 0 else 0
    if exact < 0:
        change = math.ceil(exact) if exact <= -1 else -1
    if step.adjustment > 0:
        change = max(change, policy.minimum_magnitude)
    elif step.adjustment < 0:
        change = min(change, -policy.minimum_magnitude)
    return capacity + change


def desired_capacity(
    policy: Policy,
    *,
    value: float | None,
    threshold: float,
    capacity: int,
    minimum: int,
    maximum: int,
    last: Activity | None,
    now: float,
) -> int:
    """The capacity that a policy sets when its alarm, at ``value``, invokes it.

    During the cooldown of a scale-out what it has added counts as added already, so that only a larger step adds
    more; a scale-in is blocked by the cooldown of a scale-in, and a scale-out never is:
    https://docs.aws.amazon.com/autoscaling/application/userguide/step-scaling-policy-overview.html#step-scaling-cooldown

    A policy goes neither below the minimum nor above the maximum of its target:
    https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html
    """
    difference = 0.0 if value is None else value - threshold
    step = next((step for step in policy.steps if step.covers(difference)), None)
    if step is None:
        return capacity
    cooling = last is not None and now < last.time + last.cooldown
    base = capacity
    if cooling and last is not None and last.after > last.before and policy.adjustment_type != EXACT:
        base = min(capacity, last.before)
    wanted = max(minimum, min(maximum, adjusted(policy, step, base)))
    if cooling and last is not None:
        if last.after > last.before and _grows(policy, step) and wanted < capacity:
            return capacity  # the earlier scale-out was the larger one
        if last.after < last.before and wanted < capacity:
            return capacity
    return wanted


def _grows(policy: Policy, step: Step) -> bool:
    return policy.adjustment_type != EXACT and step.adjustment > 0
