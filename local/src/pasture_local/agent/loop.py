# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's loop: services, tasks and instances of all clusters are read back, and made to be what they should."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pasture_local.agent import capacity, runner, scheduler
from pasture_local.agent.capacity import Size
from pasture_local.agent.endpoints import TaskEndpoints
from pasture_local.agent.instances import Instances, Pool
from pasture_local.agent.preparation import Preparation
from pasture_local.agent.runner import TaskRunner
from pasture_local.agent.scheduler import Backoff
from pasture_local.agent.tasks import ManagedTask
from pasture_local.clock import Clock
from pasture_local.cloud import Cloud
from pasture_local.credentials import RoleCredentials
from pasture_local.home import Home

_log = logging.getLogger(__name__)
#: How long tasks may take to stop when the cloud goes down, in seconds.
_SHUTDOWN_GRACE = 5.0
# DescribeServices and DescribeTasks take so many at a time.
_SERVICES_AT_ONCE, _TASKS_AT_ONCE = 10, 100


class Agent:
    """The scheduler and all agents of the account in one."""

    def __init__(
        self,
        cloud: Cloud,
        clock: Clock,
        home: Home,
        endpoints: TaskEndpoints,
        credentials: RoleCredentials,
        task_runner: TaskRunner,
    ) -> None:
        self._cloud = cloud
        self._ecs = cloud.client("ecs")
        self._home = home
        self._endpoints = endpoints
        self._runner = task_runner
        self._preparation = Preparation(cloud, home, endpoints, credentials)
        self._instances = Instances(cloud, clock)
        self._tasks: dict[str, ManagedTask] = {}
        self._backoff: dict[str, Backoff] = defaultdict(Backoff)
        self._told: dict[str, str] = {}

    def tick(self) -> None:
        """One round. Errors of the emulator are logged; the next round tries again."""
        # Every time, since a reset of the emulator makes it forget that there is an agent.
        self._ecs.discover_poll_endpoint()
        for task in list(self._tasks.values()):
            self._guarded(task.poll, f"task {task.task_id}")
            if task.stopped:
                self._forget(task)
        for arn in self._ecs.list_clusters()["clusterArns"]:
            self._guarded(lambda cluster=arn: self._cluster(cluster), f"cluster {arn}")  # type: ignore[misc]

    def _guarded(self, act: Callable[[], None], what: str) -> None:
        try:
            act()
        except (ClientError, BotoCoreError, OSError) as error:
            # The same complaint twice a second would hide everything else.
            if self._told.get(what) != str(error):
                self._told[what] = str(error)
                _log.warning("%s: %s", what, error)

    def _forget(self, task: ManagedTask) -> None:
        """Let go of a task that has stopped; one that ended by itself delays the next start of its service."""
        del self._tasks[task.arn]
        self._endpoints.records.pop(task.task_id, None)
        if task.service and not task.told_to:
            _log.warning("service %s: task %s ended by itself: %s", task.service, task.task_id, task.reason)
            self._backoff[f"{task.cluster}/{task.service}"].ended(task.age, time.monotonic())

    def shutdown(self) -> None:
        """Stop all tasks of this machine."""
        handles = [handle for task in self._tasks.values() if not task.stopped for handle in task.handles]
        runner.stop_all(handles, _SHUTDOWN_GRACE)

    # --- One cluster --------------------------------------------------------------------------------------------

    def _cluster(self, cluster: str) -> None:
        described = self._ecs.describe_clusters(clusters=[cluster])["clusters"][0]
        pools = self._instances.pools(cluster, described.get("capacityProviders") or [])
        services = self._services(cluster)
        tasks = self._alive(cluster)
        self._obey(tasks)
        self._lose_instances(cluster, tasks, pools)
        self._drain(cluster, tasks, pools)
        waiting: dict[str, list[Size]] = defaultdict(list)
        for service in services:
            self._service(cluster, service, tasks, pools, waiting)
        self._end_services(services, tasks)
        for task in tasks:
            if task["taskArn"] not in self._tasks and task["desiredStatus"] == "RUNNING":
                self._start(task)  # by RunTask: nobody else will
        for pool in pools.values():
            placed = [
                (task.get("containerInstanceArn"), self._needs(task))
                for task in tasks
                if task.get("containerInstanceArn") in pool.instances and task["lastStatus"] != "STOPPED"
            ]
            self._instances.scale(pool, [*placed, *((None, size) for size in waiting[pool.name])])

    def _services(self, cluster: str) -> list[dict[str, Any]]:
        arns = self._cloud.pages("ecs", "list_services", "serviceArns", cluster=cluster)
        found: list[dict[str, Any]] = []
        for start in range(0, len(arns), _SERVICES_AT_ONCE):
            some = arns[start : start + _SERVICES_AT_ONCE]
            found += self._ecs.describe_services(cluster=cluster, services=some)["services"]
        return [service for service in found if service["status"] == "ACTIVE"]

    def _alive(self, cluster: str) -> list[dict[str, Any]]:
        """Tasks that are to run, and those that still do."""
        arns = set(self._cloud.pages("ecs", "list_tasks", "taskArns", cluster=cluster))
        arns |= {arn for arn, task in self._tasks.items() if task.cluster == cluster and not task.stopped}
        ordered = sorted(arns)
        found: list[dict[str, Any]] = []
        for start in range(0, len(ordered), _TASKS_AT_ONCE):
            some = ordered[start : start + _TASKS_AT_ONCE]
            found += self._ecs.describe_tasks(cluster=cluster, tasks=some)["tasks"]
        return found

    def _obey(self, tasks: list[dict[str, Any]]) -> None:
        """Stop what StopTask was called for, and what the emulator does not know any more."""
        for task in tasks:
            managed = self._tasks.get(task["taskArn"])
            if managed and task["desiredStatus"] == "STOPPED":
                managed.stop(task.get("stoppedReason") or "Task stopped by user", told_to=True)

    def _lose_instances(self, cluster: str, tasks: list[dict[str, Any]], pools: dict[str, Pool]) -> None:
        present = {arn for pool in pools.values() for arn in pool.instances}
        known = {task["taskArn"] for task in tasks}
        for arn, managed in self._tasks.items():
            if managed.cluster != cluster or managed.stopped:
                continue
            if arn not in known:
                managed.stop("The task is unknown to the cluster", told_to=True)
            elif managed.instance and managed.instance not in present:
                managed.stop("Host EC2 instance terminated", told_to=True)

    def _drain(self, cluster: str, tasks: list[dict[str, Any]], pools: dict[str, Pool]) -> None:
        """Stop the services' tasks on instances that drain, protected or not: a Spot instance has two minutes.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/spot-instance-draining-linux-container.html
        """
        draining = {arn for pool in pools.values() for arn in pool.draining}
        for task in tasks:
            of_service = task.get("group", "").startswith("service:")
            if (
                of_service
                and task.get("containerInstanceArn") in draining
                and task["desiredStatus"] == "RUNNING"
            ):
                self._ecs.stop_task(cluster=cluster, task=task["taskArn"], reason="Task instance draining")

    def _end_services(self, services: list[dict[str, Any]], tasks: list[dict[str, Any]]) -> None:
        """The tasks of a service that was deleted are stopped, protected or not."""
        groups = {f"service:{service['serviceName']}" for service in services}
        for task in tasks:
            orphaned = task.get("group", "").startswith("service:") and task["group"] not in groups
            managed = self._tasks.get(task["taskArn"])
            if orphaned and managed and task["desiredStatus"] == "RUNNING":
                self._ecs.stop_task(
                    cluster=task["clusterArn"], task=task["taskArn"], reason="The service was deleted"
                )

    # --- One service --------------------------------------------------------------------------------------------

    def _service(
        self,
        cluster: str,
        service: dict[str, Any],
        all_tasks: list[dict[str, Any]],
        pools: dict[str, Pool],
        waiting: dict[str, list[Size]],
    ) -> None:
        name = service["serviceName"]
        own = [t for t in all_tasks if t.get("group") == f"service:{name}" and t["lastStatus"] != "STOPPED"]
        deployment = service.get("deploymentConfiguration") or {}
        wanted = scheduler.Service(
            name=name,
            desired=service["desiredCount"],
            definition=service["taskDefinition"],
            minimum_percent=deployment.get("minimumHealthyPercent", 100),
            maximum_percent=deployment.get("maximumPercent", 200),
        )
        shielded = self._protected(cluster, own) if self._may_stop(wanted, own) else set()
        plan = scheduler.plan(
            wanted,
            [
                scheduler.Task(
                    arn=task["taskArn"],
                    definition=task["taskDefinitionArn"],
                    running=task["lastStatus"] == "RUNNING",
                    stopping=task["desiredStatus"] == "STOPPED",
                    protected=task["taskArn"] in shielded,
                )
                for task in own
            ],
        )
        for arn in plan.stop:
            _log.info("service %s: stopping %s (%s)", name, arn.rsplit("/", 1)[-1], plan.reason)
            self._ecs.stop_task(cluster=cluster, task=arn, reason=f"{plan.reason} (service {name})")
        provider = next((s["capacityProvider"] for s in service.get("capacityProviderStrategy") or ()), None)
        pool = pools.get(provider or "")
        size = capacity.needs(self._preparation.definition(wanted.definition))
        if not plan.start or not self._backoff[f"{cluster}/{name}"].allows(time.monotonic()):
            return
        for _ in range(plan.start):
            instance = self._place(size, pool, all_tasks)
            if instance is None:
                waiting[provider or ""].append(size)
                continue
            self._launch(cluster, service, instance, all_tasks)

    def _may_stop(self, service: scheduler.Service, own: list[dict[str, Any]]) -> bool:
        return len(own) > service.desired or any(t["taskDefinitionArn"] != service.definition for t in own)

    def _protected(self, cluster: str, own: list[dict[str, Any]]) -> set[str]:
        arns = [task["taskArn"] for task in own]
        if not arns:
            return set()
        found = self._ecs.get_task_protection(cluster=cluster, tasks=arns)["protectedTasks"]
        return {entry["taskArn"] for entry in found if entry["protectionEnabled"]}

    def _needs(self, task: dict[str, Any]) -> Size:
        return capacity.needs(self._preparation.definition(task["taskDefinitionArn"]))

    def _place(self, size: Size, pool: Pool | None, all_tasks: list[dict[str, Any]]) -> str | None:
        if pool is None:
            return None
        used = capacity.used_by_instance(
            [
                (task.get("containerInstanceArn"), self._needs(task))
                for task in all_tasks
                if task["lastStatus"] != "STOPPED"
            ]
        )
        taking = {arn: room for arn, room in pool.instances.items() if arn not in pool.draining}
        return capacity.place(size, taking, used)

    def _launch(
        self, cluster: str, service: dict[str, Any], instance: str, all_tasks: list[dict[str, Any]]
    ) -> None:
        deployments = service.get("deployments") or [{}]
        answer = self._ecs.start_task(
            cluster=cluster,
            taskDefinition=service["taskDefinition"],
            containerInstances=[instance],
            group=f"service:{service['serviceName']}",
            startedBy=deployments[0].get("id", "ecs-svc"),
        )
        for task in answer["tasks"]:
            all_tasks.append(task)
            self._start(task)

    def _start(self, task: dict[str, Any]) -> None:
        record, containers = self._preparation.containers(task)
        managed = ManagedTask(
            task_id=record.task_id,
            arn=record.arn,
            cluster=record.cluster,
            service=record.service,
            instance=task.get("containerInstanceArn"),
            ecs=self._ecs,
            metrics=self._cloud.client("cloudwatch"),
        )
        self._tasks[record.arn] = managed
        _log.info("starting task %s of %s:%d", record.task_id, record.family, record.revision)
        managed.start(containers, self._runner, self._home.logs / "tasks", self._cloud.client("logs"))
        record.known_status = "STOPPED" if managed.stopped else "RUNNING"
