# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of a run: waiting times, drain time, instance hours and their price."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pasture_local.simulate.plant import Record
from pasture_local.simulate.trace import Counts, Times

# Quantiles over at most this many documents, evenly spaced in the order of arrival.
_SAMPLES = 1_000_000


@dataclass(frozen=True)
class Result:
    """One run. Times in seconds; waiting is from a document's arrival to the start of its inference."""

    name: str
    documents: int
    unfinished: int
    drain_seconds: float
    wait_p50: float
    wait_p95: float
    wait_max: float
    instance_hours: float
    cost: float
    max_tasks: int
    max_instances: int
    changes_of_direction: int
    end_seconds: float

    @property
    def cost_per_1000(self) -> float:
        """Price of a thousand documents, in the currency of the instance's price."""
        return self.cost / max(self.documents - self.unfinished, 1) * 1000

    def as_json(self) -> dict[str, Any]:
        """The fields and the derived price, for a machine."""
        return {**asdict(self), "cost_per_1000": self.cost_per_1000}


def waits(record: Record) -> Times:
    """Waiting times, in seconds, of up to a million started documents, first come first served."""
    arrived, started = np.cumsum(record.arrivals), np.cumsum(record.starts)
    total = int(started[-1])
    if not total:
        return np.zeros(0)
    ranks = np.unique(np.linspace(0, total - 1, min(total, _SAMPLES)).astype(np.int64))
    landed = np.searchsorted(arrived, ranks, side="right")
    begun = np.searchsorted(started, ranks, side="right")
    return (begun - landed).astype(np.float64) * record.tick


def changes_of_direction(desired: Counts) -> int:
    """How often the desired count turned from rising to falling or back."""
    steps = np.sign(np.diff(desired, prepend=0))
    moves = steps[steps != 0]
    return int((moves[1:] != moves[:-1]).sum()) if len(moves) else 0


def summarise(name: str, record: Record, document_seconds: float, price_per_hour: float) -> Result:
    """Reduce a run to its figures.

    :param price_per_hour: of one instance, in any currency.
    """
    times = waits(record)
    total, started = int(record.arrivals.sum()), int(record.starts.sum())
    first = int(np.argmax(record.arrivals > 0))
    last = int(np.nonzero(record.starts)[0][-1]) if started else first
    p50, p95, most = (
        (float(np.quantile(times, 0.5)), float(np.quantile(times, 0.95)), float(times.max()))
        if len(times)
        else (0.0, 0.0, 0.0)
    )
    hours = record.instance_seconds / 3600
    return Result(
        name=name,
        documents=total,
        unfinished=total - started,
        drain_seconds=(last - first) * record.tick + document_seconds,
        wait_p50=p50,
        wait_p95=p95,
        wait_max=most,
        instance_hours=hours,
        cost=hours * price_per_hour,
        max_tasks=int(record.tasks.max()),
        max_instances=int(record.instances.max()),
        changes_of_direction=changes_of_direction(record.desired),
        end_seconds=float(len(record.starts) * record.tick),
    )
