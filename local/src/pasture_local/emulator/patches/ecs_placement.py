# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of Amazon ECS: what a scheduler and an agent outside of moto need to place tasks on instances."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.ecs import models, responses

from pasture_local.emulator.patches import ecs_tasks
from pasture_local.emulator.patches._patch import Patch


def network(original: Callable[..., None], self: Any, *args: Any, **kwargs: Any) -> None:
    """moto's StartTask drops the network configuration; here a service's task gets what its service has.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StartTask.html
    """
    cluster, backend = kwargs.get("cluster") or args[0], kwargs["backend"]
    group = str(kwargs.get("group") or "")
    service = backend.services.get(f"{cluster.name}:{group.removeprefix('service:')}")
    if service is not None:
        kwargs["networking_configuration"] = (
            kwargs.get("networking_configuration") or service.network_configuration
        )
        strategy = getattr(service, "capacity_provider_strategy", None)
        if strategy and not kwargs.get("capacity_provider_name"):
            kwargs["capacity_provider_name"] = strategy[0]["capacityProvider"]
    original(self, *args, **kwargs)


def register_container_instance(_: Any, self: Any) -> ActionResult:
    """moto gives every instance 4 vCPUs and 7.5 GiB, whatever its agent says that it has.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterContainerInstance.html
    """
    document = json.loads(self._get_param("instanceIdentityDocument"))
    cluster = self._get_param("cluster", "default")
    instance = self.ecs_backend.register_container_instance(cluster, document["instanceId"])
    for total in self._get_param("totalResources") or []:
        for resources in (instance.registered_resources, instance.remaining_resources):
            resources[:] = [known for known in resources if known["name"] != total["name"]] + [dict(total)]
    return ActionResult({"containerInstance": instance})


def submit_container_state_change(_: Any, self: Any) -> ActionResult:
    """moto lacks it. AWS's agent tells a container's health over a connection of its own; here it is a
    status too.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_SubmitContainerStateChange.html
    """
    wanted = str(self._get_param("task")).rsplit("/", 1)[-1]
    cluster = self.ecs_backend._get_cluster(self._get_param("cluster", "default"))
    health = self._get_param("status")
    for task in self.ecs_backend.tasks.get(cluster.name, {}).values():
        if task.id == wanted:
            task.health_status = health
            for container in task.containers:
                if container.name == self._get_param("containerName"):
                    container.health_status = health
    return ActionResult({"acknowledgment": "ACCEPTED"})


def release(original: Callable[..., None], task: Any, reason: str, exit_codes: dict[str, int | None]) -> None:
    """moto gives an instance back what a task took of it in StopTask alone, which is too early with an agent.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerInstance.html (remainingResources)
    """
    already = task._status == "STOPPED"
    original(task, reason, exit_codes)
    if already or not task.driven_by_agent or not task.container_instance_arn:
        return
    instances = task._backend.container_instances.get(task.cluster_name, {})
    if instance := instances.get(task.container_instance_arn.rsplit("/", 1)[-1]):
        task._backend.update_container_instance_resources(instance, task.resource_requirements, removing=True)


PATCHES = (
    Patch("ecs-task-network", models.Task, "__init__", network),
    Patch(
        "ecs-instance-resources",
        responses.EC2ContainerServiceResponse,
        "register_container_instance",
        register_container_instance,
    ),
    Patch(
        "ecs-container-health",
        responses.EC2ContainerServiceResponse,
        "submit_container_state_change",
        submit_container_state_change,
    ),
    Patch("ecs-release-resources", ecs_tasks, "stopped", release),
)
