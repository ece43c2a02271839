# SPDX-License-Identifier: GPL-3.0-or-later
"""Which permissions a call needs: actions of IAM and the ARNs of what they touch.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from pasture_local.emulator.calls import Call

Parameters = dict[str, Any]
# From a call's region, its account and its parameters to the ARNs.
_Finder = Callable[[str, str, Parameters], list[str]]

# Prefixes of IAM's actions, where they are not botocore's name.
_PREFIXES = {
    "efs": "elasticfilesystem",
    "service-quotas": "servicequotas",
    "resourcegroupstaggingapi": "tag",
}
# Actions whose name is not that of the operation.
_ACTIONS = {
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjects": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:HeadObject": "s3:GetObject",
    "s3:CopyObject": "s3:PutObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:ListParts": "s3:ListMultipartUploadParts",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:PutBucketNotificationConfiguration": "s3:PutBucketNotification",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:DeleteBucketOwnershipControls": "s3:PutBucketOwnershipControls",
    "s3:DeleteBucketTagging": "s3:PutBucketTagging",
    "s3:GetBucketCors": "s3:GetBucketCORS",
    "s3:PutBucketCors": "s3:PutBucketCORS",
    "s3:DeleteBucketCors": "s3:PutBucketCORS",
    "s3:GetBucketReplication": "s3:GetReplicationConfiguration",
    "s3:GetBucketAccelerateConfiguration": "s3:GetAccelerateConfiguration",
    "s3:GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "lambda:Invoke": "lambda:InvokeFunction",
}
# Operations that hand a role to a service, and the service.
_PASSES_ROLE = {
    "ecs:RegisterTaskDefinition": "ecs-tasks.amazonaws.com",
    "ecs:RunTask": "ecs-tasks.amazonaws.com",
    "ecs:StartTask": "ecs-tasks.amazonaws.com",
    "lambda:CreateFunction": "lambda.amazonaws.com",
    "lambda:UpdateFunctionConfiguration": "lambda.amazonaws.com",
    "events:PutRule": "events.amazonaws.com",
    "events:PutTargets": "events.amazonaws.com",
    "ec2:CreateFlowLogs": "vpc-flow-logs.amazonaws.com",
    "iam:AddRoleToInstanceProfile": "ec2.amazonaws.com",
    "application-autoscaling:RegisterScalableTarget": "application-autoscaling.amazonaws.com",
}
# Operations that tag what they make by a permission of its own, and what they make.
_TAGS_NEW = {
    "application-autoscaling:RegisterScalableTarget": (
        "application-autoscaling:TagResource",
        "scalable-target/new",
    ),
    "efs:CreateFileSystem": ("elasticfilesystem:TagResource", "file-system/fs-new"),
    "efs:CreateAccessPoint": ("elasticfilesystem:TagResource", "access-point/fsap-new"),
    "kms:CreateKey": ("kms:TagResource", "key/new"),
}
# What an operation of EC2 makes. The new thing is asked for as well, and is told by the tags of the request.
_EC2_MADE = {
    "AllocateAddress": ["elastic-ip"],
    "CreateFlowLogs": ["vpc-flow-log"],
    "CreateImage": ["image", "snapshot"],
    "CreateInternetGateway": ["internet-gateway"],
    "CreateLaunchTemplate": ["launch-template"],
    "CreateNatGateway": ["natgateway"],
    "CreateRouteTable": ["route-table"],
    "CreateSecurityGroup": ["security-group"],
    "CreateSubnet": ["subnet"],
    "CreateVpc": ["vpc"],
    "CreateVpcEndpoint": ["vpc-endpoint"],
    "RunInstances": ["instance", "network-interface", "volume"],
}
_EC2_TYPES = {
    "vpc": "vpc",
    "subnet": "subnet",
    "sg": "security-group",
    "rtb": "route-table",
    "igw": "internet-gateway",
    "nat": "natgateway",
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
    "i": "instance",
    "lt": "launch-template",
    "vpce": "vpc-endpoint",
    "sgr": "security-group-rule",
    "ami": "image",
    "fl": "vpc-flow-log",
    "vol": "volume",
    "snap": "snapshot",
}
# What has no account in its ARN.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html#amazonec2-resources-for-iam-policies
_NOBODYS = frozenset({"image", "snapshot"})


def permissions(call: Call, account: str) -> list[dict[str, Any]]:
    """The actions that the call needs, each with its resources; ``*`` where the call names none.

    ``context`` has the condition keys that only this one of the permissions has.
    """
    if call.service == "kms" and str(call.parameters.get("KeyId", "")).startswith("alias/"):
        # An alias stands for its key, which is what is asked for; one that stands for none is not found.
        return []
    needed: list[dict[str, Any]] = [{"action": action(call), "resources": resources(call, account) or ["*"]}]
    name = f"{call.service}:{call.operation}"
    if name == "s3:CopyObject":
        source = call.parameters.get("CopySource")
        text = source if isinstance(source, str) else "/".join((source or {}).values())
        needed.append(
            {"action": "s3:GetObject", "resources": [f"arn:aws:s3:::{text.strip('/').partition('?')[0]}"]}
        )
    if name == "s3:CreateBucket" and call.parameters.get("ObjectOwnership"):
        needed.append({"action": "s3:PutBucketOwnershipControls", "resources": needed[0]["resources"]})
    if name in _PASSES_ROLE and (roles := sorted(set(_roles(call.parameters, account)))):
        service = {"iam:PassedToService": _PASSES_ROLE[name]}
        needed.append({"action": "iam:PassRole", "resources": roles, "context": service})
    if call.service == "ec2" and call.operation in _EC2_MADE:
        needed += _tags_of_new(call, account)
    if name in _TAGS_NEW and call.parameters.get("Tags"):
        tagging, made = _TAGS_NEW[name]
        prefix = tagging.partition(":")[0]
        needed.append(
            {
                "action": tagging,
                "resources": [f"arn:aws:{prefix}:{call.region}:{account}:{made}"],
                "context": {f"{prefix}:CreateAction": call.operation},
            }
        )
    return needed


def _tags_of_new(call: Call, account: str) -> Iterator[dict[str, Any]]:
    """Tags that EC2 puts on what it makes are a permission of their own."""
    for specification in call.parameters.get("TagSpecifications") or []:
        kind = specification.get("ResourceType")
        yield {
            "action": "ec2:CreateTags",
            "resources": [_new(call.region, account, str(kind))],
            "context": {"ec2:CreateAction": call.operation},
        }


def _new(region: str, account: str, kind: str) -> str:
    """The ARN of a thing of EC2 that does not exist yet."""
    return f"arn:aws:ec2:{region}:{'' if kind in _NOBODYS else account}:{kind}/new"


def action(call: Call) -> str:
    """The action of IAM that an operation needs first of all."""
    prefix = _PREFIXES.get(call.service, call.service)
    name = f"{prefix}:{call.operation}"
    mapped = _ACTIONS.get(name, name)
    if mapped in {"s3:GetObject", "s3:DeleteObject"} and call.parameters.get("VersionId"):
        mapped += "Version"
    return mapped


def resources(call: Call, account: str) -> list[str]:
    """The ARNs that the parameters of a call name, without duplicates."""
    finder = _FINDERS.get(call.service, _named_arns)
    found = finder(call.region, account, call.parameters)
    if call.service == "ec2":
        found += [_new(call.region, account, kind) for kind in _EC2_MADE.get(call.operation, [])]
    return list(dict.fromkeys(found))


def _roles(parameters: Parameters, account: str) -> Iterator[str]:
    path = parameters.get("Path") or "/"
    for key, value in _leaves(parameters):
        if isinstance(value, str) and key.lower() in {
            "rolearn",
            "role",
            "taskrolearn",
            "executionrolearn",
            "rolename",
            "deliverlogspermissionarn",
        }:
            yield value if value.startswith("arn:") else f"arn:aws:iam::{account}:role{path}{value}"


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, key)
    else:
        yield key, value


def _arn(text: Any, prefix: str) -> str:
    """A name with its prefix, or the ARN that it is already."""
    return str(text) if str(text).startswith("arn:") else f"{prefix}{text}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _each(parameters: Parameters, prefixes: dict[str, str]) -> list[str]:
    """The ARNs of those parameters that are there, by the prefix of each."""
    return [
        _arn(value, prefix)
        for key, prefix in prefixes.items()
        if parameters.get(key)
        for value in _list(parameters[key])
    ]


def _named_arns(_region: str, _account: str, parameters: Parameters) -> list[str]:
    keys = {"resourcearn", "resource", "resourcearns", "topicarn", "targetarn"}
    return [
        value
        for key, value in _leaves(parameters)
        if isinstance(value, str) and value.startswith("arn:") and key.lower() in keys
    ]


def _s3(_region: str, _account: str, parameters: Parameters) -> list[str]:
    bucket = parameters.get("Bucket")
    if not bucket:
        return []
    keys = [entry["Key"] for entry in (parameters.get("Delete") or {}).get("Objects", [])]
    keys = keys or _list(parameters.get("Key") or [])
    return [f"arn:aws:s3:::{bucket}/{key}" for key in keys] or [f"arn:aws:s3:::{bucket}"]


def _sqs(region: str, account: str, parameters: Parameters) -> list[str]:
    name = str(parameters.get("QueueUrl") or parameters.get("QueueName") or "").rpartition("/")[2]
    if name:
        return [f"arn:aws:sqs:{region}:{account}:{name}"]
    return [str(parameters["SourceArn"])] if parameters.get("SourceArn") else []


def _events(region: str, account: str, parameters: Parameters) -> list[str]:
    base = f"arn:aws:events:{region}:{account}:"
    if entries := parameters.get("Entries"):
        return [_arn(entry.get("EventBusName") or "default", f"{base}event-bus/") for entry in entries]
    bus = str(parameters.get("EventBusName") or "default").rpartition("/")[2]
    if rule := parameters.get("Rule"):
        return [f"{base}rule/{rule if bus == 'default' else f'{bus}/{rule}'}"]
    if name := parameters.get("Name"):
        is_rule = (
            "EventPattern" in parameters or "ScheduleExpression" in parameters or "EventBusName" in parameters
        )
        if is_rule:
            return [f"{base}rule/{name if bus == 'default' else f'{bus}/{name}'}"]
        return [_arn(name, f"{base}event-bus/")]
    return _each(parameters, {"ResourceARN": "", "NamePrefix": f"{base}rule/", "TargetArn": ""})


def _ecs(region: str, account: str, parameters: Parameters) -> list[str]:
    base = f"arn:aws:ecs:{region}:{account}:"
    cluster = str(parameters.get("cluster") or parameters.get("clusterName") or "default").rpartition("/")[2]
    found = _each(
        parameters,
        {
            "service": f"{base}service/{cluster}/",
            "serviceName": f"{base}service/{cluster}/",
            "services": f"{base}service/{cluster}/",
            "task": f"{base}task/{cluster}/",
            "tasks": f"{base}task/{cluster}/",
            "containerInstance": f"{base}container-instance/{cluster}/",
            "containerInstances": f"{base}container-instance/{cluster}/",
            "capacityProvider": f"{base}capacity-provider/",
            "resourceArn": "",
        },
    )
    if parameters.get("autoScalingGroupProvider") and parameters.get("name"):
        found.append(f"{base}capacity-provider/{parameters['name']}")
    # A service's own task definition is no resource of its actions; that of RunTask and StartTask is.
    if definition := (None if found else parameters.get("taskDefinition") or parameters.get("family")):
        found.append(_arn(definition, f"{base}task-definition/"))
    if not found:
        found = _each(parameters, {"clusters": f"{base}cluster/"})
        if "cluster" in parameters or "clusterName" in parameters:
            found.append(f"{base}cluster/{cluster}")
    return found


def _ssm(region: str, account: str, parameters: Parameters) -> list[str]:
    names = [
        name for key in ("Name", "Names", "Path", "ResourceId") for name in _list(parameters.get(key) or [])
    ]
    # Public parameters belong to no account.
    return [
        f"arn:aws:ssm:{region}:{'' if name.startswith('/aws/') else account}:parameter/{name.lstrip('/')}"
        for name in names
    ]


def _iam(_region: str, account: str, parameters: Parameters) -> list[str]:
    base = f"arn:aws:iam::{account}:"
    # The path is known of what is there, or is being made; what is not there is asked for without one.
    path = str(parameters.get("Path") or "/")
    return _each(
        {
            key: value
            for key, value in parameters.items()
            if key != "PolicyArn" or "RoleName" not in parameters
        },
        {
            "InstanceProfileName": f"{base}instance-profile{path}",
            "RoleName": f"{base}role{path}",
            "UserName": f"{base}user/",
            "PolicyArn": "",
        },
    )


def _ec2(region: str, account: str, parameters: Parameters) -> list[str]:
    found = []
    for _, value in _leaves(parameters):
        match = re.fullmatch(r"([a-z]+)-[0-9a-f]{8,}", value) if isinstance(value, str) else None
        if match and match[1] in _EC2_TYPES:
            kind = _EC2_TYPES[match[1]]
            owner = "" if kind in _NOBODYS else account
            found.append(f"arn:aws:ec2:{region}:{owner}:{kind}/{value}")
    return found


def _table(prefixes: dict[str, str]) -> _Finder:
    """A finder for services whose parameters simply name things."""

    def find(region: str, account: str, parameters: Parameters) -> list[str]:
        filled = {key: prefix.format(region=region, account=account) for key, prefix in prefixes.items()}
        return _each(parameters, filled) or _named_arns(region, account, parameters)

    return find


_EFS = "arn:aws:elasticfilesystem:{region}:{account}:"
_LOGS = "arn:aws:logs:{region}:{account}:log-group:"
# The identifier in its ARN is AWS's: policies have a star there.
_GROUP_ID = "00000000-0000-0000-0000-000000000000"
_GROUP = f"arn:aws:autoscaling:{{region}}:{{account}}:autoScalingGroup:{_GROUP_ID}:autoScalingGroupName/"

_FINDERS: dict[str, _Finder] = {
    "s3": _s3,
    "sqs": _sqs,
    "events": _events,
    "ecs": _ecs,
    "ssm": _ssm,
    "iam": _iam,
    "ec2": _ec2,
    "sns": _table({"TopicArn": "", "Name": "arn:aws:sns:{region}:{account}:", "ResourceArn": ""}),
    "sts": _table({"RoleArn": ""}),
    "kms": _table(
        {
            "KeyId": "arn:aws:kms:{region}:{account}:key/",
            "TargetKeyId": "arn:aws:kms:{region}:{account}:key/",
            "AliasName": "arn:aws:kms:{region}:{account}:",
        }
    ),
    "ecr": _table(
        {
            "repositoryName": "arn:aws:ecr:{region}:{account}:repository/",
            "repositoryNames": "arn:aws:ecr:{region}:{account}:repository/",
        }
    ),
    "lambda": _table(
        {"FunctionName": "arn:aws:lambda:{region}:{account}:function:", "Resource": "", "ResourceArn": ""}
    ),
    "logs": _table({"logGroupName": _LOGS, "logGroupNamePrefix": _LOGS, "resourceArn": ""}),
    "efs": _table(
        {
            "AccessPointId": _EFS + "access-point/",
            "FileSystemId": _EFS + "file-system/",
        }
    ),
    "autoscaling": _table({"AutoScalingGroupName": _GROUP, "AutoScalingGroupNames": _GROUP}),
    "cloudwatch": _table(
        {
            "AlarmName": "arn:aws:cloudwatch:{region}:{account}:alarm:",
            "AlarmNames": "arn:aws:cloudwatch:{region}:{account}:alarm:",
            "DashboardName": "arn:aws:cloudwatch::{account}:dashboard/",
            "DashboardNames": "arn:aws:cloudwatch::{account}:dashboard/",
            "ResourceARN": "",
        }
    ),
    "application-autoscaling": _table({"ResourceARN": ""}),
}
