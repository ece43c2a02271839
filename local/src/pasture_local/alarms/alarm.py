# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluation of alarms, over what DescribeAlarms returns. Pure; times are seconds.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pasture_local.alarms.metrics import Metric, MetricStore
from pasture_local.emulator import metric_math

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"

#: CloudWatch looks back further than the evaluation periods when data is missing. How far is not documented; the
#: examples of its documentation show a range of five for three periods.
_EXTRA_PERIODS = 2

_BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass(frozen=True)
class Verdict:
    """What an evaluation came to."""

    state: str
    reason: str
    #: The newest data points of the evaluation range, newest first; None where data is missing.
    values: tuple[float | None, ...] = ()

    @property
    def latest(self) -> float | None:
        """The newest value there is: what a step scaling policy measures the breach by."""
        return next((value for value in self.values if value is not None), None)


def judge(
    values: Sequence[float | None],
    *,
    periods: int,
    datapoints_to_alarm: int,
    breaches: Callable[[float], bool],
    missing: str,
    current: str,
) -> str:
    """The state that data points, newest first, mean; None marks a missing one.

    ``missing`` is TreatMissingData, ``current`` the state so far. The cases follow the two tables of the page
    on missing data.
    """
    real = [(index, value) for index, value in enumerate(values, start=1) if value is not None]
    if len(real) >= periods:
        # Enough data within the range: missing points do not matter at all.
        recent = real[:periods]
        return ALARM if sum(breaches(v) for _, v in recent) >= datapoints_to_alarm else OK
    breaching = sum(breaches(value) for _, value in real)
    if missing == "breaching":
        return ALARM if breaching + periods - len(real) >= datapoints_to_alarm else OK
    if missing == "notBreaching":
        return ALARM if breaching >= datapoints_to_alarm else OK
    if not real:
        return current if missing == "ignore" else INSUFFICIENT_DATA
    if breaching >= datapoints_to_alarm:
        return ALARM
    if breaching < len(real):
        return OK
    # All that is there breaches, but it is too little. Treated as missing, it is an alarm when the oldest of them
    # is at least as old as the datapoints to alarm.
    oldest = real[-1][0]
    return ALARM if missing != "ignore" and oldest >= datapoints_to_alarm else current


def period_of(alarm: Mapping[str, Any]) -> float:
    """The period of an alarm in seconds; of a metric-math alarm, that of its metrics."""
    if alarm.get("Period"):
        return float(alarm["Period"])
    periods = [
        float((query.get("MetricStat") or {}).get("Period") or query.get("Period") or 0)
        for query in alarm.get("Metrics") or ()
    ]
    return max(periods, default=0.0) or 60.0


def metrics_of(alarm: Mapping[str, Any]) -> list[Metric]:
    """The metrics that an alarm watches."""
    if alarm.get("MetricName"):
        return [Metric.of(alarm["Namespace"], alarm["MetricName"], alarm.get("Dimensions") or ())]
    stats = (query.get("MetricStat") for query in alarm.get("Metrics") or ())
    return [
        Metric.of(m["Namespace"], m["MetricName"], m.get("Dimensions") or ())
        for stat in stats
        if stat
        for m in (stat["Metric"],)
    ]


def values_of(alarm: Mapping[str, Any], store: MetricStore, now: float) -> list[float | None]:
    """The data points of the evaluation range, newest first; the newest period ends at ``now``.

    The window slides: an alarm whose period is five minutes looks each minute at the last five.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation-window.html

    Raises metric_math.ExpressionError when its expression cannot be evaluated.
    """
    period = period_of(alarm)
    count = int(alarm["EvaluationPeriods"]) + _EXTRA_PERIODS
    starts = [now - period * (index + 1) for index in range(count)]
    if alarm.get("MetricName"):
        metric = metrics_of(alarm)[0]
        statistic = alarm.get("Statistic") or alarm.get("ExtendedStatistic") or "Average"
        return [store.statistic(metric, statistic, start, start + period) for start in starts]
    moments = [datetime.fromtimestamp(start, UTC) for start in starts]
    series: dict[str, metric_math.Series] = {}
    returned = ""
    for query in _in_order(alarm["Metrics"]):
        if stat := query.get("MetricStat"):
            described = stat["Metric"]
            metric = Metric.of(
                described["Namespace"], described["MetricName"], described.get("Dimensions") or ()
            )
            found = (store.statistic(metric, stat["Stat"], start, start + period) for start in starts)
            series[query["Id"]] = {m: v for m, v in zip(moments, found, strict=True) if v is not None}
        else:
            series[query["Id"]] = metric_math.evaluate(query["Expression"], series, sorted(moments))
        if query.get("ReturnData", True):
            returned = query["Id"]
    result = series.get(returned, {})
    return [result.get(moment) for moment in moments]


def _in_order(queries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Metrics first, and an expression after those that it names."""
    done = [query for query in queries if query.get("MetricStat")]
    rest = [query for query in queries if not query.get("MetricStat")]
    ids = {query["Id"] for query in rest}
    while rest:
        known = {query["Id"] for query in done}
        ready = [q for q in rest if not any(other in q["Expression"] for other in ids - known - {q["Id"]})]
        # Expressions that name each other are left to the evaluation, which says what is unknown.
        done += ready or rest
        rest = [query for query in rest if query not in done]
    return done


def evaluate(alarm: Mapping[str, Any], store: MetricStore, now: float) -> Verdict:
    """Evaluate a deployed alarm at ``now``."""
    current = alarm.get("StateValue") or INSUFFICIENT_DATA
    try:
        values = values_of(alarm, store, now)
    except (metric_math.ExpressionError, ValueError) as error:
        return Verdict(INSUFFICIENT_DATA, f"Evaluation error: {error}")
    threshold = float(alarm["Threshold"])
    compare = _BREACHES[alarm["ComparisonOperator"]]
    periods = int(alarm["EvaluationPeriods"])
    state = judge(
        values,
        periods=periods,
        datapoints_to_alarm=int(alarm.get("DatapointsToAlarm") or periods),
        breaches=lambda value: compare(value, threshold),
        missing=alarm.get("TreatMissingData") or "missing",
        current=current,
    )
    shown = ", ".join("missing" if value is None else f"{value:g}" for value in values[:periods])
    comparison = alarm["ComparisonOperator"].removesuffix("Threshold")
    return Verdict(state, f"Datapoints, newest first: [{shown}]; {comparison} {threshold:g}", tuple(values))


def actions_of(alarm: Mapping[str, Any], before: str, state: str) -> list[str]:
    """The ARNs of the actions that are invoked after an evaluation.

    A change of state invokes those of the new state. Scaling policies are invoked again at every evaluation, once a
    minute, for as long as the alarm stays in the state; notifications are not:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-actions.html
    """
    if not alarm.get("ActionsEnabled", True):
        return []
    keys = {OK: "OKActions", ALARM: "AlarmActions", INSUFFICIENT_DATA: "InsufficientDataActions"}
    actions = [str(arn) for arn in alarm.get(keys[state]) or ()]
    if before != state:
        return actions
    return [arn for arn in actions if arn.split(":")[2:3] == ["autoscaling"]]
