# SPDX-License-Identifier: GPL-3.0-or-later
"""What a call needs beyond its parameters: what they stand for, and what AWS does with the caller's permissions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.autoscaling.models import autoscaling_backends
from moto.ec2.models import ec2_backends
from moto.efs.models import efs_backends
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends

from pasture_local.emulator.calls import Call

# The one that a parameter of Amazon's names.
_ANY_IMAGE = "arn:aws:ec2:{}::image/ami-00000000000000000"


def completed(call: Call, account: str) -> Call:
    """The call with what its parameters stand for, such as the file system of a mount target."""
    found: dict[str, Any] = {}
    parameters = call.parameters
    if call.service == "ec2":
        backend = ec2_backends[account][call.region]
        if association := parameters.get("AssociationId"):
            tables = [
                table.id
                for table in list(backend.route_tables.values())
                if association in table.all_associations_ids
            ]
            found["RouteTableId"] = tables[0] if tables else None
        if name := parameters.get("LaunchTemplateName"):
            found["LaunchTemplateId"] = backend.launch_template_name_to_ids.get(name)
        if given := parameters.get("LaunchTemplate"):
            found["LaunchTemplate"] = given | {"LaunchTemplateId": _template_id(call, account)}
    if call.service == "iam" and not parameters.get("Path"):
        iam = iam_backends[account]["aws"]
        roles = [role for role in list(iam.roles.values()) if role.name == parameters.get("RoleName")]
        profiles = [
            profile
            for profile in list(iam.instance_profiles.values())
            if profile.name == parameters.get("InstanceProfileName")
        ]
        found["Path"] = next((known.path for known in [*roles, *profiles]), None)
    if call.service == "kms" and "alias/" in (name := str(parameters.get("KeyId", ""))):
        alias = "alias/" + name.partition("alias/")[2]
        keys = list(kms_backends[account][call.region].keys.values())
        found["KeyId"] = next((key.id for key in keys if alias in key.aliases), None)
    if call.service == "application-autoscaling" and (identifier := parameters.get("ResourceId")):
        registered = applicationautoscaling_backends[account][call.region].targets.values()
        arns = [of_dimension[identifier].arn for of_dimension in registered if identifier in of_dimension]
        new = f"arn:aws:application-autoscaling:{call.region}:{account}:scalable-target/new"
        found["ResourceARN"] = arns[0] if arns else new
    if call.service == "efs" and (target := parameters.get("MountTargetId")):
        targets = efs_backends[account][call.region].mount_targets_by_id
        found["FileSystemId"] = targets[target].file_system_id if target in targets else None
    return replace(call, parameters={**parameters, **{key: value for key, value in found.items() if value}})


def permissions(call: Call, account: str) -> list[dict[str, Any]]:
    """The permissions that AWS asks of the caller for what it does on its behalf."""
    name = f"{call.service}:{call.operation}"
    network = f"arn:aws:ec2:{call.region}:{account}:"
    if name in ("s3:GetObject", "s3:HeadObject"):
        # That an object is not there is told to those alone who may list its bucket; others are refused.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
        bucket = s3_backends[account]["aws"].buckets.get(call.parameters["Bucket"])
        if bucket and call.parameters["Key"] not in bucket.keys:
            return [{"action": "s3:ListBucket", "resources": [f"arn:aws:s3:::{bucket.name}"]}]
    if name == "sqs:StartMessageMoveTask":
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
        dead, target = call.parameters["SourceArn"], call.parameters.get("DestinationArn")
        taken = [f"sqs:{action}" for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")]
        sent = [{"action": "sqs:SendMessage", "resources": [target]}] if target else []
        return [*({"action": action, "resources": [dead]} for action in taken), *sent]
    if name == "efs:CreateMountTarget":
        # https://docs.aws.amazon.com/efs/latest/ug/API_CreateMountTarget.html
        subnet = [f"{network}subnet/{call.parameters['SubnetId']}"]
        groups = [f"{network}security-group/{group}" for group in call.parameters.get("SecurityGroups") or []]
        return [
            {"action": "ec2:DescribeSubnets", "resources": ["*"]},
            {"action": "ec2:DescribeNetworkInterfaces", "resources": ["*"]},
            {
                "action": "ec2:CreateNetworkInterface",
                "resources": [*subnet, *groups, f"{network}network-interface/new"],
            },
        ]
    if name == "efs:DeleteMountTarget":
        # https://docs.aws.amazon.com/efs/latest/ug/API_DeleteMountTarget.html
        return [
            {"action": "ec2:DeleteNetworkInterface", "resources": [f"{network}network-interface/eni-of-efs"]}
        ]
    if name == "efs:ModifyMountTargetSecurityGroups":
        # https://docs.aws.amazon.com/efs/latest/ug/API_ModifyMountTargetSecurityGroups.html
        groups = [f"{network}security-group/{group}" for group in call.parameters["SecurityGroups"]]
        interface = f"{network}network-interface/eni-of-efs"
        return [{"action": "ec2:ModifyNetworkInterfaceAttribute", "resources": [*groups, interface]}]
    if name == "ec2:CreateVpcEndpoint" and call.parameters.get("PrivateDnsEnabled"):
        # https://docs.aws.amazon.com/vpc/latest/privatelink/create-interface-endpoint.html
        return [{"action": "route53:AssociateVPCWithHostedZone", "resources": ["*"]}]
    if name in ("autoscaling:CreateAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup"):
        return _launches(call, account)
    if name == "ec2:RunInstances":
        return _launch(call, account)
    return []


def _template_id(call: Call, account: str) -> str:
    """The launch template that a call names."""
    given = call.parameters.get("LaunchTemplate") or {}
    known = ec2_backends[account][call.region].launch_template_name_to_ids
    return str(given.get("LaunchTemplateId") or known.get(given.get("LaunchTemplateName", "")) or "")


def _launch(call: Call, account: str) -> list[dict[str, Any]]:
    """What a launch takes from its template is asked for like what the call says.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/permissions-for-launch-templates.html
    """
    template = ec2_backends[account][call.region].launch_templates.get(_template_id(call, account))
    data = template.latest_version().data if template else {}
    said = {key: call.parameters[key] for key in ("ImageId", "IamInstanceProfile") if key in call.parameters}
    base = f"arn:aws:ec2:{call.region}:{account}:"
    groups = [f"{base}security-group/{group}" for group in _groups(data)]
    return [
        {"action": "ec2:RunInstances", "resources": [*groups, _ANY_IMAGE.format(call.region)]},
        *_of_launch(call, account, data | said),
    ]


def _launches(call: Call, account: str) -> list[dict[str, Any]]:
    """Who makes a group from a launch template has to be allowed what it launches.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-permissions.html
    """
    identifier = _template_id(call, account)
    template = ec2_backends[account][call.region].launch_templates.get(identifier)
    if template is None:
        return []
    base = f"arn:aws:ec2:{call.region}:{account}:"
    data = template.latest_version().data
    subnets = call.parameters.get("VPCZoneIdentifier") or _subnets(call, account)
    made = [f"{base}{kind}/new" for kind in ("instance", "network-interface", "volume")]
    groups = [f"{base}security-group/{group}" for group in _groups(data)]
    needed = [
        {
            "action": "ec2:RunInstances",
            "resources": [
                *made,
                *groups,
                *(f"{base}subnet/{subnet}" for subnet in subnets.split(",") if subnet),
                f"{base}launch-template/{identifier}",
                _ANY_IMAGE.format(call.region),
            ],
            "context": {"ec2:LaunchTemplate": f"{base}launch-template/{identifier}"},
        }
    ]
    return needed + _of_launch(call, account, data)


def _of_launch(call: Call, account: str, data: dict[str, Any]) -> list[dict[str, Any]]:
    """What a launch needs besides: a template's tags, its image by a parameter, its role."""
    base = f"arn:aws:ec2:{call.region}:{account}:"
    needed: list[dict[str, Any]] = []
    for specification in data.get("TagSpecification") or data.get("TagSpecifications") or []:
        tags = {
            tag["Key"]: tag["Value"] for tag in specification.get("Tag") or specification.get("Tags") or []
        }
        needed.append(
            {
                "action": "ec2:CreateTags",
                "resources": [f"{base}{specification['ResourceType']}/new"],
                "context": {
                    "ec2:CreateAction": "RunInstances",
                    "aws:TagKeys": sorted(tags),
                    **{f"aws:RequestTag/{key}": value for key, value in tags.items()},
                },
            }
        )
    if str(data.get("ImageId", "")).startswith("resolve:ssm:"):
        parameter = data["ImageId"].removeprefix("resolve:ssm:").lstrip("/")
        # https://docs.aws.amazon.com/autoscaling/ec2/userguide/using-systems-manager-parameters.html
        needed.append(
            {
                "action": "ssm:GetParameters",
                "resources": [f"arn:aws:ssm:{call.region}::parameter/{parameter}"],
            }
        )
    profile = data.get("IamInstanceProfile") or {}
    name = profile.get("Name") or str(profile.get("Arn", "")).rpartition("/")[2]
    for known in list(iam_backends[account]["aws"].instance_profiles.values()):
        if known.name == name:
            roles = [role.arn for role in known.roles]
            service = {"iam:PassedToService": "ec2.amazonaws.com"}
            needed.append({"action": "iam:PassRole", "resources": roles, "context": service})
    return needed


def _groups(data: dict[str, Any]) -> list[str]:
    interfaces = data.get("NetworkInterface") or data.get("NetworkInterfaces") or []
    listed = [group for one in interfaces for group in one.get("SecurityGroupId") or one.get("Groups") or []]
    return [*(data.get("SecurityGroupId") or data.get("SecurityGroupIds") or []), *listed]


def _subnets(call: Call, account: str) -> str:
    group = autoscaling_backends[account][call.region].autoscaling_groups.get(
        call.parameters.get("AutoScalingGroupName", "")
    )
    return str(group.vpc_zone_identifier or "") if group else ""
