# SPDX-License-Identifier: GPL-3.0-or-later
"""The plant: documents are conserved, instances are bounded, and the arithmetic is that of a queue."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pasture_local.simulate.baseline import Lakechain
from pasture_local.simulate.plant import Decision, Load, View, simulate
from pasture_local.simulate.results import changes_of_direction, summarise, waits
from pasture_local.simulate.trace import parse_trace

DAY = 86_400


class Fixed:
    """As many tasks as it is told, as soon as there is a document, and none when all is done."""

    leaves_after = None

    def __init__(self, tasks: int) -> None:
        self._tasks = tasks

    def on_arrival(self, view: View) -> Decision:
        return Decision(desired=self._tasks, instances=self._tasks)

    def every_minute(self, view: View) -> Decision:
        return _NONE if view.visible or view.in_flight else Decision(desired=0, instances=0)


_NONE = Decision()


def test_a_document_waits_for_boot_pull_and_load_and_no_longer() -> None:
    load = Load(boot_seconds=60, pull_seconds=40, load_seconds=20, document_seconds=10, max_instances=1)
    record = simulate(parse_trace("burst:1,at=5").per_tick(1), 1, load, Fixed(1), DAY)
    assert waits(record).tolist() == [120.0]


def test_a_backlog_drains_at_the_rate_of_the_slots() -> None:
    load = Load(document_seconds=10, slots=3, max_instances=4, boot_seconds=0, pull_seconds=0, load_seconds=0)
    record = simulate(parse_trace("burst:1200,at=0").per_tick(1), 1, load, Fixed(4), DAY)
    # 12 documents every 10 s: the hundredth dozen starts after 990 s and a few seconds of starting.
    assert 990 <= waits(record).max() <= 995
    assert summarise("x", record, 10.0, 0.0).unfinished == 0


def test_a_second_task_on_the_same_instance_pulls_nothing() -> None:
    load = Load(tasks_per_instance=2, max_instances=1, boot_seconds=60, pull_seconds=40, load_seconds=20)
    arrivals = parse_trace("burst:1,at=0").per_tick(1)
    record = simulate(arrivals, 1, load, Fixed(1), DAY)
    assert record.instances.max() == 1


@settings(max_examples=40, deadline=None)
@given(
    documents=st.integers(1, 3000),
    instances=st.integers(1, 30),
    seconds=st.integers(1, 120),
    slots=st.integers(1, 4),
    per_instance=st.integers(1, 4),
)
def test_every_document_is_started_once_and_no_bound_is_passed(
    documents: int, instances: int, seconds: int, slots: int, per_instance: int
) -> None:
    load = Load(
        document_seconds=seconds, slots=slots, tasks_per_instance=per_instance, max_instances=instances
    )
    trace = parse_trace(f"burst:{documents}")
    record = simulate(trace.per_tick(1), 1, load, Lakechain(load.max_tasks), 40 * DAY)
    assert record.starts.sum() == documents
    assert record.instances.max() <= instances
    assert record.tasks.max() <= load.max_tasks
    assert record.starts.cumsum()[-1] == record.arrivals.sum()
    assert (record.starts.cumsum() <= record.arrivals.cumsum()).all()
    assert record.instances[-1] == 0, "nothing is left running"


def test_the_baseline_starts_half_as_many_tasks_as_documents_wait() -> None:
    baseline = Lakechain(max_tasks=10)
    view = View(60, visible=7, in_flight=0, tasks_ready=0, tasks_pending=0, desired=0, instances=0, arrived=0)
    assert baseline.every_minute(view).desired == 4
    pending = View(
        120, visible=7, in_flight=0, tasks_ready=0, tasks_pending=4, desired=4, instances=4, arrived=0
    )
    assert baseline.every_minute(pending).desired == 4, "its pending tasks already cover the rest"


def test_changes_of_direction_count_turns_only() -> None:
    assert changes_of_direction(np.array([0, 1, 1, 5, 5, 2, 0, 0])) == 1
    assert changes_of_direction(np.array([0, 1, 0, 1, 0])) == 3
    assert changes_of_direction(np.array([0, 0])) == 0
