# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent serves to its tasks: role credentials, metadata and scale-in protection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pasture_local.cloud import Cloud
from pasture_local.credentials import RoleCredentials
from pasture_local.http_server import Answer

CREDENTIALS, METADATA, AGENT_API = "/v2/credentials", "/v4", "/api"


@dataclass
class TaskRecord:
    """What the endpoints know about one task."""

    task_id: str
    arn: str
    cluster: str
    family: str
    revision: int
    launch_type: str
    role_arn: str | None
    service: str | None
    containers: list[dict[str, Any]] = field(default_factory=list)
    known_status: str = "PENDING"


class TaskEndpoints:
    """The handlers; ``records`` is filled by the agent's loop."""

    def __init__(self, cloud: Cloud, credentials: RoleCredentials, url: str) -> None:
        self._cloud = cloud
        self._credentials = credentials
        self._url = url
        self.records: dict[str, TaskRecord] = {}

    def environment(self, record: TaskRecord) -> dict[str, str]:
        """What the agent adds to the environment of a container of the task.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
        """
        added = {
            "AWS_ENDPOINT_URL": self._cloud.endpoint_url,
            "AWS_REGION": self._cloud.region,
            "AWS_DEFAULT_REGION": self._cloud.region,
            "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE" if record.launch_type == "FARGATE" else "AWS_ECS_EC2",
            "AWS_EC2_METADATA_DISABLED": "true",
            "ECS_CONTAINER_METADATA_URI_V4": f"{self._url}{METADATA}/{record.task_id}",
            "ECS_AGENT_URI": f"{self._url}{AGENT_API}/{record.task_id}",
        }
        if record.role_arn:
            # The agent gives a path on a link-local address; a process on loopback is given the whole URI.
            added["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{self._url}{CREDENTIALS}/{record.task_id}"
        return added

    def credentials(self, _method: str, task_id: str, _body: Any) -> Answer:
        """https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html"""
        record = self.records.get(task_id)
        if record is None or record.role_arn is None:
            return 404, {"code": "NotFound", "message": f"The task {task_id} has no role."}
        given = self._credentials.get(record.role_arn, task_id)
        return 200, {
            "RoleArn": record.role_arn,
            "AccessKeyId": given["AccessKeyId"],
            "SecretAccessKey": given["SecretAccessKey"],
            "Token": given["SessionToken"],
            "Expiration": given["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def metadata(self, _method: str, path: str, _body: Any) -> Answer:
        """``/v4/<id>``, the container, and ``/v4/<id>/task``."""
        task_id, _, what = path.partition("/")
        record = self.records.get(task_id)
        if record is None:
            return 404, {"error": f"There is no task {task_id}."}
        task = {
            "Cluster": record.cluster,
            "TaskARN": record.arn,
            "Family": record.family,
            "Revision": str(record.revision),
            "ServiceName": record.service,
            "DesiredStatus": "RUNNING",
            "KnownStatus": record.known_status,
            "LaunchType": record.launch_type,
            "Containers": record.containers,
        }
        if what == "task":
            return 200, task
        return 200, record.containers[0] if record.containers else {}

    def agent_api(self, method: str, path: str, body: Any) -> Answer:
        """``/api/<id>/task-protection/v1/state``, GET and PUT; called with the task's own role, as the agent does.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
        """
        task_id, _, what = path.partition("/")
        record = self.records.get(task_id)
        if record is None or what != "task-protection/v1/state":
            return 404, {
                "error": {"Code": "InvalidParameterException", "Message": f"There is nothing at {path}."}
            }
        try:
            client = self._cloud.client("ecs")
            if record.role_arn:
                client = self._cloud.client_as("ecs", self._credentials.get(record.role_arn, task_id))
            if method == "PUT":
                wanted: dict[str, Any] = {"protectionEnabled": bool(body["ProtectionEnabled"])}
                if "ExpiresInMinutes" in body:
                    wanted["expiresInMinutes"] = int(body["ExpiresInMinutes"])
                answer = client.update_task_protection(cluster=record.cluster, tasks=[record.arn], **wanted)
            else:
                answer = client.get_task_protection(cluster=record.cluster, tasks=[record.arn])
        except (ClientError, BotoCoreError, KeyError, TypeError, ValueError) as error:
            code = (
                error.response["Error"]["Code"]
                if isinstance(error, ClientError)
                else "InvalidParameterException"
            )
            return 400, {"error": {"Arn": record.arn, "Code": code, "Message": str(error)}}
        if answer.get("failures"):
            failure = answer["failures"][0]
            return 200, {
                "failure": {"Arn": failure.get("arn"), "Reason": failure.get("reason"), "Detail": ""}
            }
        protection = answer["protectedTasks"][0]
        described = {"ProtectionEnabled": protection["protectionEnabled"], "TaskArn": protection["taskArn"]}
        if protection.get("expirationDate"):
            described["ExpirationDate"] = protection["expirationDate"].strftime("%Y-%m-%dT%H:%M:%SZ")
        return 200, {"protection": described}
