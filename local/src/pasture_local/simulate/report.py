# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs side by side: as a table, as JSON, as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from pasture_local.simulate.plant import Record
from pasture_local.simulate.results import Result
from pasture_local.simulate.trace import Counts, Times

#: What the runs are compared with, by name.
BASELINE = "Lakechain"
#: Columns of the terminal that the brief table needs, at least.
BRIEF_WIDTH = 112
_POINTS = 2000


@dataclass(frozen=True)
class Run:
    """One scaling on one trace."""

    result: Result
    record: Record


@dataclass(frozen=True)
class Comparison:
    """Several scalings on one trace.

    :ivar trace: as the user wrote it.
    """

    trace: str
    runs: Sequence[Run]

    @property
    def results(self) -> list[Result]:
        """The figures of the runs."""
        return [run.result for run in self.runs]

    @property
    def title(self) -> str:
        """The trace and its size."""
        return f"{self.trace}: {self.runs[0].result.documents:,} documents"


def duration(seconds: float) -> str:
    """Seconds as people read them: 45 s, 12.5 min, 3.2 h, 4.1 d."""
    for unit, length in (("d", 172_800.0), ("h", 7200.0), ("min", 120.0)):
        if seconds >= length:
            scale = {"d": 86_400.0, "h": 3600.0, "min": 60.0}[unit]
            return f"{seconds / scale:,.1f} {unit}"
    return f"{seconds:,.0f} s"


def table(compared: Comparison, currency: str) -> Table:
    """The figures of the runs, a column each."""
    results = compared.results
    result_table = Table(title=compared.title)
    result_table.add_column("")
    for result in results:
        result_table.add_column(result.name, justify="right")
    rows = [
        ("all done after", [duration(r.drain_seconds) for r in results]),
        ("waited, half of them at most", [duration(r.wait_p50) for r in results]),
        ("waited, 95 % of them at most", [duration(r.wait_p95) for r in results]),
        ("waited, at most", [duration(r.wait_max) for r in results]),
        ("most tasks", [f"{r.max_tasks:,}" for r in results]),
        ("most instances", [f"{r.max_instances:,}" for r in results]),
        ("instance hours", [f"{r.instance_hours:,.2f}" for r in results]),
        ("cost", [f"{r.cost:,.2f} {currency}" for r in results]),
        ("cost of 1,000 documents", [f"{r.cost_per_1000:,.3f} {currency}" for r in results]),
        ("not done when the run ended", [f"{r.unfinished:,}" for r in results]),
    ]
    for label, cells in rows:
        result_table.add_row(label, *cells)
    return result_table


def brief(compared: Sequence[Comparison], currency: str) -> Table:
    """A line for each trace and run; where there is a baseline, with the share of its figures."""
    lines = Table(box=box.ASCII2, show_edge=False)
    lines.add_column("trace", no_wrap=True)
    lines.add_column("scaling", no_wrap=True)
    headings = ("waited p50", "p95", "share", "hours", "share", "most", "turns", f"{currency} for 1,000")
    for heading in headings:
        lines.add_column(heading, justify="right", no_wrap=True)
    for one in compared:
        base = next((result for result in one.results if result.name == BASELINE), None)
        for result in one.results:
            other = base if result is not base else None
            lines.add_row(
                one.trace if result is one.results[0] else "",
                result.name,
                duration(result.wait_p50),
                duration(result.wait_p95),
                _share(result.wait_p95, other.wait_p95 if other else None),
                f"{result.instance_hours:,.2f}",
                _share(result.instance_hours, other.instance_hours if other else None),
                f"{result.max_instances:,}",
                f"{result.changes_of_direction:,}",
                f"{result.cost_per_1000:,.2f}",
            )
    return lines


def _share(value: float, base: float | None) -> str:
    return f"{value / base:.2f}" if base else ""


def write_json(path: Path, compared: Sequence[Comparison]) -> None:
    """All figures, and the number of instances over time."""
    traces = []
    for one in compared:
        runs = []
        for run in one.runs:
            seconds, instances = thinned(run.record, run.record.instances)
            over_time = {"seconds": seconds.tolist(), "count": instances.tolist()}
            runs.append({**run.result.as_json(), "instances": over_time})
        traces.append({"trace": one.trace, "runs": runs})
    path.write_text(json.dumps({"traces": traces}, indent=1) + "\n", encoding="utf-8")


def thinned(record: Record, values: Counts) -> tuple[Times, Counts]:
    """At most two thousand points that keep every peak: the largest of each stretch."""
    stretch = -(-len(values) // _POINTS)
    padded = np.pad(values, (0, -len(values) % stretch), mode="edge")
    seconds = np.arange(len(padded) // stretch) * float(stretch * record.tick)
    return seconds, padded.reshape(-1, stretch).max(axis=1)


def draw(paths: Sequence[Path], compared: Comparison) -> None:
    """Documents waiting, tasks and instances over time; the file's ending chooses PNG, SVG or PDF."""
    import matplotlib as mpl  # noqa: PLC0415 - takes a second to import, and the table does not need it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as above

    end = max(result.end_seconds for result in compared.results)
    unit, scale = next(
        (name, length)
        for name, length, least in (
            ("days", 86_400, 172_800), ("hours", 3600, 7200), ("minutes", 60, 0),
        )
        if end >= least
    )  # fmt: skip
    figure, axes = plt.subplots(3, 1, sharex=True, figsize=(10, 8), constrained_layout=True)
    panels = (("documents waiting", "waiting"), ("tasks ready", "tasks"), ("instances", "instances"))
    for axis, (label, field) in zip(axes, panels, strict=True):
        for run in compared.runs:
            seconds, values = thinned(run.record, getattr(run.record, field))
            axis.step(seconds / scale, values, where="post", label=run.result.name)
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0].legend()
    axes[0].set_title(compared.title)
    axes[-1].set_xlabel(unit)
    for path in paths:
        figure.savefig(path, dpi=120)
    plt.close(figure)
