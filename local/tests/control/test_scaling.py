# SPDX-License-Identifier: GPL-3.0-or-later
"""What step and simple policies make of a breach."""

from __future__ import annotations

from typing import Any

import pytest

from pasture_local.alarms.scaling import Activity, Policy, Step, desired_capacity


def decide(policy: Policy, value: float, capacity: int, **changes: Any) -> int:
    given: dict[str, Any] = {
        "value": value,
        "threshold": 1.0,
        "capacity": capacity,
        "minimum": 0,
        "maximum": 10,
        "last": None,
        "now": 1000.0,
    }
    return desired_capacity(policy, **(given | changes))


STAIRCASE = Policy("ExactCapacity", (Step(1, 0, 2), Step(2, 2, 4), Step(10, 4, None)), cooldown=60)


@pytest.mark.parametrize(("value", "expected"), [(1, 1), (2.9, 1), (3, 2), (5, 10), (100_000, 10)])
def test_staircase_sets_the_step_whose_bounds_hold_the_breach(value: float, expected: int) -> None:
    assert decide(STAIRCASE, value, 0) == expected


def test_bounds_below_the_threshold_belong_to_the_other_step() -> None:
    policy = Policy("ChangeInCapacity", (Step(-1, -10, 0), Step(-2, None, -10)))
    assert decide(policy, 1, 5) == 4
    assert decide(policy, -8, 5) == 4
    assert decide(policy, -9, 5) == 3


def test_limits_of_the_target_are_kept() -> None:
    assert decide(STAIRCASE, 50, 0, maximum=4) == 4
    assert decide(Policy("ChangeInCapacity", (Step(-9),)), 1, 3, minimum=1) == 1


# https://docs.aws.amazon.com/autoscaling/application/userguide/step-scaling-policy-overview.html: values above 1 are
# rounded down, between 0 and 1 to 1, between -1 and 0 to -1, below -1 up.
@pytest.mark.parametrize(
    ("percent", "capacity", "magnitude", "expected"),
    [(127, 10, 0, 22), (67, 1, 0, 2), (-58, 1, 0, 0), (-66, 10, 0, 4), (25, 4, 2, 6), (-25, 4, 2, 2)],
)
def test_percentages_are_rounded_as_documented(
    percent: int, capacity: int, magnitude: int, expected: int
) -> None:
    policy = Policy("PercentChangeInCapacity", (Step(percent),), minimum_magnitude=magnitude)
    assert decide(policy, 1, capacity, maximum=100) == expected


def test_larger_step_in_the_cooldown_of_a_scale_out_adds_the_difference() -> None:
    policy = Policy("ChangeInCapacity", (Step(2, 0, 10), Step(3, 10, None)), cooldown=300)
    scaled = Activity(time=900.0, before=1, after=3, cooldown=300)
    assert decide(policy, 5, 3, last=scaled) == 3
    assert decide(policy, 50, 3, last=scaled) == 4
    assert decide(policy, 5, 3, last=scaled, now=1200.0) == 5


def test_scale_in_is_blocked_by_its_cooldown_and_scale_out_is_not() -> None:
    scaled = Activity(time=900.0, before=9, after=5, cooldown=300)
    shrink, grow = Policy("ChangeInCapacity", (Step(-1),)), Policy("ChangeInCapacity", (Step(1),))
    assert decide(shrink, 1, 5, last=scaled) == 5
    assert decide(grow, 1, 5, last=scaled) == 6
    assert decide(shrink, 1, 5, last=scaled, now=1200.0) == 4


def test_policies_are_read_from_both_services() -> None:
    step = {"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 3}
    configuration = {"AdjustmentType": "ExactCapacity", "Cooldown": 60, "StepAdjustments": [step]}
    assert Policy.of({"StepScalingPolicyConfiguration": configuration}) == Policy(
        "ExactCapacity", (Step(3, 0.0, None),), 60.0
    )
    simple = {"PolicyType": "SimpleScaling", "AdjustmentType": "ExactCapacity", "ScalingAdjustment": 0}
    assert Policy.of(simple) == Policy("ExactCapacity", (Step(0),), 300.0)
