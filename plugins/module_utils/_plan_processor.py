# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the processor role makes, as a pure function of the processors. For internal use of this collection only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._plan_models import own_buckets, own_objects
from ansible_collections.pasture.ollama.plugins.module_utils._stack import (
    Stack,
    allow,
    policy,
    tasks_trust,
)
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

ROLE = "processor"
CONTAINER = "worker"
MODELS_VOLUME = "models"
MODELS_PATH = "/mnt/models"
# The longest that SQS keeps a message: 14 days.
RETENTION_SECONDS = 14 * 24 * 3600
# Workers extend it while they work; this is how long a document of a worker that vanished stays hidden.
VISIBILITY_SECONDS = 300
# Seconds until a document arrives at an empty queue at the latest, without asking more often.
RECEIVE_WAIT_SECONDS = 20
# The only place a worker can write to: memory for documents that are being extracted, in MiB.
SCRATCH_PATH = "/tmp"  # noqa: S108 - inside the container, which has no other user
TMPFS_MIB = 1024
TMPFS_OPTIONS = ["mode=1777", "nosuid", "nodev"]


def processor_plan(
    processors: list[dict[str, Any]], fact: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """All that the processor role makes, but for the ARNs of task definitions, which only ECS knows.

    :param processors: the normalised processors of preflight.
    :param fact: C(preflight_result).
    :param options: C(image), C(subnet_ids), C(security_group_id), C(file_system_id), C(file_system_arn),
        C(access_point_id), C(access_point_arn), C(source_bucket), C(results_bucket), C(kms_key_arn),
        C(source_kms_key_arn), C(wake_up), C(permissions_boundary), C(log_level), C(environment); C(queues) and
        C(task_definitions) as the modules returned them, once they have.
    """
    stack = Stack.parse(fact)
    return {
        "queues": [queue for processor in processors for queue in _queues(stack, processor, options)],
        "rules": [rule for processor in processors for rule in event_rules(stack, processor, options)],
        "roles": [_role(stack, processor, options) for processor in processors],
        "task_definitions": [_task_definition(stack, processor, options) for processor in processors],
        "services": [_service(stack, processor, options) for processor in processors],
        "result": _result(stack, processors, options),
    }


def _result(stack: Stack, processors: list[dict[str, Any]], options: Mapping[str, Any]) -> dict[str, Any]:
    names = {processor["name"]: stack.name(processor["name"]) for processor in processors}
    return {
        "queues": {
            processor: {
                "name": name,
                "url": _queue_url(name, options),
                "arn": stack.arn("sqs", name),
                "dlq_name": f"{name}-dlq",
                "dlq_url": _queue_url(f"{name}-dlq", options),
                "dlq_arn": stack.arn("sqs", f"{name}-dlq"),
            }
            for processor, name in names.items()
        },
        "services": names,
        "task_definitions": {
            processor: _made(name, options.get("task_definitions"), "arn")
            for processor, name in names.items()
        },
    }


def rule_names(stack: Stack, processor: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Bus and name of each rule of a processor, one for each of its event patterns."""
    return [
        ("default" if item["bus"] == "default" else stack.prefix, stack.name(processor["name"], str(index)))
        for index, item in enumerate(processor["event_patterns"])
    ]


def rule_arns(stack: Stack, processor: Mapping[str, Any]) -> list[str]:
    return [stack.rule_arn(bus, name) for bus, name in rule_names(stack, processor)]


def event_rules(
    stack: Stack, processor: Mapping[str, Any], options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The rules that feed a processor's queue, and wake its service."""
    name = stack.name(processor["name"])
    targets: list[dict[str, Any]] = [
        {
            "id": "queue",
            "arn": stack.arn("sqs", name),
            "dead_letter_arn": stack.arn("sqs", f"{name}-dlq"),
        }
    ]
    if options.get("wake_up", True):
        targets.append(
            {
                "id": "wake-up",
                "arn": stack.arn("lambda", f"function:{stack.name('wakeup')}"),
                "input": wake_up_input(stack, processor),
                # It saves minutes or it is of no use: nothing is tried again, nothing old is delivered.
                "retry_attempts": 0,
                "retry_seconds": 60,
            }
        )
    return [
        {
            "name": rule,
            "event_bus": bus,
            "description": f"Documents for the processor {processor['name']} of {stack.prefix}.",
            "pattern": item["pattern"],
            "targets": targets,
            "tags": stack.tags_for(ROLE, rule, processor["name"]),
        }
        for (bus, rule), item in zip(rule_names(stack, processor), processor["event_patterns"], strict=True)
    ]


def wake_up_input(stack: Stack, processor: Mapping[str, Any]) -> dict[str, Any]:
    """What the wake-up function is told: the fields of its C(Target)."""
    name = stack.name(processor["name"])
    return {
        "stack": stack.stack,
        "processor": processor["name"],
        "cluster": stack.prefix,
        "service": name,
        "auto_scaling_group": name,
        "queue": name,
        "documents_per_task": int(processor["documents_per_task"]),
        "max_tasks": int(processor["max_tasks"]),
        "tasks_per_instance": int(processor["infrastructure"]["tasks_per_instance"]),
    }


def _queues(stack: Stack, processor: Mapping[str, Any], options: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = stack.name(processor["name"])
    arn, dead_arn = stack.arn("sqs", name), stack.arn("sqs", f"{name}-dlq")
    rules = rule_arns(stack, processor)
    common = {"retention_seconds": RETENTION_SECONDS, "kms_key_arn": options.get("kms_key_arn") or ""}
    return [
        {
            **common,
            "name": f"{name}-dlq",
            "dead_letter_for": [arn],
            "policy": queue_policy(stack, dead_arn, rules),
            "tags": stack.tags_for(ROLE, f"{name}-dlq", processor["name"]),
        },
        {
            **common,
            "name": name,
            "visibility_timeout": VISIBILITY_SECONDS,
            "receive_wait_seconds": RECEIVE_WAIT_SECONDS,
            "dead_letter": {"arn": dead_arn, "max_receives": processor["max_receives"]},
            "policy": queue_policy(stack, arn, rules),
            "tags": stack.tags_for(ROLE, name, processor["name"]),
        },
    ]


def queue_policy(stack: Stack, queue_arn: str, rules: list[str]) -> dict[str, Any]:
    """Only over TLS, and from EventBridge only by the processor's own rules."""
    return policy(
        {
            "Sid": "OnlyOverTls",
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": "sqs:*",
            "Resource": queue_arn,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
        {
            "Sid": "EventsOfItsRules",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": {
                "ArnEquals": {"aws:SourceArn": rules},
                "StringEquals": {"aws:SourceAccount": stack.account_id},
            },
        },
    )


def _role(stack: Stack, processor: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    name = stack.name(processor["name"], "task")
    return {
        "name": name,
        "description": f"What the workers of the processor {processor['name']} of {stack.prefix} may do.",
        "trust_policy": tasks_trust(stack),
        "policies": {"pasture": task_policy(stack, processor, options)},
        "managed_policies": [],
        "permissions_boundary": options.get("permissions_boundary") or "",
        "tags": stack.tags_for(ROLE, name, processor["name"]),
    }


def read_places(processor: Mapping[str, Any], options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Bucket and key prefix of all that a processor reads, from its sources."""
    places = []
    for source in processor["sources"]:
        if source["kind"] == "bucket":
            places.append((options["source_bucket"], source.get("prefix") or ""))
        else:
            places.append((options["results_bucket"], f"{source['name']}/"))
    return sorted(set(places))


def task_policy(stack: Stack, processor: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker may do: take from its queue, read its sources, write its results, tell the bus."""
    name = processor["name"]
    queue = stack.arn("sqs", stack.name(name))
    results = options["results_bucket"]
    own = stack.bucket_arn(results, f"{name}/*")
    places = read_places(processor, options)
    buckets = {results, *(bucket for bucket, _prefix in places), *own_buckets(processor["model"])}
    keys = [options.get("kms_key_arn"), options.get("source_kms_key_arn")]
    return policy(
        allow(
            "Queue",
            [
                "sqs:ChangeMessageVisibility",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:ReceiveMessage",
            ],
            [queue],
        ),
        allow("DeadLetters", ["sqs:SendMessage"], [f"{queue}-dlq"]),
        allow(
            "Sources",
            ["s3:GetObject", "s3:GetObjectVersion"],
            [stack.bucket_arn(bucket, f"{prefix}*") for bucket, prefix in places],
        ),
        # Without it S3 answers "forbidden" for an object that is not there: that there is no result yet could not be
        # told from not being allowed to look. It looks at the permission without a prefix, so there is no condition.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
        allow(
            "Missing",
            ["s3:ListBucket"],
            [stack.bucket_arn(bucket) for bucket in sorted(buckets)],
        ),
        allow("Results", ["s3:GetObject", "s3:PutObject"], [own]),
        allow(
            "Announce",
            ["events:PutEvents"],
            [stack.arn("events", f"event-bus/{stack.prefix}")],
            # One call may have events of several sources: the key has many values, and all of them have to be this one.
            # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-conditions.html
            **{
                "ForAllValues:StringEquals": {"events:source": f"/pasture/{stack.stack}/{name}"},
                "Null": {"events:source": "false"},
            },
        ),
        allow(
            "Model",
            ["ssm:GetParameter"],
            [stack.arn("ssm", f"parameter{processor['model']['parameter']}")],
        ),
        # A worker that finds its model missing brings it itself.
        allow(
            "Weights",
            ["s3:GetObject"],
            [stack.bucket_arn(*place.split("/", 1)) for place in own_objects(processor["model"])],
        ),
        allow(
            "Protection",
            ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"],
            [stack.arn("ecs", f"task/{stack.prefix}/*")],
        ),
        allow(
            "Store",
            ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
            [options["file_system_arn"]],
            StringEquals={"elasticfilesystem:AccessPointArn": options["access_point_arn"]},
        ),
        allow("Keys", ["kms:Decrypt", "kms:GenerateDataKey"], sorted({key for key in keys if key})),
    )


def worker_environment(
    stack: Stack, processor: Mapping[str, Any], options: Mapping[str, Any]
) -> list[dict[str, str]]:
    """The settings of a worker, sorted by name. See the worker's README for what they mean."""
    name = stack.name(processor["name"])
    settings: dict[str, Any] = {
        "AWS_REGION": stack.region,
        "PASTURE_STACK": stack.stack,
        "PASTURE_PROCESSOR": processor["name"],
        "PASTURE_QUEUE_URL": _queue_url(name, options),
        "PASTURE_DLQ_URL": _queue_url(f"{name}-dlq", options),
        "PASTURE_RESULTS_BUCKET": options["results_bucket"],
        "PASTURE_EVENT_BUS": stack.prefix,
        "PASTURE_MODEL_PARAMETER": processor["model"]["parameter"],
        "PASTURE_TASK": processor["task"],
        "PASTURE_PROMPT": processor.get("prompt"),
        "PASTURE_COMBINE_PROMPT": processor.get("combine_prompt"),
        "PASTURE_SYSTEM": processor.get("system"),
        "PASTURE_OPTIONS": worker_options(processor),
        "PASTURE_FORMAT": processor.get("format"),
        "PASTURE_THINK": processor.get("think"),
        "PASTURE_ON_OVERFLOW": processor.get("on_overflow"),
        "PASTURE_ON_LENGTH": processor.get("on_length"),
        "PASTURE_SNIFF": processor.get("sniff"),
        "PASTURE_NUM_CTX": processor.get("num_ctx"),
        "PASTURE_SLOTS": processor.get("slots"),
        "PASTURE_GPUS": processor["infrastructure"]["gpus"],
        "PASTURE_STORE": MODELS_PATH,
        "PASTURE_STOP_TIMEOUT": processor.get("stop_timeout"),
        "PASTURE_KMS_KEY_ID": options.get("kms_key_arn"),
        "PASTURE_LOG_LEVEL": options.get("log_level"),
        **(options.get("environment") or {}),
    }
    texts = {name: setting_text(value) for name, value in settings.items()}
    # ECS forgets an empty value, so an empty setting is one that is not there.
    return [{"name": name, "value": text} for name, text in sorted(texts.items()) if text]


def _queue_url(name: str, options: Mapping[str, Any]) -> str:
    return str(_made(name, options.get("queues"), "url") or unknown(f"URL of queue {name}"))


def _made(name: str, states: Iterable[Mapping[str, Any]] | None, key: str) -> Any:
    """What a module returned for the thing of this name; None before it was made."""
    return next((state.get(key) for state in states or [] if state["name"] == name), None)


def worker_options(processor: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the model, overridden by those of the processor."""
    return {**(processor["model"].get("options") or {}), **(processor.get("options") or {})}


def setting_text(value: Any) -> str:
    """A setting as an environment variable: objects as JSON, switches as C(true) and C(false)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True, ensure_ascii=False) if value else ""
    return str(value)


def _task_definition(
    stack: Stack, processor: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    name = stack.name(processor["name"])
    infrastructure = processor["infrastructure"]
    return {
        "name": name,
        "requires_compatibilities": ["EC2"],
        "network_mode": "awsvpc",
        "runtime_platform": {
            "cpu_architecture": "ARM64" if infrastructure["architecture"] == "arm64" else "X86_64",
            "operating_system_family": "LINUX",
        },
        "task_role_arn": stack.role_arn(stack.name(processor["name"], "task")),
        "execution_role_arn": stack.role_arn(stack.name("execution")),
        "containers": [_container(stack, processor, options)],
        "volumes": [
            {
                "name": MODELS_VOLUME,
                "efsVolumeConfiguration": {
                    "fileSystemId": options["file_system_id"],
                    "transitEncryption": "ENABLED",
                    "authorizationConfig": {"accessPointId": options["access_point_id"], "iam": "ENABLED"},
                },
            }
        ],
        "tags": stack.tags_for(ROLE, name, processor["name"]),
    }


def _container(stack: Stack, processor: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    infrastructure = processor["infrastructure"]
    gpus = int(infrastructure["gpus"])
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": options["image"],
        "command": ["run"],
        "essential": True,
        "memory": int(infrastructure["max_memory"]),
        "user": "1000:1000",
        "readonlyRootFilesystem": True,
        "environment": worker_environment(stack, processor, options),
        "mountPoints": [{"sourceVolume": MODELS_VOLUME, "containerPath": MODELS_PATH}],
        "stopTimeout": int(processor["stop_timeout"]),
        "linuxParameters": {
            "initProcessEnabled": True,
            "capabilities": {"drop": ["ALL"]},
            "tmpfs": [{"containerPath": SCRATCH_PATH, "size": TMPFS_MIB, "mountOptions": TMPFS_OPTIONS}],
        },
        "healthCheck": {
            "command": ["CMD", "ollama-worker", "health"],
            "interval": 30,
            "timeout": 10,
            "retries": 3,
            # A model may take that long to be loaded for the first time.
            "startPeriod": 300,
        },
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": stack.log_group(processor["name"]),
                "awslogs-region": stack.region,
                "awslogs-stream-prefix": CONTAINER,
                # A worker does not wait for its log.
                "mode": "non-blocking",
                "max-buffer-size": "4m",
            },
        },
    }
    if gpus:
        container["resourceRequirements"] = [{"type": "GPU", "value": str(gpus)}]
    return container


def _service(stack: Stack, processor: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    name = stack.name(processor["name"])
    return {
        "name": name,
        "task_definition": _made(name, options.get("task_definitions"), "arn") or name,
        "initial_count": 0,
        "capacity_provider_strategy": [{"capacity_provider": name, "weight": 1, "base": 0}],
        "subnet_ids": list(options["subnet_ids"]),
        "security_group_ids": [options["security_group_id"]],
        # There is no spare GPU to roll onto: replace before adding.
        "minimum_healthy_percent": 0,
        "maximum_percent": 100,
        "circuit_breaker": True,
        # Fill an instance before the next one is started.
        "placement_strategy": [{"type": "binpack", "field": "memory"}],
        "tags": stack.tags_for(ROLE, name, processor["name"]),
    }
