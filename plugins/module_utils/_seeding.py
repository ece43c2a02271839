# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bringing registered models into a stack's cache, by a task that needs no GPU.

For internal use of this collection only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._model_registry import SEEDED_TAG
from ansible_collections.pasture.ollama.plugins.module_utils._resource import State, wait_until
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_dict

_MISSING = ("InvalidResourceId", "ParameterNotFound")
# Seconds between two looks at a task that takes minutes.
_INTERVAL = 10.0
# Lines of the log that are read for the reason of a failure.
_LOG_LINES = 50


class SeedingError(Exception):
    """The cache could not be filled; the message is a sentence for the user."""


@dataclass(frozen=True)
class Target:
    """Where the seeding task runs, in the terms of the module's options."""

    cluster: str
    task_definition: str
    subnet_ids: Sequence[str]
    security_group_ids: Sequence[str]
    file_system_id: str
    container: str
    log_group: str
    log_stream_prefix: str


def is_seeded(ssm: Api, parameter: str, mark: str) -> bool:
    """Whether the model whose definition is C(parameter) has been brought."""
    answer = ssm.call(
        "list_tags_for_resource", missing=_MISSING, ResourceType="Parameter", ResourceId=parameter
    )
    return tag_dict((answer or {}).get("TagList")).get(SEEDED_TAG) == mark


def set_seeded(ssm: Api, parameter: str, mark: str) -> None:
    """Remember that it has been brought."""
    ssm.call(
        "add_tags_to_resource",
        ResourceType="Parameter",
        ResourceId=parameter,
        Tags=[{"Key": SEEDED_TAG, "Value": mark}],
    )


def started_by(references: Iterable[str]) -> str:
    """A mark on the task, by which a run that was interrupted finds it again."""
    text = "\n".join(sorted(references))
    return f"pasture-seed-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def start(ecs: Api, target: Target, references: Sequence[str], tags: Mapping[str, str]) -> str:
    """The ARN of a task that brings the models: one under way if there is one, else a new one.

    :raises SeedingError: when ECS has no place for it.
    """
    mark = started_by(references)
    running = ecs.call("list_tasks", cluster=target.cluster, startedBy=mark, desiredStatus="RUNNING") or {}
    if running.get("taskArns"):
        return str(running["taskArns"][0])
    answer = ecs.call(
        "run_task",
        cluster=target.cluster,
        taskDefinition=target.task_definition,
        launchType="FARGATE",
        startedBy=mark,
        count=1,
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": list(target.subnet_ids),
                "securityGroups": list(target.security_group_ids),
                "assignPublicIp": "DISABLED",
            }
        },
        overrides={"containerOverrides": [{"name": target.container, "command": ["seed", *references]}]},
        tags=[{"key": key, "value": value} for key, value in sorted(tags.items())] or None,
    )
    tasks = (answer or {}).get("tasks") or []
    if not tasks:
        failures = (answer or {}).get("failures") or [{}]
        raise SeedingError(
            f"ECS did not start the seeding task: {failures[0].get('reason', 'no reason given')}."
        )
    return str(tasks[0]["taskArn"])


def wait(ecs: Api, target: Target, task_arn: str, timeout: float) -> State:
    """Wait until the task has stopped, and return how it ended.

    :raises WaitTimeout: when it is still running after C(timeout) seconds; it goes on.
    """

    def probe() -> State | None:
        described = ecs.call("describe_tasks", cluster=target.cluster, tasks=[task_arn]) or {}
        tasks = described.get("tasks") or []
        return tasks[0] if tasks else None

    def stopped(task: State | None) -> bool:
        return task is None or task.get("lastStatus") == "STOPPED"

    last = wait_until("stopped", probe, stopped, timeout, _INTERVAL)
    # ECS forgets a stopped task after an hour or so.
    return last or {"stoppedReason": "ECS does not know the task any more"}


def under_way(ecs: Api, cluster: str, task_definition: str) -> list[str]:
    """The ARNs of the seeding tasks of a cluster that have not stopped, whatever they bring.

    :param task_definition: its family, or the ARN of one of its revisions.
    """
    family = task_definition.rsplit("/", 1)[-1].split(":", maxsplit=1)[0]
    return list(
        ecs.pages(
            "list_tasks",
            "taskArns",
            missing=["ClusterNotFoundException"],
            cluster=cluster,
            family=family,
            desiredStatus="RUNNING",
        )
    )


def stop(ecs: Api, cluster: str, task_arns: Sequence[str], timeout: float) -> None:
    """Stop the tasks and wait until they have: a cluster that has some cannot be deleted.

    :raises WaitTimeout: when one is still running after C(timeout) seconds.
    """
    for task_arn in task_arns:
        ecs.call("stop_task", cluster=cluster, task=task_arn, reason="The stack is being removed.")

    def probe() -> State:
        described = ecs.call("describe_tasks", cluster=cluster, tasks=list(task_arns)) or {}
        return {task["taskArn"]: task.get("lastStatus") for task in described.get("tasks") or []}

    wait_until("stopped", probe, lambda seen: set((seen or {}).values()) <= {"STOPPED"}, timeout, _INTERVAL)


def failure(task: State, target: Target) -> str | None:
    """Why a stopped task failed, as ECS tells it; None when it did not fail."""
    for container in task.get("containers", []):
        if container.get("name") == target.container:
            if container.get("exitCode") == 0:
                return None
            code = container.get("exitCode")
            reasons = [
                container.get("reason"),
                f"exit code {code}" if code is not None else None,
                task.get("stoppedReason"),
            ]
            return "; ".join(str(reason).rstrip(".") for reason in reasons if reason)
    return str(task.get("stoppedReason") or "no reason given").rstrip(".")


def log_reasons(logs: Api, target: Target, task_arn: str) -> list[str]:
    """What the task itself said went wrong, from the end of its log; empty when it said nothing."""
    stream = f"{target.log_stream_prefix}/{target.container}/{task_arn.rsplit('/', 1)[-1]}"
    answer = logs.call(
        "get_log_events",
        missing=("ResourceNotFoundException",),
        logGroupName=target.log_group,
        logStreamName=stream,
        limit=_LOG_LINES,
        startFromHead=False,
    )
    return reasons_in(str(event.get("message", "")) for event in (answer or {}).get("events", []))


def reasons_in(lines: Iterable[str]) -> list[str]:
    """The reasons in a worker's log: JSON lines of the level ERROR or above."""
    found = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and str(entry.get("level", "")).upper() in {"ERROR", "CRITICAL"}:
            model = f"{entry['model']}: " if entry.get("model") else ""
            found.append(f"{model}{entry.get('reason') or entry.get('message') or line}".rstrip("."))
    return found
