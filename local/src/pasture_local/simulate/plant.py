# SPDX-License-Identifier: GPL-3.0-or-later
"""The plant: documents, tasks and instances, moved on tick by tick under a controller.

Documents take a fixed time each, so completions are the starts of a document's time ago; everything
is whole numbers of documents, tasks and instances, counted and not identified. That makes ten
million documents as quick as ten.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from pasture_local.simulate.trace import Counts

MINUTE = 60


@dataclass(frozen=True)
class Load:
    """What a document, a task and an instance are like. Times in seconds.

    The delays' sources stand in docs/simulator.md.
    """

    document_seconds: float = 15.0
    slots: int = 1
    tasks_per_instance: int = 1
    max_instances: int = 5
    boot_seconds: float = 60.0
    pull_seconds: float = 40.0
    load_seconds: float = 20.0
    provider_seconds: float = 60.0

    @property
    def max_tasks(self) -> int:
        """Tasks that the largest cluster has room for."""
        return self.max_instances * self.tasks_per_instance


@dataclass(frozen=True)
class View:
    """What a controller can see at one moment."""

    second: int
    visible: int
    in_flight: int
    tasks_ready: int
    tasks_pending: int
    desired: int
    instances: int
    arrived: int


@dataclass(frozen=True)
class Decision:
    """What a controller sets; None leaves it."""

    desired: int | None = None
    instances: int | None = None


class Controller(Protocol):
    """Decides how many tasks there are to be."""

    #: Whether a task leaves by itself after this many seconds without a document (None: it stays).
    leaves_after: float | None

    def on_arrival(self, view: View) -> Decision:
        """React to documents that have just landed (events)."""

    def every_minute(self, view: View) -> Decision:
        """React to the minute's metrics (alarms, schedules)."""


@dataclass
class Record:
    """The run, by tick (arrays of equal length)."""

    tick: int
    arrivals: Counts
    starts: Counts
    waiting: Counts
    tasks: Counts
    desired: Counts
    instances: Counts
    #: Instances from launch to end, in seconds, summed.
    instance_seconds: float


# After so many minutes without need a capacity provider lets instances go.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-auto-scaling.html
_SCALE_IN_MINUTES = 15


@dataclass
class _Plant:
    load: Load
    second: int = 0
    visible: int = 0
    in_flight: int = 0
    ready: int = 0
    starting: deque[tuple[int, int]] = field(default_factory=deque)  # (second they are ready, tasks)
    desired: int = 0
    instances: int = 0
    booting: deque[tuple[int, int]] = field(default_factory=deque)  # (second they are up, instances)
    fresh: int = 0  # instances that have not pulled the image yet
    needs: deque[int] = field(default_factory=deque)  # of instances, minute by minute, not yet acted upon
    surplus_minutes: int = 0
    surplus: int = 0
    idle_since: int | None = None

    @property
    def pending(self) -> int:
        """Tasks that are asked for and not ready."""
        return max(self.desired - self.ready, 0)

    @property
    def placed(self) -> int:
        return self.ready + sum(tasks for _, tasks in self.starting)

    def view(self, arrived: int) -> View:
        return View(
            self.second, self.visible, self.in_flight, self.ready, self.pending, self.desired,
            self.instances + sum(count for _, count in self.booting), arrived,
        )  # fmt: skip

    def apply(self, decision: Decision) -> None:
        if decision.desired is not None:
            self.desired = min(decision.desired, self.load.max_tasks)
        if decision.instances is not None:
            if decision.instances > self.total_instances:
                self.launch(decision.instances - self.total_instances)
            else:
                # Managed termination protection: only instances without a task can go.
                self.release(decision.instances)

    @property
    def total_instances(self) -> int:
        return self.instances + sum(count for _, count in self.booting)

    def busy_instances(self) -> int:
        return -(-max(self.placed, 0) // self.load.tasks_per_instance)

    def launch(self, count: int) -> None:
        count = min(count, self.load.max_instances - self.total_instances)
        if count > 0:
            self.booting.append((self.second + round(self.load.boot_seconds), count))

    def release(self, keep: int) -> None:
        self.instances = max(min(self.instances, keep), self.busy_instances())
        self.fresh = min(self.fresh, self.instances)
        while self.booting and self.total_instances > max(keep, self.busy_instances()):
            when, count = self.booting.pop()
            spared = max(keep, self.busy_instances()) - self.total_instances
            if spared > 0:
                self.booting.append((when, min(count, spared)))
                break

    def capacity_provider(self) -> None:
        """One evaluation of managed scaling, which comes every minute.

        It makes the group as large as the tasks needed when its metric was taken, if they still do, and
        smaller after fifteen minutes in which fewer would have done.
        """
        needed = -(-max(self.desired, self.placed) // self.load.tasks_per_instance)
        needed = min(needed, self.load.max_instances)
        self.needs.append(needed)
        if len(self.needs) > round(self.load.provider_seconds / MINUTE):
            self.launch(min(self.needs.popleft(), needed) - self.total_instances)
        if needed < self.total_instances:
            self.surplus = max(needed, self.surplus) if self.surplus_minutes else needed
            self.surplus_minutes += 1
            if self.surplus_minutes >= _SCALE_IN_MINUTES:
                self.release(self.surplus)
                self.surplus_minutes = 0
        else:
            self.surplus_minutes = 0

    def advance_instances(self) -> None:
        while self.booting and self.booting[0][0] <= self.second:
            _, count = self.booting.popleft()
            self.instances += count
            self.fresh += count

    def advance_tasks(self, leaves_after: float | None) -> None:
        load = self.load
        while self.starting and self.starting[0][0] <= self.second:
            self.ready += self.starting.popleft()[1]
        placed = self.placed
        if placed < self.desired:
            room = self.instances * load.tasks_per_instance - placed
            count = min(self.desired - placed, room)
            if count > 0:
                pull = load.pull_seconds if self.fresh else 0.0
                self.fresh = max(0, self.fresh - -(-count // load.tasks_per_instance))
                self.starting.append((self.second + round(pull + load.load_seconds), count))
        elif placed > self.desired:
            self._stop_tasks(placed - self.desired)
        if leaves_after is not None:
            self._leave(leaves_after)

    def _stop_tasks(self, surplus: int) -> None:
        """Scale-in: what has not started goes first, then idle tasks; protected ones stay."""
        while surplus and self.starting:
            when, count = self.starting.pop()
            gone = min(count, surplus)
            surplus -= gone
            if count > gone:
                self.starting.append((when, count - gone))
        busy = -(-self.in_flight // self.load.slots)
        self.ready -= min(surplus, max(self.ready - busy, 0))

    def _leave(self, leaves_after: float) -> None:
        """Tasks that end by themselves when a poll of ``leaves_after`` seconds brought nothing."""
        busy = -(-self.in_flight // self.load.slots)
        if self.ready <= busy or self.visible:
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = self.second
        elif self.second - self.idle_since >= leaves_after:
            gone = self.ready - busy
            self.ready -= gone
            self.desired = max(self.desired - gone, 0)
            self.idle_since = None


def simulate(arrivals: Counts, tick: int, load: Load, controller: Controller, tail_seconds: int) -> Record:
    """Run one trace under one controller until the work is done and everything is back at zero.

    :param arrivals: documents per tick.
    :param tick: seconds; divides 60.
    :param tail_seconds: how long after the last arrival to give up waiting for zero.
    """
    service_ticks = max(1, round(load.document_seconds / tick))
    plant = _Plant(load)
    most = len(arrivals) + -(-tail_seconds // tick)
    starts: list[int] = []
    waiting, tasks, desired, instances = [], [], [], []
    landing = arrivals.tolist()
    last = len(landing)
    slots = load.slots
    index = 0
    while index < most:
        plant.second = index * tick
        arrived = landing[index] if index < last else 0
        if plant.booting:
            plant.advance_instances()
        if index >= service_ticks:
            plant.in_flight -= starts[index - service_ticks]
        plant.visible += arrived
        if arrived:
            plant.apply(controller.on_arrival(plant.view(arrived)))
        if plant.second % MINUTE == 0:
            plant.apply(controller.every_minute(plant.view(arrived)))
            plant.capacity_provider()
        if plant.starting or plant.ready != plant.desired or controller.leaves_after is not None:
            plant.advance_tasks(controller.leaves_after)
        free = plant.ready * slots - plant.in_flight
        taken = min(plant.visible, free) if free > 0 else 0
        plant.visible -= taken
        plant.in_flight += taken
        starts.append(taken)
        waiting.append(plant.visible)
        tasks.append(plant.ready)
        desired.append(plant.desired)
        instances.append(plant.total_instances)
        index += 1
        if index >= last and not (
            plant.visible or plant.in_flight or plant.desired or plant.total_instances or plant.ready
        ):
            break
    landed = np.zeros(len(starts), dtype=np.int64)
    landed[: min(last, len(starts))] = arrivals[: len(starts)]
    return Record(
        tick=tick,
        arrivals=landed,
        starts=np.array(starts, dtype=np.int64),
        waiting=np.array(waiting, dtype=np.int64),
        tasks=np.array(tasks, dtype=np.int64),
        desired=np.array(desired, dtype=np.int64),
        instances=np.array(instances, dtype=np.int64),
        instance_seconds=float(sum(instances) * tick),
    )
