# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS does with the stack's roles by itself, which no emulator does: agents on instances, ECS, EFS and Lambda."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evaluation import Request
from records import Role

# By whose role it is: the action, the resource, and condition keys. Where it is documented:
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/instance_IAM_role.html
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html
# https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
# https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
# https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-create-iam-instance-profile.html
_CLUSTER = "arn:aws:ecs:{region}:{account}:cluster/pasture-{stack}"
_INSTANCE = "arn:aws:ecs:{region}:{account}:container-instance/pasture-{stack}/0123456789abcdef0"
_EC2 = "arn:aws:ec2:{region}:{account}:instance/i-0123456789abcdef0"
_OF_CLUSTER = {"ecs:cluster": _CLUSTER}
_STREAM = "arn:aws:logs:{region}:{account}:log-group:/pasture/{stack}/{group}:log-stream:worker/1"
_FLOWS = "arn:aws:logs:{region}:{account}:log-group:/pasture/{stack}/network/flow-log"
_PULL: list[tuple[str, str, dict[str, str]]] = [
    ("ecr:GetAuthorizationToken", "*", {}),
    ("ecr:BatchCheckLayerAvailability", "{image}", {}),
    ("ecr:BatchGetImage", "{image}", {}),
    ("ecr:GetDownloadUrlForLayer", "{image}", {}),
]
_CALLS: dict[str, list[tuple[str, str, dict[str, str]]]] = {
    "instance": [
        ("ecs:DiscoverPollEndpoint", "*", {}),
        ("ecs:RegisterContainerInstance", _CLUSTER, {}),
        ("ecs:DeregisterContainerInstance", _CLUSTER, {}),
        ("ecs:SubmitAttachmentStateChanges", _CLUSTER, {}),
        ("ecs:SubmitContainerStateChange", _CLUSTER, {}),
        ("ecs:SubmitTaskStateChange", _CLUSTER, {}),
        ("ecs:Poll", _INSTANCE, _OF_CLUSTER),
        ("ecs:StartTelemetrySession", _INSTANCE, _OF_CLUSTER),
        ("ecs:UpdateContainerInstancesState", _INSTANCE, _OF_CLUSTER),
        ("ssm:UpdateInstanceInformation", _EC2, {}),
        ("ssmmessages:CreateControlChannel", "*", {}),
        ("ssmmessages:CreateDataChannel", "*", {}),
        ("ssmmessages:OpenControlChannel", "*", {}),
        ("ssmmessages:OpenDataChannel", "*", {}),
    ],
    "execution": [
        *_PULL,
        ("logs:CreateLogStream", _STREAM, {}),
        ("logs:PutLogEvents", _STREAM, {}),
    ],
    "bake": _PULL,
    "wakeup": [("logs:CreateLogStream", _STREAM, {}), ("logs:PutLogEvents", _STREAM, {})],
    "task": [
        (
            "elasticfilesystem:ClientMount",
            "{file_system}",
            {"elasticfilesystem:AccessPointArn": "{access_point}"},
        ),
        (
            "elasticfilesystem:ClientWrite",
            "{file_system}",
            {"elasticfilesystem:AccessPointArn": "{access_point}"},
        ),
        # S3 and SQS, when a worker reads or writes what is encrypted.
        ("kms:Decrypt", "{key}", {}),
        ("kms:GenerateDataKey", "{key}", {}),
    ],
    "seed": [
        (
            "elasticfilesystem:ClientMount",
            "{file_system}",
            {"elasticfilesystem:AccessPointArn": "{access_point}"},
        ),
        (
            "elasticfilesystem:ClientWrite",
            "{file_system}",
            {"elasticfilesystem:AccessPointArn": "{access_point}"},
        ),
    ],
    "flow-log": [
        ("logs:CreateLogStream", _FLOWS + ":log-stream:eni-1", {}),
        ("logs:PutLogEvents", _FLOWS + ":log-stream:eni-1", {}),
        ("logs:DescribeLogStreams", _FLOWS + ":", {}),
        ("logs:DescribeLogGroups", "*", {}),
    ],
}


def requests(role: Role, places: dict[str, str]) -> Iterator[Request]:
    """What AWS asks for with a role of the stack.

    :param places: what fills the placeholders of the resources, such as ``file_system``.
    """
    for action, resource, context in _CALLS.get(role.kind, []):
        # An image that is in no registry of AWS needs no permission, nor does what AWS encrypts with keys of its own.
        needed = {"ecr": "image", "kms": "key"}.get(action.partition(":")[0])
        if needed and needed not in places:
            continue
        yield request(role, action, resource, context, places)


def request(
    role: Role, action: str, resource: str, context: dict[str, Any], places: dict[str, str]
) -> Request:
    """A request by a session of a role, with the placeholders filled in."""
    values = {"account": role.account, "stack": role.stack, **places}
    filled = {key: text.format(**values) for key, text in context.items()}
    name = role.arn.rpartition("/")[2]
    asked = resource.format(**values)
    # A key whose own policy leaves it to IAM.
    root = {"AWS": f"arn:aws:iam::{role.account}:root"}
    statement = {"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}
    return Request(
        f"arn:aws:sts::{role.account}:assumed-role/{name}/session",
        role.account,
        places["region"],
        action,
        (asked,),
        role.policies,
        filled,
        resource_policies={asked: {"Version": "2012-10-17", "Statement": [statement]}}
        if ":kms:" in asked
        else {},
    )
