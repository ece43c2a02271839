# SPDX-License-Identifier: GPL-3.0-or-later
"""Condition keys of a call: what its parameters say, and the tags of what it touches.

Only keys that policies of a stack can test. An evaluator leaves out those that an action or a resource does not
know, so that a key may be named here for all calls of a service.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.ec2.models import ec2_backends
from moto.efs.models import efs_backends
from moto.kms.models import kms_backends

from pasture_local.emulator.calls import Call
from pasture_local.emulator.patches import application_autoscaling

Keys = dict[str, str | list[str]]

# Where a key is a parameter by another name.
_PARAMETERS = {
    "iam": {"PermissionsBoundary": "iam:PermissionsBoundary", "PolicyArn": "iam:PolicyARN"},
    "s3": {"Prefix": "s3:prefix", "Delimiter": "s3:delimiter", "VersionId": "s3:VersionId"},
    "cloudwatch": {"Namespace": "cloudwatch:namespace"},
    "application-autoscaling": {
        "ServiceNamespace": "application-autoscaling:service-namespace",
        "ScalableDimension": "application-autoscaling:scalable-dimension",
    },
    "sns": {"Protocol": "sns:Protocol", "Endpoint": "sns:Endpoint"},
    "lambda": {"Principal": "lambda:Principal"},
}


def condition_keys(call: Call, account: str) -> Keys:
    """The keys that the parameters of a call give, but for the tags of resources."""
    keys: Keys = {"aws:RequestedRegion": call.region}
    for parameter, key in _PARAMETERS.get(call.service, {}).items():
        value = call.parameters.get(parameter)
        if isinstance(value, str):
            keys[key] = value
    tags = dict(request_tags(call.parameters))
    names = sorted({*tags, *(call.parameters.get("TagKeys") or call.parameters.get("tagKeys") or [])})
    keys |= {f"aws:RequestTag/{name}": value for name, value in tags.items()}
    if names:
        keys["aws:TagKeys"] = names
    if call.service == "ecs" and (cluster := call.parameters.get("cluster")):
        name = str(cluster).rpartition("/")[2]
        keys["ecs:cluster"] = f"arn:aws:ecs:{call.region}:{account}:cluster/{name}"
    if call.operation == "RunInstances" and (template := call.parameters.get("LaunchTemplate")):
        identifier = template.get("LaunchTemplateId")
        keys["ec2:LaunchTemplate"] = f"arn:aws:ec2:{call.region}:{account}:launch-template/{identifier}"
    if call.service == "events":
        entries = call.parameters.get("Entries") or []
        if sources := sorted({entry["Source"] for entry in entries if entry.get("Source")}):
            keys["events:source"] = sources
    return keys


def request_tags(parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The tags that a call gives, in whichever of AWS's spellings."""
    for name in ("Tags", "tags", "TagList"):
        yield from _tags(parameters.get(name))
    for specification in parameters.get("TagSpecifications") or parameters.get("TagSpecification") or []:
        yield from _tags(specification.get("Tags"))


def _tags(given: Any) -> Iterator[tuple[str, str]]:
    if isinstance(given, dict):
        yield from ((str(key), str(value)) for key, value in given.items())
    for tag in given if isinstance(given, list) else []:
        lower = {key.lower().removeprefix("tag"): value for key, value in tag.items()}
        yield str(lower["key"]), str(lower.get("value", ""))


def resource_tags(arn: str, account: str) -> dict[str, str]:
    """The tags that a resource has now; none when there is no such thing, or its service is told by names.

    :param account: whose it is when its ARN does not say so, as that of an AMI.
    """
    _, _, service, region, owner, _ = (arn.split(":", 5) + [""] * 6)[:6]
    find = _FINDERS.get(service)
    if find is None or not region or "*" in arn:
        return {}
    return find(owner or account, region, arn)


def _id(arn: str) -> str:
    return arn.rpartition("/")[2]


def _scaling(account: str, region: str, arn: str) -> dict[str, str]:
    return application_autoscaling.tags_of(applicationautoscaling_backends[account][region], arn)


def _ec2(account: str, region: str, arn: str) -> dict[str, str]:
    tags = ec2_backends[account][region].tags.get(_id(arn), {})
    return {key: str(value) for key, value in dict(tags).items()}


def _efs(account: str, region: str, arn: str) -> dict[str, str]:
    name = _id(arn)
    backend = efs_backends[account][region]
    found = backend.file_systems_by_id.get(name) or backend.access_points.get(name)
    listed = backend.list_tags_for_resource(name) if found else []
    return {tag["Key"]: tag["Value"] for tag in listed}


def _kms(account: str, region: str, arn: str) -> dict[str, str]:
    tags = kms_backends[account][region].tagger.get_tag_dict_for_resource(_id(arn))
    return {str(key): str(value) for key, value in tags.items()}


_FINDERS: dict[str, Callable[[str, str, str], dict[str, str]]] = {
    "application-autoscaling": _scaling,
    "ec2": _ec2,
    "elasticfilesystem": _efs,
    "kms": _kms,
}
