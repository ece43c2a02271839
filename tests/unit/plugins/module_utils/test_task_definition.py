# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task definition has one form, whoever wrote it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._task_definition import canonical

GIVEN: dict[str, Any] = {
    "family": "work",
    "cpu": 1024,
    "containerDefinitions": [
        {
            "name": "worker",
            "image": "worker",
            "memory": 512,
            "environment": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}],
            "healthCheck": {"command": ["CMD", "ok"], "timeout": 10},
            "mountPoints": [{"sourceVolume": "models", "containerPath": "/mnt"}],
        }
    ],
    "volumes": [
        {
            "name": "models",
            "efsVolumeConfiguration": {
                "fileSystemId": "fs-1",
                "transitEncryption": "ENABLED",
                "authorizationConfig": {"accessPointId": "fsap-1", "iam": "ENABLED"},
            },
        }
    ],
    "requiresCompatibilities": ["EC2"],
}
# As ECS answers it: with its bookkeeping and its defaults, in its order.
ANSWERED: dict[str, Any] = {
    "taskDefinitionArn": "arn:aws:ecs:eu-west-1:123456789012:task-definition/work:1",
    "revision": 1,
    "status": "ACTIVE",
    "compatibilities": ["EXTERNAL", "EC2"],
    "requiresAttributes": [{"name": "com.amazonaws.ecs.capability.docker-remote-api.1.18"}],
    "registeredAt": "2026-01-01",
    "registeredBy": "arn:aws:iam::123456789012:user/somebody",
    "placementConstraints": [],
    "enableFaultInjection": False,
    "family": "work",
    "cpu": "1024",
    "containerDefinitions": [
        {
            "name": "worker",
            "image": "worker",
            "cpu": 0,
            "essential": True,
            "memory": 512,
            "portMappings": [],
            "volumesFrom": [],
            "systemControls": [],
            "environmentFiles": [],
            "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "healthCheck": {"command": ["CMD", "ok"], "interval": 30, "timeout": 10, "retries": 3},
            "mountPoints": [{"sourceVolume": "models", "containerPath": "/mnt", "readOnly": False}],
        }
    ],
    "volumes": [
        {
            "name": "models",
            "host": {},
            "efsVolumeConfiguration": {
                "fileSystemId": "fs-1",
                "rootDirectory": "/",
                "transitEncryption": "ENABLED",
                "authorizationConfig": {"accessPointId": "fsap-1", "iam": "ENABLED"},
            },
        }
    ],
    "requiresCompatibilities": ["EC2"],
}


def test_what_aws_fills_in_is_not_a_change() -> None:
    assert canonical(GIVEN) == canonical(ANSWERED)


def test_a_canonical_form_is_its_own() -> None:
    assert canonical(canonical(ANSWERED)) == canonical(ANSWERED)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cpu", 2048),
        ("memory", 512),
        ("networkMode", "awsvpc"),
        ("taskRoleArn", "arn:1"),
        ("executionRoleArn", "arn:2"),
        ("runtimePlatform", {"cpuArchitecture": "ARM64"}),
        ("requiresCompatibilities", ["FARGATE"]),
        ("volumes", []),
        ("pidMode", "task"),
    ],
)
def test_a_changed_field_is_a_change(key: str, value: Any) -> None:
    assert canonical({**GIVEN, key: value}) != canonical(ANSWERED)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image", "other"),
        ("memory", 1024),
        ("stopTimeout", 60),
        ("essential", False),
        ("environment", [{"name": "A", "value": "1"}]),
        ("healthCheck", {"command": ["CMD", "ok"], "timeout": 10, "retries": 2}),
        ("command", ["run"]),
    ],
)
def test_a_changed_field_of_a_container_is_a_change(key: str, value: Any) -> None:
    container = {**GIVEN["containerDefinitions"][0], key: value}
    assert canonical({**GIVEN, "containerDefinitions": [container]}) != canonical(ANSWERED)


def test_a_field_that_was_taken_out_is_a_change() -> None:
    with_more = {**ANSWERED["containerDefinitions"][0], "stopTimeout": 120}
    assert canonical(GIVEN) != canonical({**ANSWERED, "containerDefinitions": [with_more]})
