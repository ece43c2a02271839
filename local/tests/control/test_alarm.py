# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluation of alarms, by the examples of CloudWatch's documentation."""

from __future__ import annotations

from typing import Any

import pytest

from pasture_local.alarms import alarm as alarms
from pasture_local.alarms.alarm import ALARM, INSUFFICIENT_DATA, OK
from pasture_local.alarms.metrics import Metric, MetricStore

KEPT = "whatever it was"
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")


def points(text: str) -> list[float | None]:
    """Data points newest first, from the documentation's notation: oldest first, X breaches, - is missing."""
    values: dict[str, float | None] = {"X": 1.0, "0": 0.0, "-": None}
    return [values[mark] for mark in reversed(text.split())]


# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
# Columns: data points, datapoints to alarm (of 3 periods), state by treatment as in TREATMENTS.
DOCUMENTED = [
    ("0 - X - X", 3, (OK, OK, OK, OK)),
    ("- - - - 0", 3, (OK, OK, OK, OK)),
    ("- - - - -", 3, (INSUFFICIENT_DATA, KEPT, ALARM, OK)),
    ("0 X X - X", 3, (ALARM, ALARM, ALARM, ALARM)),
    ("- - X - -", 3, (ALARM, KEPT, ALARM, OK)),
    ("0 - X - X", 2, (ALARM, ALARM, ALARM, ALARM)),
    ("0 0 X 0 X", 2, (ALARM, ALARM, ALARM, ALARM)),
    ("0 - X - -", 2, (OK, OK, ALARM, OK)),
    ("- - - - 0", 2, (OK, OK, ALARM, OK)),
    ("- - - X -", 2, (ALARM, KEPT, ALARM, OK)),
]


@pytest.mark.parametrize(("text", "datapoints", "states"), DOCUMENTED)
def test_missing_data_is_treated_as_documented(text: str, datapoints: int, states: tuple[str, ...]) -> None:
    found = tuple(
        alarms.judge(
            points(text),
            periods=3,
            datapoints_to_alarm=datapoints,
            breaches=lambda value: value > 0,
            missing=treatment,
            current=KEPT,
        )
        for treatment in TREATMENTS
    )
    assert found == states


QUEUE = [{"Name": "QueueName", "Value": "q"}]


def stat(identifier: str, name: str, statistic: str = "Maximum") -> dict[str, Any]:
    metric = {"Namespace": "AWS/SQS", "MetricName": name, "Dimensions": QUEUE}
    return {
        "Id": identifier,
        "MetricStat": {"Metric": metric, "Period": 60, "Stat": statistic},
        "ReturnData": False,
    }


OUTSTANDING: dict[str, Any] = {
    "AlarmName": "outstanding",
    "Metrics": [
        {"Id": "total", "Expression": "FILL(visible, 0) + FILL(flying, 0)", "ReturnData": True},
        stat("visible", "Visible"),
        stat("flying", "InFlight"),
    ],
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "EvaluationPeriods": 1,
    "TreatMissingData": "notBreaching",
    "StateValue": "OK",
}


def filled(**metrics: dict[float, float]) -> MetricStore:
    store = MetricStore()
    for name, values in metrics.items():
        for time, value in values.items():
            store.add(Metric.of("AWS/SQS", name, QUEUE), time, value)
    return store


def test_metric_math_adds_what_waits_and_what_is_in_flight() -> None:
    verdict = alarms.evaluate(OUTSTANDING, filled(Visible={570.0: 3}, InFlight={570.0: 4}), 600.0)
    assert (verdict.state, verdict.latest) == (ALARM, 7.0)


def test_fill_takes_a_missing_metric_for_zero() -> None:
    verdict = alarms.evaluate(OUTSTANDING, filled(InFlight={570.0: 2}), 600.0)
    assert (verdict.state, verdict.latest) == (ALARM, 2.0)


def test_data_points_of_another_period_do_not_count() -> None:
    assert alarms.evaluate(OUTSTANDING, filled(Visible={530.0: 9}), 600.0).state == OK


def test_a_long_period_slides_with_each_evaluation() -> None:
    # Of two minutes, evaluated each minute: a peak is seen at once, and for two minutes.
    queries = [query for query in OUTSTANDING["Metrics"] if "MetricStat" in query]
    long = [{**query, "MetricStat": {**query["MetricStat"], "Period": 120}} for query in queries]
    alarm = OUTSTANDING | {"Metrics": [OUTSTANDING["Metrics"][0], *long]}
    store = filled(Visible={450.0: 1, 510.0: 9, 570.0: 2, 630.0: 1})
    seen = [alarms.evaluate(alarm, store, now).latest for now in (480.0, 540.0, 600.0, 660.0)]
    assert seen == [1.0, 9.0, 9.0, 2.0]


def test_idle_alarm_needs_all_its_periods() -> None:
    idle = OUTSTANDING | {
        "Threshold": 0.0,
        "ComparisonOperator": "LessThanOrEqualToThreshold",
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 3,
    }
    assert alarms.evaluate(idle, filled(Visible={450.0: 1, 510.0: 0, 570.0: 0}), 600.0).state == OK
    assert alarms.evaluate(idle, filled(Visible={450.0: 0, 510.0: 0, 570.0: 0}), 600.0).state == ALARM


def test_statistics_are_taken_over_the_period() -> None:
    plain = {
        "AlarmName": "plain",
        "Namespace": "AWS/SQS",
        "MetricName": "Visible",
        "Dimensions": QUEUE,
        "Statistic": "Average",
        "Period": 120,
        "Threshold": 4.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
    }
    store = filled(Visible={490.0: 3, 590.0: 7})
    assert alarms.evaluate(plain, store, 600.0).latest == 5.0
    assert alarms.evaluate(plain | {"Statistic": "Maximum"}, store, 600.0).latest == 7.0
    assert alarms.evaluate(plain, store, 600.0).state == ALARM


def test_expression_that_cannot_be_evaluated_is_insufficient_data() -> None:
    broken = OUTSTANDING | {"Metrics": [{"Id": "total", "Expression": "nothing + 1"}]}
    verdict = alarms.evaluate(broken, MetricStore(), 600.0)
    assert verdict.state == INSUFFICIENT_DATA
    assert "nothing" in verdict.reason


POLICY = "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:x:resource/ecs/service/c/s:policyName/p"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:t"


def test_scaling_policies_are_invoked_again_and_notifications_once() -> None:
    alarm = {"AlarmActions": [POLICY, TOPIC], "OKActions": [TOPIC]}
    assert alarms.actions_of(alarm, OK, ALARM) == [POLICY, TOPIC]
    assert alarms.actions_of(alarm, ALARM, ALARM) == [POLICY]
    assert alarms.actions_of(alarm, ALARM, OK) == [TOPIC]
    assert alarms.actions_of(alarm | {"ActionsEnabled": False}, OK, ALARM) == []
