# SPDX-License-Identifier: GPL-3.0-or-later
"""From a task in ECS to containers that can be started: volumes, secrets, role and injected settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pasture_local.agent import definition
from pasture_local.agent.definition import Container
from pasture_local.agent.endpoints import TaskEndpoints, TaskRecord
from pasture_local.cloud import Cloud
from pasture_local.credentials import RoleCredentials
from pasture_local.home import Home


class Preparation:
    """Reads what task definitions refer to."""

    def __init__(
        self, cloud: Cloud, home: Home, endpoints: TaskEndpoints, credentials: RoleCredentials
    ) -> None:
        self._cloud = cloud
        self._home = home
        self._endpoints = endpoints
        self._credentials = credentials
        self._definitions: dict[str, dict[str, Any]] = {}

    def definition(self, arn: str) -> dict[str, Any]:
        """A task definition; revisions never change, so each is asked for once."""
        if arn not in self._definitions:
            answer = self._cloud.client("ecs").describe_task_definition(taskDefinition=arn)
            self._definitions[arn] = answer["taskDefinition"]
        return self._definitions[arn]

    def containers(self, task: Mapping[str, Any]) -> tuple[TaskRecord, list[Container]]:
        """The containers of a task as DescribeTasks tells it, and what the endpoints have to know of it."""
        described = self.definition(task["taskDefinitionArn"])
        overrides = task.get("overrides") or {}
        task_id = task["taskArn"].rsplit("/", 1)[-1]
        group = task.get("group") or ""
        record = TaskRecord(
            task_id=task_id,
            arn=task["taskArn"],
            cluster=task["clusterArn"],
            family=described["family"],
            revision=described["revision"],
            launch_type=task.get("launchType") or "EC2",
            role_arn=overrides.get("taskRoleArn") or described.get("taskRoleArn"),
            service=group.removeprefix("service:") if group.startswith("service:") else None,
        )
        injected = self._endpoints.environment(record)
        mounts = {volume["name"]: self._folder(volume, task_id) for volume in described.get("volumes") or ()}
        execution_role = overrides.get("executionRoleArn") or described.get("executionRoleArn")
        containers = [
            definition.container(
                container,
                overrides,
                task_id=task_id,
                mounts=mounts,
                secrets=self._secrets(container.get("secrets") or (), execution_role, task_id),
                injected=injected,
            )
            for container in described["containerDefinitions"]
        ]
        record.containers = [
            {"Name": c.name, "Image": c.image, "DockerId": f"{task_id}-{c.name}", "KnownStatus": "RUNNING"}
            for c in containers
        ]
        self._endpoints.records[task_id] = record
        return record, containers

    def _folder(self, volume: Mapping[str, Any], task_id: str) -> Path:
        """The folder of the host that stands for a volume: for EFS the root of its access point."""
        efs = volume.get("efsVolumeConfiguration")
        if not efs:
            return self._home.tasks / task_id / "volumes" / str(volume["name"])
        root = efs.get("rootDirectory") or "/"
        access_point = (efs.get("authorizationConfig") or {}).get("accessPointId")
        if access_point:
            found = self._cloud.client("efs").describe_access_points(AccessPointId=access_point)[
                "AccessPoints"
            ][0]
            root = found.get("RootDirectory", {}).get("Path", "/")
        return self._home.efs / str(efs["fileSystemId"]) / root.strip("/")

    def _secrets(self, wanted: Any, execution_role: str | None, task_id: str) -> dict[str, str]:
        return {
            secret["name"]: self._secret(secret["valueFrom"], execution_role, task_id) for secret in wanted
        }

    def _secret(self, source: str, execution_role: str | None, task_id: str) -> str:
        """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Secret.html; read by the execution role."""
        service = "secretsmanager" if ":secretsmanager:" in source else "ssm"
        client = self._cloud.client(service)
        if execution_role:
            client = self._cloud.client_as(service, self._credentials.get(execution_role, task_id))
        if service == "secretsmanager":
            return str(client.get_secret_value(SecretId=source)["SecretString"])
        name = source.partition(":parameter")[2] or source
        return str(client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
