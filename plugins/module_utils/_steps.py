# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Step adjustments, which both kinds of Auto Scaling share. For internal use of this collection only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_NAMES = {
    "metric_interval_lower_bound": "MetricIntervalLowerBound",
    "metric_interval_upper_bound": "MetricIntervalUpperBound",
    "scaling_adjustment": "ScalingAdjustment",
}

#: The options of one step, relative to the threshold of the alarm.
STEP_OPTIONS: dict[str, Any] = {
    "metric_interval_lower_bound": {"type": "float"},
    "metric_interval_upper_bound": {"type": "float"},
    "scaling_adjustment": {"type": "int", "required": True},
}


def steps_state(steps: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Described steps in the terms of the modules' options, lowest first."""
    states = [
        {key: step[name] for key, name in _NAMES.items() if step.get(name) is not None} for step in steps
    ]
    return sorted(states, key=_lower_bound)


def _lower_bound(step: dict[str, Any]) -> float:
    bound = step.get("metric_interval_lower_bound")
    return float("-inf") if bound is None else float(bound)


def steps_request(steps: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reverse of C(steps_state)."""
    return [{name: step[key] for key, name in _NAMES.items() if step.get(key) is not None} for step in steps]
