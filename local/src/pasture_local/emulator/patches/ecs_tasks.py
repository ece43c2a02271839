# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of Amazon ECS: tasks, and what an ECS agent tells about them.

An agent announces itself by DiscoverPollEndpoint, as the real one does. From then on a task begins as
PENDING and goes where SubmitTaskStateChange says. Without an agent a task goes moto's way: a step at each
DescribeTasks until it has stopped with exit code 0.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2 import ec2_backends
from moto.ecs import models, responses
from moto.ecs.exceptions import InvalidParameterException

from pasture_local.emulator.patches._patch import Patch

BEFORE_RUNNING = frozenset({"PROVISIONING", "PENDING", "ACTIVATING"})
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html
_DEFAULT_PROTECTION_MINUTES = 120
_RUN_TASK_ARGUMENTS = (
    "task_definition_str",
    "count",
    "overrides",
    "started_by",
    "tags",
    "launch_type",
    "networking_configuration",
    "group",
    "platform_version",
    "capacity_provider_strategy",
)


def run_task(original: Callable[..., Any], self: Any, cluster_str: str, *args: Any, **kwargs: Any) -> Any:
    """moto fails with HTTP 500 when a cluster has no container instances. ECS provisions a task of a capacity
    provider with managed scaling, and has an instance started for it.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/cluster-auto-scaling.html
    """
    cluster = self._get_cluster(cluster_str)
    if self.container_instances.get(cluster.name):
        return original(self, cluster_str, *args, **kwargs)
    given: dict[str, Any] = dict(zip(_RUN_TASK_ARGUMENTS, args, strict=False)) | kwargs
    definition = self.describe_task_definition(given["task_definition_str"])
    strategy = given.get("capacity_provider_strategy")
    if not strategy and not given.get("launch_type"):
        strategy = cluster.default_capacity_provider_strategy
    tasks = [
        models.Task(
            cluster=cluster,
            task_definition=definition,
            container_instance_arn=None,
            resource_requirements=None,
            backend=self,
            group=given.get("group") or f"family:{definition.family}",
            overrides=given.get("overrides") or {},
            started_by=given.get("started_by") or "",
            tags=given.get("tags") or [],
            launch_type=given.get("launch_type") or ("" if strategy else "EC2"),
            networking_configuration=given.get("networking_configuration"),
            platform_version=given.get("platform_version"),
            capacity_provider_name=strategy[0]["capacityProvider"] if strategy else None,
        )
        for _ in range(given.get("count") or 1)
    ]
    self.tasks.setdefault(cluster.name, {}).update({task.task_arn: task for task in tasks})
    return tasks


def requirements(original: Callable[..., dict[str, Any]], task_definition: Any) -> dict[str, Any]:
    """moto fails with HTTP 500 when memory is set for the task and not for its containers.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html
    """
    containers = task_definition.container_definitions
    if all("memory" in c or "memoryReservation" in c for c in containers):
        return original(task_definition)
    memory = int(task_definition.memory or 0) // len(containers)
    before = task_definition.container_definitions
    task_definition.container_definitions = [{"memoryReservation": memory} | c for c in containers]
    try:
        return original(task_definition)
    finally:
        task_definition.container_definitions = before


def containers(original: Callable[..., None], self: Any, *args: Any, **kwargs: Any) -> None:
    """moto gives a task the first container of its definition only, a task definition's ARN for the task's,
    and no times; and it starts tasks as RUNNING even when there is an agent that has not started them yet.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
    """
    original(self, *args, **kwargs)
    definition = kwargs.get("task_definition") or args[1]
    arn = self.task_arn
    self.containers = []
    for container in definition.container_definitions:
        single = models.Container(definition)
        single.container_arn = f"{arn.replace(':task/', ':container/')}/{models.mock_random.uuid4()}"
        single.task_arn = arn
        single.name, single.image = container.get("name"), container.get("image")
        single.exitCode = None
        single.health_status = "UNKNOWN"
        self.containers.append(single)
    self.created_at = utcnow()
    self.cpu, self.memory = definition.cpu, definition.memory
    self.availability_zone = None
    self.connectivity = "CONNECTED"
    self.enable_execute_command = False
    self.version = 1
    self.protection_until = None
    self.driven_by_agent = getattr(self._backend, "has_agent", False)
    if self.driven_by_agent:
        self.last_status = "PENDING"


def status(original: property, self: Any) -> str:
    """See the module: a task that an agent drives does not advance by itself."""
    if not getattr(self, "driven_by_agent", False):
        advanced = str(original.fget(self))  # type: ignore[misc]
        if advanced == "STOPPED" and getattr(self, "stopped_at", None) is None:
            stopped(self, "Essential container in task exited", dict.fromkeys(_names(self), 0))
        return advanced
    return str(self._status)


def _names(task: Any) -> list[str]:
    return [container.name for container in task.containers]


def stopped(task: Any, reason: str, exit_codes: dict[str, int | None]) -> None:
    """Record how a task ended, and give back its network interface, as ECS does."""
    task.desired_status = "STOPPED"
    task._status = "STOPPED"
    task.stopped_at = task.stopping_at = task.execution_stopped_at = utcnow()
    task.stopped_reason = task.stopped_reason or reason
    task.stop_code = getattr(task, "stop_code", None) or "EssentialContainerExited"
    for container in task.containers:
        container.last_status = "STOPPED"
        container.exitCode = exit_codes.get(container.name)
    ec2 = ec2_backends[task._account_id][task.region_name]
    for attachment in task.attachments:
        attachment["status"] = "DELETED"
        details = {detail["name"]: detail["value"] for detail in attachment["details"]}
        ec2.enis.pop(details.get("networkInterfaceId"), None)


def discover_poll_endpoint(original: Callable[[Any], Any], self: Any) -> Any:
    """An agent calls this when it starts. From here on tasks go by what agents say; moto has no such notion.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DiscoverPollEndpoint.html
    """
    self.ecs_backend.has_agent = True
    return original(self)


def submit_task_state_change(_: Any, self: Any) -> Any:
    """moto lacks SubmitTaskStateChange, by which an agent tells what became of a task.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_SubmitTaskStateChange.html
    """
    task = _find(self.ecs_backend, self._get_param("cluster", "default"), self._get_param("task"))
    new_status = self._get_param("status")
    task.driven_by_agent = True
    task.version += 1
    changes = {change.get("containerName"): change for change in self._get_param("containers", [])}
    for container in task.containers:
        change = changes.get(container.name, {})
        container.last_status = change.get("status", new_status)
        container.reason = change.get("reason")
        container.runtime_id = change.get("runtimeId")
    if new_status == "STOPPED":
        codes = {name: change.get("exitCode") for name, change in changes.items()}
        stopped(task, self._get_param("reason") or "Essential container in task exited", codes)
    else:
        task._status = new_status
        if new_status == "RUNNING":
            task.started_at = utcnow()
            for container in task.containers:
                container.health_status = "HEALTHY"
    return ActionResult({"acknowledgment": "ACCEPTED"})


def stop_task(original: Callable[..., Any], self: Any, cluster_str: str, task_str: str, reason: str) -> Any:
    """moto stops a task at once. Where there is an agent, ECS tells the agent, by the desired status, and
    waits for the agent to say that it has stopped; and a missing task is an error of the caller, not HTTP
    500.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
    """
    task = _find(self, cluster_str, task_str)
    task.stop_code = "UserInitiated"
    if task.driven_by_agent and task.last_status != "STOPPED":
        task.desired_status = "STOPPED"
        task.stopped_reason = reason
        task.stopping_at = utcnow()
        return task
    result = original(self, cluster_str, task_str, reason)
    if getattr(result, "stopped_at", None) is None:
        stopped(result, reason or "Task stopped", {})
    return result


def _find(backend: Any, cluster_str: str, task_str: str) -> Any:
    cluster = backend._get_cluster(cluster_str)
    wanted = task_str.rsplit("/", 1)[-1]
    for task in backend.tasks.get(cluster.name, {}).values():
        if task.id == wanted:
            return task
    raise InvalidParameterException("The referenced task was not found.")


def list_tasks(original: Callable[..., list[Any]], self: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """moto ignores serviceName, and lists stopped tasks when no desired status is asked for.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
    """
    names = ("cluster_str", "container_instance", "family", "started_by", "service_name", "desiredStatus")
    given: dict[str, Any] = dict(zip(names, args, strict=False)) | kwargs
    given["desiredStatus"] = given.get("desiredStatus") or "RUNNING"
    instance = given.pop("container_instance", None)
    service = given.pop("service_name", None)
    tasks = original(self, **given)
    if instance:
        tasks = [task for task in tasks if instance in (task.container_instance_arn or "")]
    if service:
        tasks = [task for task in tasks if task.group == f"service:{service.rsplit('/', 1)[-1]}"]
    return tasks


def describe_tasks(original: Callable[[Any], Any], self: Any) -> Any:
    """moto says nothing of tasks that it does not know.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
    """
    result = original(self)
    for task in result.result["tasks"]:
        # Asking for the status is what moves a task on; its other fields follow, so it goes first.
        str(task.last_status)
    known = {task.id for task in result.result["tasks"]}
    missing = [name for name in self._get_param("tasks", []) if name.rsplit("/", 1)[-1] not in known]
    result.result["failures"] = [{"arn": name, "reason": "MISSING"} for name in missing]
    return result


def update_task_protection(_: Any, self: Any) -> Any:
    """moto lacks task scale-in protection.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateTaskProtection.html
    """
    minutes = self._get_param("expiresInMinutes") or _DEFAULT_PROTECTION_MINUTES
    protect = self._get_param("protectionEnabled")
    protected, failures = [], []
    for name in self._get_param("tasks"):
        try:
            task = _find(self.ecs_backend, self._get_param("cluster"), name)
        except InvalidParameterException:
            failures.append({"arn": name, "reason": "MISSING"})
            continue
        if not task.group.startswith("service:"):
            reason = "TASK_NOT_VALID"
            failures.append(
                {"arn": task.task_arn, "reason": reason, "detail": "The task is not part of a service."}
            )
            continue
        task.protection_until = datetime.now(UTC) + timedelta(minutes=minutes) if protect else None
        protected.append(_protection(task))
    return ActionResult({"protectedTasks": protected, "failures": failures})


def _protection(task: Any) -> dict[str, Any]:
    until = task.protection_until
    enabled = until is not None and until > datetime.now(UTC)
    return {
        "taskArn": task.task_arn,
        "protectionEnabled": enabled,
        **({"expirationDate": until} if enabled else {}),
    }


def get_task_protection(_: Any, self: Any) -> Any:
    """moto lacks task scale-in protection.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_GetTaskProtection.html
    """
    backend = self.ecs_backend
    cluster = backend._get_cluster(self._get_param("cluster"))
    tasks = backend.tasks.get(cluster.name, {}).values()
    wanted = {name.rsplit("/", 1)[-1] for name in self._get_param("tasks", [])}
    found = [task for task in tasks if not wanted or task.id in wanted]
    missing = wanted - {task.id for task in found}
    failures = [{"arn": name, "reason": "MISSING"} for name in sorted(missing)]
    return ActionResult({"protectedTasks": [_protection(task) for task in found], "failures": failures})


def registration(original: Callable[..., None], self: Any, *args: Any, **kwargs: Any) -> None:
    """moto leaves out when a task definition was registered.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskDefinition.html
    """
    original(self, *args, **kwargs)
    self.registered_at = utcnow()


_Backend = models.EC2ContainerServiceBackend
_Response = responses.EC2ContainerServiceResponse

PATCHES = (
    Patch("ecs-run-task", _Backend, "run_task", run_task),
    Patch("ecs-task-memory", _Backend, "_calculate_task_resource_requirements", requirements),
    Patch("ecs-task-containers", models.Task, "__init__", containers),
    Patch("ecs-task-status", models.Task, "last_status", status),
    Patch("ecs-agent", _Response, "discover_poll_endpoint", discover_poll_endpoint),
    Patch("ecs-task-state-change", _Response, "submit_task_state_change", submit_task_state_change),
    Patch("ecs-stop-task", _Backend, "stop_task", stop_task),
    Patch("ecs-list-tasks", _Backend, "list_tasks", list_tasks),
    Patch("ecs-missing-tasks", _Response, "describe_tasks", describe_tasks),
    Patch("ecs-protect-tasks", _Response, "update_task_protection", update_task_protection),
    Patch("ecs-task-protection", _Response, "get_task_protection", get_task_protection),
    Patch("ecs-registered-at", models.TaskDefinition, "__init__", registration),
)
