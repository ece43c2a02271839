# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics are taken out of log lines as CloudWatch does it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pasture_local.agent.embedded_metrics import by_namespace


def line(**changes: Any) -> str:
    directive = {
        "Namespace": "Pasture",
        "Dimensions": [["Stack", "Processor"], ["Stack"]],
        "Metrics": [{"Name": "Tokens", "Unit": "Count"}, {"Name": "Absent"}],
    }
    event = {
        "_aws": {"Timestamp": 1_700_000_000_000, "CloudWatchMetrics": [directive]},
        "Stack": "docs",
        "Processor": "summarize",
        "Tokens": 12,
    }
    return json.dumps(event | changes)


def test_each_set_of_dimensions_is_a_metric() -> None:
    points = by_namespace([line()])["Pasture"]
    assert [(p["MetricName"], p["Value"], len(p["Dimensions"])) for p in points] == [
        ("Tokens", 12, 2),
        ("Tokens", 12, 1),
    ]
    assert points[0]["Timestamp"].timestamp() == 1_700_000_000
    assert points[0]["Unit"] == "Count"


def test_list_of_values_is_one_point() -> None:
    assert by_namespace([line(Tokens=[1, 2, 2])])["Pasture"][0]["Values"] == [1, 2, 2]


@pytest.mark.parametrize(
    "text", ["plain text", '{"message": 1}', '{"_aws": 1}', '{"_aws"', line(Tokens="many")]
)
def test_other_lines_have_no_metrics(text: str) -> None:
    assert by_namespace([text]) == {}


def test_dimension_without_a_value_is_left_out() -> None:
    without = json.loads(line())
    del without["Processor"]
    assert len(by_namespace([json.dumps(without)])["Pasture"]) == 1
