# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of Amazon ECS: clusters, capacity providers and services. Tasks are in ecs_tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from moto.autoscaling.models import autoscaling_backends
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ecs import models, responses
from moto.ecs.exceptions import EcsClientException, ECSException, InvalidParameterException
from moto.moto_api._internal import mock_random

from pasture_local.emulator.patches import ecs_tasks
from pasture_local.emulator.patches._patch import Patch

_FARGATE_PROVIDERS = frozenset({"FARGATE", "FARGATE_SPOT"})
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
_DEPLOYMENT_DEFAULTS: dict[str, Any] = {
    "deploymentCircuitBreaker": {"enable": False, "rollback": False},
    "maximumPercent": 200,
    "minimumHealthyPercent": 100,
    "strategy": "ROLLING",
    "bakeTimeInMinutes": 0,
}
# Parameters of CreateService that moto drops, with what DescribeServices says when they were not given.
_SERVICE_FIELDS: dict[str, Any] = {
    "capacityProviderStrategy": None,
    "deploymentConfiguration": None,
    "enableECSManagedTags": False,
    "enableExecuteCommand": False,
    "healthCheckGracePeriodSeconds": 0,
    "placementConstraints": [],
    "placementStrategy": [],
    "availabilityZoneRebalancing": "DISABLED",
}


def _attribute(field: str) -> str:
    """The attribute from which moto's serializer takes a field of a response."""
    names = {"enableECSManagedTags": "enable_ecs_managed_tags"}
    return names.get(field) or "".join(f"_{c.lower()}" if c.isupper() else c for c in field)


# --- Clusters
# --------------------------------------------------------------------------------------------------


def create_cluster(
    original: Callable[..., Any], self: Any, cluster_name: str, *args: Any, **kwargs: Any
) -> Any:
    """moto empties a cluster that is created a second time; ECS returns the one that is there.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCluster.html
    """
    existing = self.clusters.get(cluster_name)
    if existing and existing.status == "ACTIVE":
        return existing
    return original(self, cluster_name, *args, **kwargs)


def list_clusters(_: Any, self: Any) -> list[str]:
    """moto goes on listing clusters that were deleted.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteCluster.html
    """
    return [cluster.arn for cluster in self.clusters.values() if cluster.status == "ACTIVE"]


def delete_cluster(original: Callable[..., Any], self: Any, cluster_str: str) -> Any:
    """moto deletes a cluster with active services or tasks in it.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteCluster.html
    """
    cluster = self._get_cluster(cluster_str)
    if any(s.cluster_name == cluster.name and s.status == "ACTIVE" for s in self.services.values()):
        raise ECSException(
            "ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active."
        )
    if any(task.last_status != "STOPPED" for task in self.tasks.get(cluster.name, {}).values()):
        raise ECSException(
            "ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active."
        )
    return original(self, cluster_str)


def update_cluster_settings(_: Any, self: Any) -> Any:
    """moto lacks UpdateClusterSettings.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateClusterSettings.html
    """
    cluster = self.ecs_backend._get_cluster(self._get_param("cluster", "default"))
    merged = {setting["name"]: setting["value"] for setting in cluster.settings}
    merged |= {setting["name"]: setting["value"] for setting in self._get_param("settings", [])}
    cluster.settings = [{"name": name, "value": value} for name, value in merged.items()]
    return ActionResult({"cluster": cluster})


def put_cluster_capacity_providers(
    original: Callable[..., Any], self: Any, cluster_name: str, providers: Any, strategy: Any
) -> Any:
    """moto takes capacity providers that do not exist.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PutClusterCapacityProviders.html
    """
    for name in providers or []:
        _require_provider(self, name)
    for item in strategy or []:
        if item["capacityProvider"] not in (providers or []):
            raise InvalidParameterException(
                "The default capacity provider strategy cannot contain a capacity provider that is not "
                "associated "
                "with the cluster. Associate the capacity provider with the cluster and try again."
            )
    return original(self, cluster_name, providers, strategy)


# --- Capacity providers
# ----------------------------------------------------------------------------------------


def _require_provider(backend: Any, name_or_arn: str) -> None:
    name = name_or_arn.rsplit("/", 1)[-1]
    if name not in _FARGATE_PROVIDERS and backend._get_provider(name_or_arn) is None:
        raise InvalidParameterException(
            f"The specified capacity provider '{name}' was not found. Specify a valid capacity provider "
            "and try again."
        )


def create_capacity_provider(
    original: Callable[..., Any], self: Any, name: str, asg_details: dict[str, Any], tags: Any
) -> Any:
    """moto overwrites a capacity provider of the same name, takes Auto Scaling groups that do not exist, and
    termination protection that the group does not support.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCapacityProvider.html
    """
    if name in self.capacity_providers:
        raise EcsClientException(
            "The specified capacity provider already exists. To change the configuration of an existing "
            "capacity "
            "provider, update the capacity provider."
        )
    groups = autoscaling_backends[self.account_id][self.region_name].autoscaling_groups
    wanted = asg_details["autoScalingGroupArn"]
    group = next((g for g in groups.values() if wanted in {g.arn, g.name}), None)
    if group is None:
        raise EcsClientException(
            "The specified Auto Scaling group ARN is invalid or does not exist. Specify a valid ARN and "
            "try again."
        )
    _require_protection(asg_details, group)
    return original(self, name, asg_details, tags)


def _require_protection(asg_details: dict[str, Any], group: Any) -> None:
    if asg_details.get("managedTerminationProtection") != "ENABLED":
        return
    if asg_details.get("managedScaling", {}).get("status") != "ENABLED":
        raise EcsClientException(
            "The managed termination protection setting for the capacity provider is invalid. To enable "
            "managed "
            "termination protection for a capacity provider, enable managed scaling for the capacity "
            "provider."
        )
    if not group.new_instances_protected_from_scale_in:
        raise EcsClientException(
            "The managed termination protection setting for the capacity provider is invalid. To enable "
            "managed "
            "termination protection for a capacity provider, the Auto Scaling group must have instance "
            "protection "
            "from scale in enabled."
        )


def capacity_provider_defaults(
    original: Callable[..., dict[str, Any]], self: Any, asg_details: dict[str, Any]
) -> dict[str, Any]:
    """moto leaves out managedDraining, which is on unless it was switched off.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AutoScalingGroupProvider.html
    """
    return {"managedDraining": "ENABLED"} | original(self, asg_details)


def update_capacity_provider(
    original: Callable[..., Any], self: Any, name_or_arn: str, asg_provider: dict[str, Any]
) -> Any:
    """moto ignores managedDraining and fails with HTTP 500 when the capacity provider does not exist.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateCapacityProvider.html
    """
    _require_own_provider(self, name_or_arn)
    provider = original(self, name_or_arn, asg_provider)
    if "managedDraining" in asg_provider:
        provider.auto_scaling_group_provider["managedDraining"] = asg_provider["managedDraining"]
    return provider


def _require_own_provider(backend: Any, name_or_arn: str) -> None:
    if backend._get_provider(name_or_arn) is None:
        raise EcsClientException("The specified capacity provider does not exist.")


def delete_capacity_provider(original: Callable[..., Any], self: Any, name_or_arn: str) -> Any:
    """moto deletes a capacity provider that a cluster uses, and fails with HTTP 500 for one that does not
    exist.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteCapacityProvider.html
    """
    _require_own_provider(self, name_or_arn)
    name = self._get_provider(name_or_arn).name
    if any(name in (c.capacity_providers or []) for c in self.clusters.values() if c.status == "ACTIVE"):
        raise EcsClientException(
            "The specified capacity provider is in use and cannot be removed. Disassociate the capacity "
            "provider "
            "from the cluster and try again."
        )
    return original(self, name_or_arn)


def describe_capacity_providers(original: Callable[..., Any], self: Any, names: list[str] | None) -> Any:
    """moto fails with HTTP 500 when no names are given; ECS describes all.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeCapacityProviders.html
    """
    return original(self, names or list(self.capacity_providers))


# --- Services
# --------------------------------------------------------------------------------------------------


def service_fields(original: Callable[[Any], Any], self: Any) -> Any:
    """moto drops the capacity provider strategy, the deployment configuration and more, replaces a service
    that exists, and takes capacity providers that the cluster does not have.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html
    """
    backend = self.ecs_backend
    cluster = backend._get_cluster(self._get_param("cluster", "default"))
    existing = backend.services.get(f"{cluster.name}:{self._get_param('serviceName')}")
    if existing and existing.status == "ACTIVE":
        raise InvalidParameterException("Creation of service was not idempotent.")
    strategy = self._get_param("capacityProviderStrategy")
    _require_attached(cluster, strategy)
    result = original(self)
    service = result.result["service"]
    for field, default in _SERVICE_FIELDS.items():
        value = self._get_param(field)
        setattr(service, _attribute(field), default if value is None else value)
    service.deployment_configuration = _with_defaults(service.deployment_configuration)
    service.created_at = utcnow()
    if strategy or not self._get_param("launchType"):
        service.capacity_provider_strategy = strategy or cluster.default_capacity_provider_strategy or None
    if service.capacity_provider_strategy:
        service.launch_type = None
    service.deployments = [_deployment(service)]
    return result


def _require_attached(cluster: Any, strategy: Iterable[dict[str, Any]] | None) -> None:
    for item in strategy or []:
        name = item["capacityProvider"]
        if name not in (cluster.capacity_providers or []):
            raise InvalidParameterException(
                f"The specified capacity provider '{name}' was not found. Specify a valid capacity "
                "provider and "
                "try again."
            )


def _with_defaults(configuration: dict[str, Any] | None) -> dict[str, Any]:
    return _DEPLOYMENT_DEFAULTS | (configuration or {})


def _deployment(service: Any) -> dict[str, Any]:
    now = utcnow()
    return {
        "id": f"ecs-svc/{mock_random.randint(10**18, 10**19 - 1)}",
        "status": "PRIMARY",
        "taskDefinition": service.task_definition,
        "desiredCount": service.desired_count,
        "pendingCount": 0,
        "runningCount": 0,
        "failedTasks": 0,
        "createdAt": now,
        "updatedAt": now,
        "launchType": service.launch_type,
        "capacityProviderStrategy": service.capacity_provider_strategy,
        "platformVersion": service.platform_version,
        "networkConfiguration": service.network_configuration or None,
        "rolloutState": "IN_PROGRESS",
        "rolloutStateReason": "ECS deployment in progress.",
    }


def update_service(original: Callable[..., Any], self: Any, properties: dict[str, Any]) -> Any:
    """moto counts every task as running at once, keeps the old deployment when the task definition changes,
    stores the task definition as it was written rather than its ARN, and updates services that were deleted.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html
    """
    properties = dict(properties)
    cluster = self._get_cluster(properties.get("cluster", "default"))
    service = self._get_service(cluster.name, properties["service"].split("/")[-1])
    if service.status != "ACTIVE":
        raise ECSException("ServiceNotActiveException", "Service was not ACTIVE.")
    if definition := properties.get("task_definition"):
        properties["task_definition"] = self.describe_task_definition(definition).arn
    _require_attached(cluster, properties.get("capacity_provider_strategy"))
    if (configuration := properties.get("deployment_configuration")) is not None:
        properties["deployment_configuration"] = _with_defaults(
            service.deployment_configuration | configuration
        )
    renewed = bool(properties.get("force_new_deployment")) or any(
        properties.get(name) not in (None, getattr(service, name, None))
        for name in ("task_definition", "network_configuration", "capacity_provider_strategy")
    )
    updated = original(self, properties)
    if updated.capacity_provider_strategy:
        updated.launch_type = None
    if renewed:
        updated.deployments = [_deployment(updated)]
    _count_tasks(self, updated)
    return updated


def _count_tasks(backend: Any, service: Any) -> None:
    """Let a service and its deployment tell how many of its tasks run and how many are on their way."""
    if service.status != "ACTIVE":
        return
    tasks = [
        task
        for task in backend.tasks.get(service.cluster_name, {}).values()
        if task.group == f"service:{service.name}" and task.desired_status == "RUNNING"
    ]
    service.running_count = sum(task.last_status == "RUNNING" for task in tasks)
    service.pending_count = sum(task.last_status in ecs_tasks.BEFORE_RUNNING for task in tasks)
    for deployment in service.deployments:
        done = service.running_count >= service.desired_count
        progress = "completed" if done else "in progress"
        deployment |= {
            "desiredCount": service.desired_count,
            "runningCount": service.running_count,
            "pendingCount": service.pending_count,
            "rolloutState": "COMPLETED" if done else "IN_PROGRESS",
            "rolloutStateReason": f"ECS deployment {deployment['id']} {progress}.",
        }


def service_counts(original: Callable[..., Any], self: Any, cluster: str, names: list[str]) -> Any:
    """moto says that as many tasks run as are desired. Here it is as many tasks of the group service:NAME
    as run.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html
    """
    services, failures = original(self, cluster, names)
    for service in services:
        _count_tasks(self, service)
    return services, failures


def list_services(
    original: Callable[..., list[str]], self: Any, cluster: str, *args: Any, **kwargs: Any
) -> list[str]:
    """moto goes on listing services that were deleted.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteService.html
    """
    active = {service.arn for service in self.services.values() if service.status == "ACTIVE"}
    return [arn for arn in original(self, cluster, *args, **kwargs) if arn in active]


_Backend = models.EC2ContainerServiceBackend
_Response = responses.EC2ContainerServiceResponse

PATCHES = (
    Patch("ecs-create-cluster", _Backend, "create_cluster", create_cluster),
    Patch("ecs-list-clusters", _Backend, "list_clusters", list_clusters),
    Patch("ecs-delete-cluster", _Backend, "delete_cluster", delete_cluster),
    Patch("ecs-cluster-settings", _Response, "update_cluster_settings", update_cluster_settings),
    Patch(
        "ecs-cluster-providers", _Backend, "put_cluster_capacity_providers", put_cluster_capacity_providers
    ),
    Patch("ecs-create-provider", _Backend, "create_capacity_provider", create_capacity_provider),
    Patch(
        "ecs-provider-draining", models.CapacityProvider, "_prepare_asg_provider", capacity_provider_defaults
    ),
    Patch("ecs-update-provider", _Backend, "update_capacity_provider", update_capacity_provider),
    Patch("ecs-delete-provider", _Backend, "delete_capacity_provider", delete_capacity_provider),
    Patch("ecs-describe-providers", _Backend, "describe_capacity_providers", describe_capacity_providers),
    Patch("ecs-service-fields", _Response, "create_service", service_fields),
    Patch("ecs-update-service", _Backend, "update_service", update_service),
    Patch("ecs-service-counts", _Backend, "describe_services", service_counts),
    Patch("ecs-list-services", _Backend, "list_services", list_services),
)
