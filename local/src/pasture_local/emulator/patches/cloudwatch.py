# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of Amazon CloudWatch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.cloudwatch import models
from moto.cloudwatch.exceptions import ValidationError

from pasture_local.emulator import metric_math
from pasture_local.emulator.patches._patch import Patch


def metric_data(
    original: Callable[..., Any],
    self: Any,
    queries: list[dict[str, Any]],
    start_time: datetime,
    end_time: datetime,
    scan_by: str = "TimestampAscending",
) -> Any:
    """moto's only expression is the name of another query; it mixes up metrics of the same name and
    dimensions in different namespaces, and its periods begin at StartTime rather than at whole multiples of
    the period.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
    """
    if any(query.get("Expression", "").startswith("SELECT") for query in queries):
        return original(self, queries, start_time, end_time, scan_by)
    start, end = start_time.replace(tzinfo=None), end_time.replace(tzinfo=None)
    if start >= end:
        raise ValidationError("The parameter EndTime must be greater than StartTime.")
    metrics = [q for q in queries if "MetricStat" in q]
    series = {q["Id"]: _series(self, q["MetricStat"], start, end) for q in metrics}
    step = max([int(q["MetricStat"]["Period"]) for q in metrics] or [60])
    results = []
    for query in queries:
        if "Expression" in query:
            try:
                series[query["Id"]] = metric_math.evaluate(
                    query["Expression"], dict(series), _periods(start, end, int(query.get("Period") or step))
                )
            except metric_math.ExpressionError as error:
                raise ValidationError(str(error)) from error
        if query.get("ReturnData", True):
            points = sorted(series[query["Id"]].items(), reverse=scan_by == "TimestampDescending")
            stat = query.get("MetricStat", {})
            default = f"{stat['Metric']['MetricName']}" if stat else query["Id"]
            results.append(
                {
                    "id": query["Id"],
                    "label": query.get("Label") or default,
                    "timestamps": [moment for moment, _ in points],
                    "values": [value for _, value in points],
                    "status_code": "Complete",
                }
            )
    return results


def _periods(start: datetime, end: datetime, seconds: int) -> list[datetime]:
    first = _floor(start, seconds)
    count = int((end - first).total_seconds() // seconds) + (
        1 if (end - first).total_seconds() % seconds else 0
    )
    return [first + timedelta(seconds=seconds * n) for n in range(count)]


def _floor(moment: datetime, seconds: int) -> datetime:
    stamp = int(moment.replace(tzinfo=UTC).timestamp())
    return datetime.fromtimestamp(stamp - stamp % seconds, UTC).replace(tzinfo=None)


def _series(backend: Any, stat: dict[str, Any], start: datetime, end: datetime) -> metric_math.Series:
    metric, seconds = stat["Metric"], int(stat["Period"])
    dimensions = sorted((d["Name"], d["Value"]) for d in metric.get("Dimensions", []))
    first = _floor(start, seconds)
    by_period: dict[datetime, list[Any]] = {}
    for datum in backend.get_all_metrics():
        if (
            first <= datum.timestamp < end
            and datum.name == metric["MetricName"]
            and datum.namespace == metric["Namespace"]
            and sorted((d.name, d.value) for d in datum.dimensions) == dimensions
            and stat.get("Unit") in (None, datum.unit)
        ):
            by_period.setdefault(_floor(datum.timestamp, seconds), []).append(datum)
    series = {}
    for moment, data in by_period.items():
        statistics = models.Statistics([stat["Stat"]], moment)
        statistics.metric_data = data
        value = statistics.get_statistics_for_type(stat["Stat"])
        if value is not None:
            series[moment] = float(value)
    return series


def alarm_state(original: Callable[..., Any], self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """moto's alarms begin in OK, and go back to it when they are changed. An alarm has INSUFFICIENT_DATA
    until it is evaluated for the first time, and a change leaves its state as it was.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    """
    before = self.alarms.get(name)
    alarm = original(self, name, *args, **kwargs)
    if before is None:
        alarm.state_value = "INSUFFICIENT_DATA"
        return alarm
    for attribute in (
        "history",
        "state_reason",
        "state_reason_data",
        "state_value",
        "state_updated_timestamp",
    ):
        setattr(alarm, attribute, getattr(before, attribute))
    return alarm


PATCHES = (
    Patch("cloudwatch-metric-math", models.CloudWatchBackend, "get_metric_data", metric_data),
    Patch("cloudwatch-alarm-state", models.CloudWatchBackend, "put_metric_alarm", alarm_state),
)
