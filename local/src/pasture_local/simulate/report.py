# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs side by side: as a table, as JSON, as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from pasture_local.simulate.plant import Record
from pasture_local.simulate.results import Result
from pasture_local.simulate.trace import Counts, Times

_POINTS = 2000


def duration(seconds: float) -> str:
    """Seconds as people read them: 45 s, 12.5 min, 3.2 h, 4.1 d."""
    for unit, length in (("d", 172_800.0), ("h", 7200.0), ("min", 120.0)):
        if seconds >= length:
            scale = {"d": 86_400.0, "h": 3600.0, "min": 60.0}[unit]
            return f"{seconds / scale:,.1f} {unit}"
    return f"{seconds:,.0f} s"


def table(trace: str, results: Sequence[Result], currency: str) -> Table:
    """The figures of the runs, a column each."""
    result_table = Table(title=f"{trace}: {results[0].documents:,} documents")
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


def write_json(path: Path, trace: str, results: Sequence[Result], records: Sequence[Record]) -> None:
    """All figures, and the number of instances over time."""
    runs = []
    for result, record in zip(results, records, strict=True):
        seconds, instances = thinned(record, record.instances)
        runs.append(
            {**result.as_json(), "instances": {"seconds": seconds.tolist(), "count": instances.tolist()}}
        )
    path.write_text(json.dumps({"trace": trace, "runs": runs}, indent=1) + "\n", encoding="utf-8")


def thinned(record: Record, values: Counts) -> tuple[Times, Counts]:
    """At most two thousand points that keep every peak: the largest of each stretch."""
    stretch = -(-len(values) // _POINTS)
    padded = np.pad(values, (0, -len(values) % stretch), mode="edge")
    seconds = np.arange(len(padded) // stretch) * float(stretch * record.tick)
    return seconds, padded.reshape(-1, stretch).max(axis=1)


def draw(paths: Sequence[Path], trace: str, results: Sequence[Result], records: Sequence[Record]) -> None:
    """Documents waiting, tasks and instances over time; the file's ending chooses PNG, SVG or PDF."""
    import matplotlib as mpl  # noqa: PLC0415 - takes a second to import, and the table does not need it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as above

    end = max(result.end_seconds for result in results)
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
        for result, record in zip(results, records, strict=True):
            seconds, values = thinned(record, getattr(record, field))
            axis.step(seconds / scale, values, where="post", label=result.name)
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0].legend()
    axes[0].set_title(f"{trace}: {results[0].documents:,} documents")
    axes[-1].set_xlabel(unit)
    for path in paths:
        figure.savefig(path, dpi=120)
    plt.close(figure)
