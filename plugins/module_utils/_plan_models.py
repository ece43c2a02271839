# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the models role makes, as a pure function of the processors. For internal use of this collection only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._stack import Stack, allow, policy, tasks_trust

ROLE = "models"
SEED = "seed"
CONTAINER = "worker"
_VOLUME = "models"
_PATH = "/mnt/models"

# A download is bound by the network: 2 vCPUs have enough of it, and verifying a digest uses one.
# Fargate's sizes: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
_CPU = 2048
_MEMORY_MIB = 4096
# The engine's key and the worker's scratch. Fargate has had tmpfs since 2026; the API no longer excepts it.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LinuxParameters.html
_TMPFS_MIB = 256

_DEFINITION_KEYS = (
    "name",
    "tag",
    "inputs",
    "outputs",
    "capabilities",
    "context_length",
    "size",
    "options",
    "from",
    "digest",
    "modelfile",
)


def models_plan(
    processors: Iterable[Mapping[str, Any]], fact: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """All that the models role makes.

    :param processors: the normalised processors of preflight.
    :param fact: C(preflight_result).
    :param options: C(image), C(file_system_id), C(file_system_arn), C(access_point_id), C(access_point_arn),
        C(permissions_boundary), C(environment).
    """
    stack = Stack.parse(fact)
    models = definitions(processors)
    return {
        "registry": f"/pasture/{stack.stack}",
        "models": models,
        "tags": {**stack.tags, "pasture:stack": stack.stack, "pasture:role": ROLE},
        "roles": [_role(stack, models, options)],
        "task_definitions": [_task_definition(stack, options)],
        "log_group": stack.log_group(SEED),
    }


def definitions(processors: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The models of the processors, each once, as the module ollama_model takes them."""
    by_reference: dict[str, dict[str, Any]] = {}
    for processor in processors:
        model = processor["model"]
        given = {key: model[key] for key in _DEFINITION_KEYS if model.get(key)}
        by_reference.setdefault(f"{model['name']}:{model['tag']}", given)
    return [by_reference[reference] for reference in sorted(by_reference)]


def own_objects(model: Mapping[str, Any]) -> list[str]:
    """C(bucket/key) of what a model of the user's own is made of; empty for one of Ollama's library."""
    return sorted(str(model[key]).removeprefix("s3://") for key in ("from", "modelfile") if model.get(key))


def own_buckets(model: Mapping[str, Any]) -> list[str]:
    """The buckets of a model of the user's own; empty for one of Ollama's library."""
    return sorted({place.partition("/")[0] for place in own_objects(model)})


def seed_policy(
    stack: Stack, models: Iterable[Mapping[str, Any]], options: Mapping[str, Any]
) -> dict[str, Any]:
    """What the seeding task may do: read definitions, fetch the user's own weights, write the store."""
    own = list(models)
    objects = sorted({place for model in own for place in own_objects(model)})
    buckets = sorted({bucket for model in own for bucket in own_buckets(model)})
    return policy(
        allow(
            "Definitions",
            ["ssm:GetParameter"],
            [stack.arn("ssm", f"parameter/pasture/{stack.stack}/models/*")],
        ),
        allow(
            "Store",
            ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
            [options["file_system_arn"]],
            StringEquals={"elasticfilesystem:AccessPointArn": options["access_point_arn"]},
        ),
        allow("Weights", ["s3:GetObject"], [stack.bucket_arn(*place.split("/", 1)) for place in objects]),
        # Without it S3 answers "forbidden" for an object that is not there.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
        allow("Missing", ["s3:ListBucket"], [stack.bucket_arn(bucket) for bucket in buckets]),
    )


def _role(stack: Stack, models: Iterable[Mapping[str, Any]], options: Mapping[str, Any]) -> dict[str, Any]:
    name = stack.name(SEED)
    return {
        "name": name,
        "description": f"What the task that brings models into the cache of {stack.prefix} may do.",
        "trust_policy": tasks_trust(stack),
        "policies": {"pasture": seed_policy(stack, models, options)},
        "managed_policies": [],
        "permissions_boundary": options.get("permissions_boundary") or "",
        "tags": stack.tags_for(ROLE, name),
    }


def _task_definition(stack: Stack, options: Mapping[str, Any]) -> dict[str, Any]:
    name = stack.name(SEED)
    environment = {
        "AWS_REGION": stack.region,
        "PASTURE_REGISTRY": f"/pasture/{stack.stack}",
        "PASTURE_STACK": stack.stack,
        "PASTURE_STORE": _PATH,
        **{key: str(value) for key, value in (options.get("environment") or {}).items()},
    }
    return {
        "name": name,
        "requires_compatibilities": ["FARGATE"],
        "network_mode": "awsvpc",
        "cpu": _CPU,
        "memory": _MEMORY_MIB,
        "runtime_platform": {
            "cpu_architecture": "ARM64" if options.get("architecture") == "arm64" else "X86_64",
            "operating_system_family": "LINUX",
        },
        "task_role_arn": stack.role_arn(name),
        "execution_role_arn": stack.role_arn(stack.name("execution")),
        "containers": [
            {
                "name": CONTAINER,
                "image": options["image"],
                "command": [SEED],
                "essential": True,
                "user": "1000:1000",
                "readonlyRootFilesystem": True,
                "environment": [{"name": key, "value": value} for key, value in sorted(environment.items())],
                "mountPoints": [{"sourceVolume": _VOLUME, "containerPath": _PATH}],
                # The longest that Fargate allows: what has been downloaded stays, and is resumed.
                "stopTimeout": 120,
                "linuxParameters": {
                    "initProcessEnabled": True,
                    "capabilities": {"drop": ["ALL"]},
                    "tmpfs": [
                        {
                            "containerPath": "/tmp",  # noqa: S108 - inside the container, which has no other user
                            "size": _TMPFS_MIB,
                            "mountOptions": ["mode=1777", "nosuid", "nodev"],
                        }
                    ],
                },
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": stack.log_group(SEED),
                        "awslogs-region": stack.region,
                        "awslogs-stream-prefix": CONTAINER,
                    },
                },
            }
        ],
        "volumes": [
            {
                "name": _VOLUME,
                "efsVolumeConfiguration": {
                    "fileSystemId": options["file_system_id"],
                    "transitEncryption": "ENABLED",
                    "authorizationConfig": {"accessPointId": options["access_point_id"], "iam": "ENABLED"},
                },
            },
        ],
        "tags": stack.tags_for(ROLE, name),
    }
