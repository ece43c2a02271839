# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of one task: its containers started, watched, checked, stopped; its state told to ECS."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pasture_local import processes
from pasture_local.agent import embedded_metrics, health
from pasture_local.agent.definition import Container
from pasture_local.agent.logs import LogShipper
from pasture_local.agent.runner import CannotStartError, RunningContainer, TaskRunner

_log = logging.getLogger(__name__)
# PutMetricData takes 1,000 metrics and 1 MB.
_POINTS_AT_ONCE = 500


@dataclass
class _Running:
    container: Container
    handle: RunningContainer
    shipper: LogShipper | None
    health: health.Health | None
    check: processes.Process | None = None
    check_deadline: float = 0.0


@dataclass
class ManagedTask:
    """A task that this agent runs. Times are those of ``time.monotonic()``."""

    task_id: str
    arn: str
    cluster: str
    service: str | None
    instance: str | None
    ecs: Any
    metrics: Any  # the client of CloudWatch
    started: float = field(default_factory=time.monotonic)
    reason: str = ""
    stopped: bool = False
    stopping: bool = False
    told_to: bool = False  # by whoever scaled, deployed or called StopTask; else it ended by itself
    _running: list[_Running] = field(default_factory=list)
    _deadline: float = 0.0

    @property
    def age(self) -> float:
        return time.monotonic() - self.started

    @property
    def pids(self) -> list[int]:
        return [running.handle.pid for running in self._running if running.handle.pid is not None]

    def start(self, containers: list[Container], runner: TaskRunner, logs: Path, logs_client: Any) -> None:
        """Start all containers, and say so to ECS; a task that cannot be started is stopped."""
        now = time.monotonic()
        self._submit("PENDING")
        try:
            for container in containers:
                log = logs / f"{self.task_id}-{container.name}.log"
                shipper = LogShipper(logs_client, container.log, log) if container.log else None
                handle = runner.start(self.task_id, container, log)
                followed = health.Health(container.health_check, now) if container.health_check else None
                self._running.append(_Running(container, handle, shipper, followed))
        except CannotStartError as error:
            self.reason = str(error)
            for running in self._running:
                running.handle.kill()
            self._finish({})
            return
        self._submit("RUNNING")

    def stop(self, reason: str, *, told_to: bool = False) -> None:
        """Begin to stop: SIGTERM now, and SIGKILL when the longest stop timeout has passed."""
        if self.stopping or self.stopped:
            return
        self.stopping = True
        self.told_to = told_to
        self.reason = self.reason or reason
        longest = max((r.container.stop_timeout for r in self._running), default=0.0)
        self._deadline = time.monotonic() + longest
        for running in self._running:
            running.handle.terminate()

    def poll(self) -> None:
        """Look after the task; call it often."""
        if self.stopped:
            return
        now = time.monotonic()
        for running in self._running:
            self._ship(running)
            if not self.stopping:
                self._check_health(running, now)
        codes = {r.container.name: r.handle.exit_code() for r in self._running}
        essential_ended = any(
            r.container.essential and codes[r.container.name] is not None for r in self._running
        )
        if essential_ended and not self.stopping:
            self.stop("Essential container in task exited")
        if self.stopping and now > self._deadline:
            for running in self._running:
                running.handle.kill()
            codes = {r.container.name: r.handle.exit_code() for r in self._running}
        if all(code is not None for code in codes.values()):
            self._finish(codes)

    def kill(self) -> None:
        """End it at once, without a word to ECS."""
        for running in self._running:
            running.handle.kill()

    @property
    def handles(self) -> list[RunningContainer]:
        return [running.handle for running in self._running]

    def _ship(self, running: _Running, final: bool = False) -> None:
        """Send what the container has logged to CloudWatch Logs, and the metrics in it to CloudWatch."""
        if running.shipper is None:
            return
        for namespace, points in embedded_metrics.by_namespace(running.shipper.ship(final)).items():
            for start in range(0, len(points), _POINTS_AT_ONCE):
                self.metrics.put_metric_data(
                    Namespace=namespace, MetricData=points[start : start + _POINTS_AT_ONCE]
                )

    def _check_health(self, running: _Running, now: float) -> None:
        followed = running.health
        if followed is None or running.handle.exit_code() is not None:
            return
        if running.check is None:
            if followed.due(now):
                running.check = running.handle.execute(followed.check.command)
                running.check_deadline = now + followed.check.timeout
            return
        code = running.check.poll()
        if code is None and now < running.check_deadline:
            return
        if code is None:
            processes.kill(running.check)
        running.check = None
        before = followed.status
        status = followed.record(code == 0, now)
        if status != before:
            self.ecs.submit_container_state_change(
                cluster=self.cluster, task=self.arn, containerName=running.container.name, status=status
            )
        if status == health.UNHEALTHY and running.container.essential and self.service:
            _log.warning("task %s: container %s is unhealthy", self.task_id, running.container.name)
            self.stop(f"Task failed container health checks: {running.container.name}")

    def _finish(self, codes: Mapping[str, int | None]) -> None:
        self.stopped = True
        for running in self._running:
            if running.check:
                processes.kill(running.check)
            self._ship(running, final=True)
        containers = [
            {"containerName": name, "status": "STOPPED", **({} if code is None else {"exitCode": code})}
            for name, code in codes.items()
        ]
        _log.info("task %s stopped: %s %s", self.task_id, self.reason, dict(codes))
        self._submit("STOPPED", reason=self.reason[:255], containers=containers)

    def _submit(self, status: str, **details: Any) -> None:
        self.ecs.submit_task_state_change(cluster=self.cluster, task=self.arn, status=status, **details)
