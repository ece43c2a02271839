# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scalings in docs/scaling, on which the documents' figures rest, are what the role makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._plan_scaling import scaling_plan

SCALINGS = Path(__file__).parents[4] / "docs" / "scaling"
# The defaults of a processor, but for the slots, of which there is one, and what the file is named after.
DEFAULTS = {"max_instances": 5, "documents_per_task": 2, "idle_minutes": 5}
FILES: dict[str, dict[str, int]] = {
    "default": {},
    "idle-16": {"idle_minutes": 16},
    "one-each": {"documents_per_task": 1},
    "hundred": {"max_instances": 100},
    "five-hundred": {"max_instances": 500},
}
FACT = {
    "account_id": "123456789012",
    "partition": "aws",
    "region": "eu-west-1",
    "stack": "docs",
    "prefix": "pasture-docs",
}


def planned(changes: dict[str, int]) -> dict[str, Any]:
    processor = {
        "name": "summarize",
        **DEFAULTS,
        **changes,
        "event_patterns": [{"bus": "default", "pattern": {}}],
    }
    processor["max_tasks"] = processor["max_instances"]
    return scaling_plan([processor], FACT, {})


def test_every_file_is_looked_at() -> None:
    assert {path.stem for path in SCALINGS.glob("*.json")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_documented_scaling_is_what_the_role_makes(name: str) -> None:
    documented = json.loads((SCALINGS / f"{name}.json").read_text(encoding="utf-8"))
    plan = planned(FILES[name])
    (target,) = plan["targets"]
    assert (documented["minimum"], documented["maximum"]) == (0, target["max_capacity"])
    assert documented["wake_up"]["documents_per_task"] == {**DEFAULTS, **FILES[name]}["documents_per_task"]
    assert documented["keeps_metrics"] is True
    for alarm in plan["alarms"]:
        (found,) = [one for one in documented["alarms"] if one["AlarmName"] == alarm["name"]]
        periods = {query["MetricStat"]["Period"] for query in found["Metrics"] if "MetricStat" in query}
        expressions = [query["Expression"] for query in found["Metrics"] if "Expression" in query]
        assert periods == {alarm["period"]}
        assert expressions == [query["expression"] for query in alarm["metrics"] if "expression" in query]
        assert found["Threshold"] == alarm["threshold"]
        assert found["EvaluationPeriods"] == alarm["evaluation_periods"]
        assert found["TreatMissingData"] == alarm["missing_data"]
    deployed = {
        policy["PolicyName"]: policy["StepScalingPolicyConfiguration"]
        for policy in documented["policies"].values()
        if "StepScalingPolicyConfiguration" in policy
    }
    for policy in target["policies"]:
        found = deployed[policy["name"]]
        assert found["Cooldown"] == policy["cooldown"]
        assert [step["ScalingAdjustment"] for step in found["StepAdjustments"]] == [
            step["scaling_adjustment"] for step in policy["steps"]
        ]
        assert [step.get("MetricIntervalLowerBound") for step in found["StepAdjustments"]] == [
            step.get("metric_interval_lower_bound") for step in policy["steps"]
        ]
