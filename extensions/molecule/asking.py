# SPDX-License-Identifier: GPL-3.0-or-later
"""What the questions of several scenarios have in common."""

from __future__ import annotations

import json
import os
from typing import Any

import boto3

STACK = os.environ["PASTURE_TEST_STACK"]
PREFIX = f"pasture-{STACK}"


def only(items: list[Any]) -> Any:
    """Return the one item of a list that must have one."""
    assert len(items) == 1, items
    return items[0]


def account() -> str:
    """Return the account's number."""
    return str(boto3.client("sts").get_caller_identity()["Account"])


def patterns(bus: str, processor: str = "") -> list[dict[str, Any]]:
    """Return the patterns of the stack's, or a processor's, rules on a bus."""
    name = f"{PREFIX}-{processor}" if processor else PREFIX
    found = boto3.client("events").list_rules(EventBusName=bus, NamePrefix=name)["Rules"]
    # The one without a pattern is on a schedule: it keeps the queues' metrics alive.
    return [json.loads(rule["EventPattern"]) for rule in found if "EventPattern" in rule]


def launch_template(processor: str) -> dict[str, Any]:
    """Return what an instance of a processor is launched with."""
    versions = boto3.client("ec2").describe_launch_template_versions(
        LaunchTemplateName=f"{PREFIX}-{processor}", Versions=["$Latest"]
    )["LaunchTemplateVersions"]
    data: dict[str, Any] = only(versions)["LaunchTemplateData"]
    return data


def auto_scaling_group(processor: str) -> dict[str, Any]:
    """Return a processor's group of instances."""
    group: dict[str, Any] = only(
        boto3.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[f"{PREFIX}-{processor}"]
        )["AutoScalingGroups"]
    )
    return group


def task_definition(processor: str) -> dict[str, Any]:
    """Return a processor's newest task definition."""
    definition: dict[str, Any] = boto3.client("ecs").describe_task_definition(
        taskDefinition=f"{PREFIX}-{processor}"
    )["taskDefinition"]
    return definition


def settings(processor: str) -> dict[str, str]:
    """Return the environment of a processor's worker."""
    container = only(task_definition(processor)["containerDefinitions"])
    return {one["name"]: one["value"] for one in container["environment"]}


def security_groups() -> dict[str, dict[str, Any]]:
    """Return the stack's security groups by the last part of their name."""
    groups = boto3.client("ec2").describe_security_groups(
        Filters=[{"Name": "tag:pasture:stack", "Values": [STACK]}]
    )["SecurityGroups"]
    return {group["GroupName"].rsplit("-", 1)[-1]: group for group in groups}
