# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric data in memory, aggregated by statistic and period as CloudWatch does it. Times are seconds."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: What is older is forgotten; no alarm may look back further than a day.
_KEEP_SECONDS = 86_400.0

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
_STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "Average": lambda values: math.fsum(values) / len(values),
    "Sum": math.fsum,
    "Minimum": min,
    "Maximum": max,
    "SampleCount": lambda values: float(len(values)),
}


@dataclass(frozen=True)
class Metric:
    """The identity of a metric: namespace, name and dimensions."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, namespace: str, name: str, dimensions: Iterable[Mapping[str, Any]] = ()) -> Metric:
        """From the list of ``Name`` and ``Value`` that the API uses."""
        return cls(namespace, name, frozenset((d["Name"], d["Value"]) for d in dimensions))


class MetricStore:
    """Data points by metric, added in the order of time."""

    def __init__(self) -> None:
        self._times: dict[Metric, list[float]] = {}
        self._values: dict[Metric, list[float]] = {}

    def add(self, metric: Metric, time: float, value: float) -> None:
        """Add a data point that is not older than the last one of its metric."""
        times = self._times.setdefault(metric, [])
        values = self._values.setdefault(metric, [])
        times.append(time)
        values.append(value)
        if len(times) > 64 and times[len(times) // 2] < time - _KEEP_SECONDS:
            cut = bisect.bisect_left(times, time - _KEEP_SECONDS)
            del times[:cut], values[:cut]

    def statistic(self, metric: Metric, statistic: str, start: float, end: float) -> float | None:
        """A statistic over [start, end), or None without data points in it.

        Raises ValueError for one that is unknown; percentiles are written ``p95``.
        """
        times = self._times.get(metric)
        if not times:
            return None
        values = self._values[metric][bisect.bisect_left(times, start) : bisect.bisect_left(times, end)]
        if not values:
            return None
        if statistic in _STATISTICS:
            return _STATISTICS[statistic](values)
        if statistic[:1] == "p" and statistic[1:].replace(".", "", 1).isdigit():
            rank = math.ceil(float(statistic[1:]) / 100 * len(values))
            return sorted(values)[max(0, rank - 1)]
        raise ValueError(f"the statistic {statistic} is not known here")
