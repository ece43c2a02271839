# SPDX-License-Identifier: GPL-3.0-or-later
"""The defaults against Project Lakechain's algorithm; what does not hold, and why, is in docs/simulator.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from pasture_local.simulate.baseline import Lakechain
from pasture_local.simulate.deployed import Delays, Deployed, Scaling
from pasture_local.simulate.plant import Controller, Load, simulate
from pasture_local.simulate.results import Result, summarise
from pasture_local.simulate.trace import parse_trace

SCALINGS = Path(__file__).parents[3] / "docs" / "scaling"
WAIT, HOURS = 0.8, 1.0


def compared(trace: str, name: str = "default") -> tuple[Result, Result]:
    """The figures of a scaling and of the baseline, with as many instances."""
    scaling = Scaling.load(SCALINGS / f"{name}.json")
    load = Load(document_seconds=15, max_instances=scaling.max_instances)
    arrivals = parse_trace(trace)
    tick = arrivals.tick_seconds()

    def run(controller: Controller) -> Result:
        record = simulate(arrivals.per_tick(tick), tick, load, controller, 400 * 86_400)
        return summarise(trace, record, load.document_seconds, 1.0)

    return run(Deployed(scaling, Delays(60, 900))), run(Lakechain(load.max_tasks))


@pytest.mark.parametrize(
    ("trace", "name"),
    [
        ("burst:1", "default"),
        ("burst:10", "default"),
        ("burst:1000", "hundred"),
        ("trickle:3600", "default"),
        ("trickle:600", "idle-16"),
    ],
)
def test_documents_wait_for_at_most_four_fifths_of_the_time(trace: str, name: str) -> None:
    ours, theirs = compared(trace, name)
    assert ours.wait_p95 <= WAIT * theirs.wait_p95


@pytest.mark.slow
@pytest.mark.parametrize(
    "trace",
    ["burst:1", "burst:10", "burst:1000", "burst:100000", "daily:5000", "trickle:600", "trickle:3600"],
)
def test_no_trace_takes_more_instance_hours(trace: str) -> None:
    ours, theirs = compared(trace)
    assert ours.unfinished == theirs.unfinished == 0
    assert ours.instance_hours <= HOURS * theirs.instance_hours


@pytest.mark.parametrize("trace", ["burst:1", "burst:10", "burst:1000"])
def test_a_burst_turns_once(trace: str) -> None:
    assert compared(trace)[0].changes_of_direction == 1


def test_what_scaling_cannot_change_is_the_work_itself() -> None:
    # docs/simulator.md: both have all instances at work, and differ by what comes before that.
    ours, theirs = compared("burst:1000")
    work = 1000 * 15 / 5
    assert ours.drain_seconds - work < 150
    assert theirs.drain_seconds - work < 250
    assert ours.wait_p95 > WAIT * theirs.wait_p95
