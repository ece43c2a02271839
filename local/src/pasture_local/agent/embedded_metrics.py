# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics in log lines of CloudWatch's embedded metric format, which CloudWatch Logs takes out of them.

Pure: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

#: A line without this is not looked at any further.
_MARK = '"_aws"'


def by_namespace(lines: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """The data points of log lines, by namespace and in the terms of PutMetricData."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        if _MARK in line:
            for namespace, point in _points(line):
                found.setdefault(namespace, []).append(point)
    return found


def _points(line: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The points of one line; none when it does not keep to the format, which CloudWatch ignores as well."""
    try:
        event = json.loads(line)
        metadata = event["_aws"]
        moment = datetime.fromtimestamp(metadata["Timestamp"] / 1000, UTC)
        directives = metadata["CloudWatchMetrics"]
    except (ValueError, KeyError, TypeError):
        return
    for directive in directives:
        for names in directive.get("Dimensions") or [[]]:
            if not all(name in event for name in names):
                continue
            dimensions = [{"Name": name, "Value": str(event[name])} for name in names]
            for metric in directive.get("Metrics", ()):
                yield from (
                    (directive["Namespace"], point) for point in _values(event, metric, dimensions, moment)
                )


def _values(
    event: Mapping[str, Any], metric: Mapping[str, str], dimensions: list[dict[str, str]], moment: datetime
) -> Iterator[dict[str, Any]]:
    value = event.get(metric["Name"])
    values = value if isinstance(value, list) else [value]
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if numbers:
        yield {
            "MetricName": metric["Name"],
            "Dimensions": dimensions,
            "Timestamp": moment,
            "Unit": metric.get("Unit", "None"),
            # PutMetricData takes one value, or values with how often each came.
            **({"Value": numbers[0]} if len(numbers) == 1 else {"Values": numbers}),
        }
