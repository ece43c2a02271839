# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the cluster role makes, as a pure function of the processors. For internal use of this collection only."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._stack import (
    Stack,
    allow,
    policy,
    tasks_trust,
    trust,
)

ROLE = "cluster"
_GIB = 1024**3
# 012345678901.dkr.ecr.eu-west-1.amazonaws.com/team/worker@sha256:...
_ECR_IMAGE = re.compile(
    r"^(?P<account>\d{12})\.dkr[.-]ecr\.(?P<region>[a-z0-9-]+)\.[^/]+/(?P<repository>[^@:]+)(?:[:@].*)?$"
)


def cluster_plan(
    processors: list[dict[str, Any]], fact: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """All that the cluster role makes.

    :param processors: the normalised processors of preflight.
    :param fact: C(preflight_result).
    :param options: C(image), C(images), C(subnet_ids), C(security_group_id), C(kms_key_arn), C(base_volume_gib),
        C(log_groups), C(log_retention_days), C(permissions_boundary), C(target_capacity), C(instance_warmup).
    """
    stack = Stack.parse(fact)
    return {
        "roles": _roles(stack, options),
        "log_groups": [
            *(_log_group(stack, processor["name"], options, processor["name"]) for processor in processors),
            *(_log_group(stack, name, options) for name in options["log_groups"]),
        ],
        "launch_templates": [_launch_template(stack, processor, options) for processor in processors],
        "auto_scaling_groups": [_group(stack, processor, options) for processor in processors],
        "capacity_providers": [_capacity_provider(stack, processor, options) for processor in processors],
        "result": _result(stack, processors),
    }


def _result(stack: Stack, processors: list[dict[str, Any]]) -> dict[str, Any]:
    names = {processor["name"]: stack.name(processor["name"]) for processor in processors}
    return {
        "cluster_name": stack.prefix,
        "cluster_arn": stack.arn("ecs", f"cluster/{stack.prefix}"),
        "bus_name": stack.prefix,
        "bus_arn": stack.arn("events", f"event-bus/{stack.prefix}"),
        "execution_role_arn": stack.role_arn(stack.name("execution")),
        "capacity_providers": names,
        "auto_scaling_groups": names,
        "log_groups": {name: stack.log_group(name) for name in names},
    }


def _roles(stack: Stack, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    boundary = {"permissions_boundary": options.get("permissions_boundary") or ""}
    execution, instance = stack.name("execution"), stack.name("instance")
    return [
        {
            "name": execution,
            "description": f"Pulls the image and writes the logs of the tasks of {stack.prefix}.",
            "trust_policy": tasks_trust(stack),
            "policies": {"pasture": execution_policy(stack, str(options.get("image") or ""))},
            "managed_policies": [],
            "tags": stack.tags_for(ROLE, execution),
            **boundary,
        },
        {
            "name": instance,
            "description": f"Lets the instances of {stack.prefix} join its cluster and be managed by Systems Manager.",
            # EC2 names no source when it assumes an instance's role, so a condition on one would shut it out
            # (https://github.com/prowler-cloud/prowler/issues/2810). A role can be given to an instance only by
            # somebody of the account who may pass it.
            "trust_policy": trust("ec2.amazonaws.com"),
            "policies": {"pasture": instance_policy(stack)},
            "managed_policies": [],
            "instance_profile": True,
            "tags": stack.tags_for(ROLE, instance),
            **boundary,
        },
    ]


def execution_policy(stack: Stack, image: str) -> dict[str, Any]:
    """What ECS may do to start a task: pull this image, write these logs."""
    found = _ECR_IMAGE.match(image)
    repositories = []
    if found:
        repositories = [
            f"arn:{stack.partition}:ecr:{found['region']}:{found['account']}:repository/{found['repository']}"
        ]
    groups = stack.arn("logs", f"log-group:{stack.log_group('*')}:*")
    return policy(
        # The action takes no resource.
        allow("Registry", ["ecr:GetAuthorizationToken"], ["*"] if repositories else []),
        allow(
            "Image",
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            repositories,
        ),
        allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], [groups]),
    )


def instance_policy(stack: Stack) -> dict[str, Any]:
    """What the ECS agent and Session Manager's agent need, and no more.

    The managed policies for them let an instance join any cluster and read any parameter of the account.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/instance_IAM_role.html
    https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-create-iam-instance-profile.html
    """
    cluster = stack.arn("ecs", f"cluster/{stack.prefix}")
    instances = stack.arn("ecs", f"container-instance/{stack.prefix}/*")
    return policy(
        # These take no resource.
        allow("Endpoint", ["ecs:DiscoverPollEndpoint"], ["*"]),
        allow(
            "Cluster",
            [
                "ecs:RegisterContainerInstance",
                "ecs:DeregisterContainerInstance",
                "ecs:SubmitAttachmentStateChanges",
                "ecs:SubmitContainerStateChange",
                "ecs:SubmitTaskStateChange",
            ],
            [cluster],
        ),
        allow(
            "Instance",
            ["ecs:Poll", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState"],
            [instances],
            ArnEquals={"ecs:cluster": cluster},
        ),
        allow("Managed", ["ssm:UpdateInstanceInformation"], [stack.arn("ec2", "instance/*")]),
        allow(
            "Sessions",
            [
                "ssmmessages:CreateControlChannel",
                "ssmmessages:CreateDataChannel",
                "ssmmessages:OpenControlChannel",
                "ssmmessages:OpenDataChannel",
            ],
            ["*"],
        ),
    )


def _log_group(
    stack: Stack, of: str, options: Mapping[str, Any], processor: str | None = None
) -> dict[str, Any]:
    name = stack.log_group(of)
    return {
        "name": name,
        "retention_days": options["log_retention_days"],
        "kms_key_arn": options.get("kms_key_arn") or "",
        "tags": stack.tags_for(ROLE, name, processor),
    }


def image_kind(infrastructure: Mapping[str, Any]) -> str:
    """Which of the AMIs an instance type boots: C(gpu-x86_64), C(cpu-x86_64) or C(cpu-arm64)."""
    return f"{infrastructure['accelerator']}-{infrastructure['architecture']}"


def volume_gib(processor: Mapping[str, Any], base_gib: int) -> int:
    """The size of the root volume in GiB.

    The base holds the operating system, two versions of the image (during an update) and logs; the model
    lives on EFS, but is pulled through the local disk when the store does not have it yet.

    :param base_gib: what is needed without the model.
    """
    return base_gib + math.ceil(int(processor["model"].get("size") or 0) / _GIB)


def user_data(cluster: str, processor: Mapping[str, Any]) -> str:
    """The script that configures the ECS agent of an instance.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html
    """
    settings = {
        "ECS_CLUSTER": cluster,
        # An image is known by its digest, so one that is there is the right one.
        "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
        # Tasks get their own roles, and must not reach the instance's.
        "ECS_AWSVPC_BLOCK_IMDS": "true",
        "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE": "true",
        "ECS_ENABLE_SPOT_INSTANCE_DRAINING": "true",
        "ECS_CONTAINER_STOP_TIMEOUT": f"{processor['stop_timeout']}s",
        "ECS_ENABLE_GPU_SUPPORT": "true" if processor["infrastructure"]["accelerator"] == "gpu" else "false",
    }
    if processor["infrastructure"].get("warm_instances"):
        # Else an instance that is only being prepared would join the cluster and be given a task.
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-warm-pool.html
        settings["ECS_WARM_POOLS_CHECK"] = "true"
    lines = "\n".join(f"{name}={value}" for name, value in settings.items())
    return f"#!/bin/bash\ncat <<'END' >> /etc/ecs/ecs.config\n{lines}\nEND\n"


def _launch_template(
    stack: Stack, processor: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    infrastructure = processor["infrastructure"]
    name = stack.name(processor["name"])
    template = {
        "name": name,
        "image_id": options["images"][image_kind(infrastructure)],
        "instance_type": infrastructure["instance_type"],
        "instance_profile": stack.name("instance"),
        "security_group_ids": [options["security_group_id"]],
        "user_data": user_data(stack.prefix, processor),
        "volume_size": volume_gib(processor, int(options["base_volume_gib"])),
        "tags": stack.tags_for(ROLE, name, processor["name"]),
    }
    if options.get("kms_key_arn"):
        template["kms_key_arn"] = options["kms_key_arn"]
    return template


def _group(stack: Stack, processor: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    name = stack.name(processor["name"])
    return {
        "name": name,
        "launch_template": name,
        "max_size": processor["max_instances"],
        "subnet_ids": list(options["subnet_ids"]),
        "protect_new_instances": True,
        "spot": processor["infrastructure"].get("market") == "spot",
        "warm_instances": min(
            int(processor["infrastructure"].get("warm_instances") or 0), int(processor["max_instances"])
        ),
        "tags": stack.tags_for(ROLE, name, processor["name"]),
    }


def _capacity_provider(
    stack: Stack, processor: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    name = stack.name(processor["name"])
    return {
        "name": name,
        "auto_scaling_group": name,
        "target_capacity": 100,
        "instance_warmup": options["instance_warmup"],
        "minimum_step": 1,
        "maximum_step": max(1, int(processor["max_instances"])),
        "termination_protection": True,
        "draining": True,
        "tags": stack.tags_for(ROLE, name, processor["name"]),
    }
