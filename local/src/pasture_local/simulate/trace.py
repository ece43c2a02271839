# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrival traces: how many documents land in each tick.

A trace is written ``KIND:KEY=VALUE,...``; the first value may stand without its key:

======================================  ===================================================================
``burst:1000``                          1,000 documents at once (``at=0``: in that second; else the 30th)
``constant:2,hours=3``                  2 documents a second for three hours (``rate``)
``trickle:600,hours=12``                one document every 600 seconds (``every``)
``daily:5000,days=7``                   5,000 documents a day, most of them around 13:00 (``documents``)
``csv:arrivals.csv``                    two columns, seconds and documents; a header line is passed over
======================================  ===================================================================
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Times = npt.NDArray[np.floating[Any]]

# A tick has to divide a minute, the rhythm of everything that CloudWatch and ECS do.
_TICKS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)
_MOST_TICKS = 700_000


class TraceError(ValueError):
    """A trace that cannot be read; the message says what is wrong."""


@dataclass(frozen=True)
class Trace:
    """Arrivals by time.

    :ivar name: as the user wrote it.
    :ivar seconds: rising times of arrival, in seconds from the start.
    :ivar documents: how many documents arrive at each of these times.
    """

    name: str
    seconds: Times
    documents: Counts

    @property
    def total(self) -> int:
        """Documents in all."""
        return int(self.documents.sum())

    @property
    def end(self) -> float:
        """Seconds until the last arrival."""
        return float(self.seconds[-1])

    def tick_seconds(self) -> int:
        """The finest tick, in seconds, with which this trace stays quick to simulate."""
        return next((tick for tick in _TICKS if self.end / tick <= _MOST_TICKS), _TICKS[-1])

    def per_tick(self, tick: int) -> Counts:
        """Documents that arrive in each tick of ``tick`` seconds."""
        return np.bincount(
            (self.seconds // tick).astype(np.int64), weights=self.documents.astype(np.float64)
        ).astype(np.int64)


def parse_trace(text: str) -> Trace:
    """Make a trace of its description (see the module's own).

    :raises TraceError: when it cannot be read.
    """
    kind, _, rest = text.partition(":")
    if kind == "csv":
        return _from_csv(text, Path(rest))
    maker = _KINDS.get(kind)
    if maker is None:
        raise TraceError(f"'{text}' is no trace: begin with one of {', '.join([*_KINDS, 'csv'])}.")
    try:
        seconds, documents = maker(_values(rest, _FIRST[kind]))
    except KeyError as missing:
        raise TraceError(f"The trace '{text}' lacks a value for {missing}.") from None
    except ValueError as error:
        raise TraceError(f"The trace '{text}' cannot be read: {error}.") from None
    if documents.sum() < 1:
        raise TraceError(f"The trace '{text}' has no document.")
    return Trace(text, seconds, documents)


_FIRST = {"burst": "documents", "constant": "rate", "trickle": "every", "daily": "documents"}


def _values(text: str, first: str) -> dict[str, float]:
    values = {}
    for index, part in enumerate(text.split(",") if text else []):
        key, equals, value = part.partition("=")
        if not equals and index:
            raise ValueError(f"'{part}' is not KEY=VALUE")
        name, number = (key.strip(), value) if equals else (first, part)
        values[name] = float(number)
        if not math.isfinite(values[name]) or values[name] < 0:
            raise ValueError(f"{name} is {number}; it must be a number of zero or more")
    return values


Arrivals = tuple[Times, Counts]


def _burst(values: Mapping[str, float]) -> Arrivals:
    return np.array([values.get("at", 30.0)]), np.array([int(values["documents"])])


def _even(rate: float, seconds: float) -> Arrivals:
    """``rate`` documents a second, counted so that rounding neither loses nor adds one."""
    times = np.arange(0.0, max(seconds, 1.0))
    expected = np.floor(rate * np.arange(1.0, len(times) + 1) + 1e-9)
    return times, np.diff(expected, prepend=0.0).astype(np.int64)


def _constant(values: Mapping[str, float]) -> Arrivals:
    return _even(values["rate"], values.get("hours", 1.0) * 3600)


def _trickle(values: Mapping[str, float]) -> Arrivals:
    every = values["every"]
    if every <= 0:
        raise ValueError("every must be more than zero seconds")
    times = np.arange(0.0, values.get("hours", 24.0) * 3600, every)
    return times, np.ones(len(times), dtype=np.int64)


def _daily(values: Mapping[str, float]) -> Arrivals:
    # A working day as a raised cosine between 07:00 and 19:00, spread over its seconds; nothing at night.
    hour = np.arange(86_400) / 3600.0
    weight = np.where((hour >= 7) & (hour < 19), 1 - np.cos((hour - 7) / 12 * 2 * np.pi), 0.0)
    days = max(1, int(values.get("days", 1)))
    expected = np.cumsum(np.tile(weight / weight.sum() * values["documents"], days))
    documents = np.diff(np.floor(expected + 1e-6), prepend=0.0).astype(np.int64)
    return np.arange(days * 86_400.0), documents


_KINDS: dict[str, Callable[[Mapping[str, float]], Arrivals]] = {
    "burst": _burst,
    "constant": _constant,
    "trickle": _trickle,
    "daily": _daily,
}


def _from_csv(name: str, path: Path) -> Trace:
    arrivals: dict[float, int] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file), 1):
                if not row:
                    continue
                try:
                    second, count = float(row[0]), int(row[1]) if len(row) > 1 else 1
                except ValueError:
                    if number == 1:  # the header
                        continue
                    raise TraceError(f"{path}, line {number}: not 'seconds,documents'.") from None
                if not math.isfinite(second) or second < 0 or count < 0:
                    raise TraceError(f"{path}, line {number}: times and counts must be zero or more.")
                arrivals[second] = arrivals.get(second, 0) + count
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise TraceError(f"{path} is not a CSV file in UTF-8.") from None
    if not sum(arrivals.values()):
        raise TraceError(f"{path} has no document.")
    times = sorted(arrivals)
    return Trace(name, np.array(times), np.array([arrivals[time] for time in times]))
