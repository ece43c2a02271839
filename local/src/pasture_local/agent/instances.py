# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of a cluster: registered when Auto Scaling starts them, protected while they work."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Any

from pasture_local.agent import capacity
from pasture_local.agent.capacity import Group, Size
from pasture_local.clock import Clock
from pasture_local.cloud import Cloud

_log = logging.getLogger(__name__)


@dataclass
class Pool:
    """A capacity provider and its instances."""

    name: str
    group_name: str
    managed_scaling: dict[str, Any]
    termination_protection: bool
    desired: int = 0
    minimum: int = 0
    maximum: int = 0
    # Container instance ARN -> size, of all instances in service.
    instances: dict[str, Size] = field(default_factory=dict)
    # Container instance ARNs of those that are to be emptied: they take no new tasks.
    draining: set[str] = field(default_factory=set)
    # EC2 instance id -> whether it is protected from scale-in, of all.
    protected: dict[str, bool] = field(default_factory=dict)


class Instances:
    """Plays the agents of a cluster's instances, and managed scaling."""

    def __init__(self, cloud: Cloud, clock: Clock) -> None:
        self._cloud = cloud
        self._clock = clock
        self._sizes: dict[str, Size] = {}
        self._registered: dict[str, tuple[str, str]] = {}  # EC2 instance -> (cluster, container instance)
        self._below_since: dict[str, float | None] = {}

    def pools(self, cluster: str, provider_names: list[str]) -> dict[str, Pool]:
        """The capacity providers of a cluster, each with its instances; newly started ones are registered."""
        names = [name for name in provider_names if name not in {"FARGATE", "FARGATE_SPOT"}]
        if not names:
            return {}
        described = self._cloud.client("ecs").describe_capacity_providers(capacityProviders=names)
        pools = {}
        for provider in described["capacityProviders"]:
            details = provider.get("autoScalingGroupProvider")
            if provider.get("status") != "ACTIVE" or not details:
                continue
            # The group's ARN ends with its name.
            group_name = details["autoScalingGroupArn"].rpartition("autoScalingGroupName/")[2]
            pools[provider["name"]] = Pool(
                name=provider["name"],
                group_name=group_name,
                managed_scaling=details.get("managedScaling") or {},
                termination_protection=details.get("managedTerminationProtection") == "ENABLED",
            )
        if pools:
            self._fill(cluster, pools)
        return pools

    def _fill(self, cluster: str, pools: dict[str, Pool]) -> None:
        by_group = {pool.group_name: pool for pool in pools.values()}
        groups = self._cloud.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=list(by_group)
        )
        present = set()
        for group in groups["AutoScalingGroups"]:
            pool = by_group[group["AutoScalingGroupName"]]
            pool.desired, pool.minimum, pool.maximum = (
                group["DesiredCapacity"],
                group["MinSize"],
                group["MaxSize"],
            )
            for instance in group["Instances"]:
                if instance["LifecycleState"] != "InService":
                    continue
                instance_id = instance["InstanceId"]
                present.add(instance_id)
                pool.protected[instance_id] = instance["ProtectedFromScaleIn"]
                arn = self._register(cluster, instance_id)
                pool.instances[arn] = self._sizes[instance_id]
        for instance_id in [i for i, (c, _) in self._registered.items() if c == cluster and i not in present]:
            self._deregister(cluster, instance_id)
        draining = self._draining(cluster)
        for pool in pools.values():
            pool.draining = draining & set(pool.instances)

    def _draining(self, cluster: str) -> set[str]:
        """The instances of a cluster that were set to DRAINING, as the agent does by itself at a Spot notice.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
        """
        client = self._cloud.client("ecs")
        found = client.list_container_instances(cluster=cluster, status="DRAINING")
        return set(found["containerInstanceArns"])

    def _register(self, cluster: str, instance_id: str) -> str:
        if instance_id in self._registered:
            return self._registered[instance_id][1]
        ec2 = self._cloud.client("ec2")
        reservation = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]
        kind = reservation["Instances"][0]["InstanceType"]
        size = capacity.instance_size(ec2.describe_instance_types(InstanceTypes=[kind])["InstanceTypes"][0])
        answer = self._cloud.client("ecs").register_container_instance(
            cluster=cluster,
            instanceIdentityDocument=json.dumps({"instanceId": instance_id}),
            totalResources=[
                {"name": "CPU", "type": "INTEGER", "integerValue": size.cpu},
                {"name": "MEMORY", "type": "INTEGER", "integerValue": size.memory},
            ],
        )
        arn = str(answer["containerInstance"]["containerInstanceArn"])
        self._sizes[instance_id] = size
        self._registered[instance_id] = (cluster, arn)
        _log.info("instance %s (%s) joined %s", instance_id, kind, cluster)
        return arn

    def _deregister(self, cluster: str, instance_id: str) -> None:
        _, arn = self._registered.pop(instance_id)
        self._sizes.pop(instance_id, None)
        ecs = self._cloud.client("ecs")
        try:
            ecs.deregister_container_instance(cluster=cluster, containerInstance=arn, force=True)
        except ecs.exceptions.ClientError as error:
            _log.info("instance %s was gone already: %s", instance_id, error)
        _log.info("instance %s left %s", instance_id, cluster)

    def scale(self, pool: Pool, tasks: list[tuple[str | None, Size]]) -> None:
        """Managed scaling of one capacity provider, for tasks with their instances (None: they wait for one)."""
        busy = {instance for instance, _ in tasks if instance}
        if pool.termination_protection:
            self._protect(pool, busy)
        if pool.managed_scaling.get("status") != "ENABLED":
            return
        known = next(iter(pool.instances.values()), None)
        # Instances that work are needed, however their tasks could be packed anew.
        waiting = [size for instance, size in tasks if instance is None]
        needed = max(capacity.instances_needed([size for _, size in tasks], known), len(busy))
        if waiting and known is None:
            needed = max(needed, pool.desired)
        group = Group(
            desired=pool.desired,
            minimum=pool.minimum,
            maximum=pool.maximum,
            target_percent=int(pool.managed_scaling.get("targetCapacity") or 100),
            step=int(pool.managed_scaling.get("maximumScalingStepSize") or 10000),
        )
        wanted, since = capacity.wanted_instances(
            group, needed, self._below_since.get(pool.name), self._clock.now()
        )
        self._below_since[pool.name] = since
        idle = [instance_id for instance_id, protected in pool.protected.items() if not protected]
        # Auto Scaling ends surplus instances when they lose their protection; the emulator when it is told again.
        if wanted != pool.desired or (len(pool.protected) > pool.desired and idle):
            _log.info(
                "%s: %d instances wanted, %d needed, %d desired", pool.name, wanted, needed, pool.desired
            )
            self._cloud.client("autoscaling").set_desired_capacity(
                AutoScalingGroupName=pool.group_name, DesiredCapacity=wanted
            )

    def _protect(self, pool: Pool, busy: set[str]) -> None:
        """Managed termination protection: instances that run tasks are not ended by a scale-in."""
        arns = {instance_id: arn for instance_id, (_, arn) in self._registered.items()}
        for wanted in (True, False):
            changed = [
                instance_id
                for instance_id, protected in pool.protected.items()
                if protected != wanted and (arns.get(instance_id) in busy) == wanted
            ]
            if changed:
                self._cloud.client("autoscaling").set_instance_protection(
                    AutoScalingGroupName=pool.group_name, InstanceIds=changed, ProtectedFromScaleIn=wanted
                )
                pool.protected.update(dict.fromkeys(changed, wanted))
