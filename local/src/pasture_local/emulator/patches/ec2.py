# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of Amazon EC2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.ec2.models import amis, elastic_network_interfaces, launch_templates, nat_gateways, vpcs
from moto.ec2.utils import parse_user_data

from pasture_local.emulator.patches._patch import Patch


def template_versions(original: Callable[..., Any], self: Any, data: dict[str, Any], description: str) -> Any:
    """moto reads the user data of a template's first version only, so that an Auto Scaling group fails with
    HTTP 500 when it starts an instance from a later one; and it adds the template's own tags to the first
    version, which then differs from what was asked for.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplateVersion.html
    """
    data = dict(data)
    user_data = data.pop("UserData", None)
    if user_data is not None:
        data["UserData"] = parse_user_data(user_data) if type(user_data) is str else user_data
    tags = [spec for spec in data.pop("TagSpecifications", []) if spec["ResourceType"] != "launch-template"]
    if tags:
        data["TagSpecifications"] = tags
    return original(self, data, description)


def template_tags(original: Callable[..., list[Any]], self: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """moto describes a template with the tags that it was made with, whatever becomes of them.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplates.html
    """
    templates = original(self, *args, **kwargs)
    for template in templates:
        template.tags = template.get_tags()
    return templates


def nat_gateway_filters(
    original: Callable[..., list[Any]], self: Any, filters: dict[str, list[str]] | None, ids: list[str] | None
) -> list[Any]:
    """moto ignores filters by tag.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeNatGateways.html
    """
    gateways = original(self, filters, ids)
    for name, values in (filters or {}).items():
        if name == "tag-key":
            gateways = [g for g in gateways if any(tag["key"] in values for tag in g.get_tags())]
        elif name.startswith("tag:"):
            key = name.removeprefix("tag:")
            gateways = [
                g
                for g in gateways
                if any(tag["key"] == key and tag["value"] in values for tag in g.get_tags())
            ]
    return gateways


def interface_name(original: Callable[..., None], self: Any, *args: Any, **kwargs: Any) -> None:
    """moto's interfaces have no private DNS name in a VPC without DNS host names, and tasks there fail for it.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NetworkInterface.html
    """
    original(self, *args, **kwargs)
    if not hasattr(self, "private_dns_name"):
        self.private_dns_name = ""


def endpoint_services(
    original: Callable[..., list[dict[str, str]]], account_id: str, region: str
) -> list[dict[str, str]]:
    """moto loads eleven services, CloudFormation and all that it needs with it, to ask each for its endpoint
    service; that takes 60 MiB and libraries that are not installed here. S3 and ECR, which stacks use, are asked;
    the others get the description that most services have.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVpcEndpointServices.html
    """
    asked = [service for service in vpcs.IMPLEMENTED_ENDPOINT_SERVICES if service in {"ecr", "s3"}]
    vpcs.IMPLEMENTED_ENDPOINT_SERVICES[:] = asked
    vpcs.COVERED_ENDPOINT_SERVICES[:] = [*asked, "ecr.api", "ecr.dkr"]
    return original(account_id, region)


def image_of_instance(
    original: Callable[..., Any],
    self: Any,
    instance_id: str,
    name: str,
    description: str,
    tag_specifications: list[dict[str, Any]],
) -> Any:
    """moto answers HTTP 501 when the snapshots of an image are to be tagged too.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html
    """
    others = [spec for spec in tag_specifications if spec["ResourceType"] != "snapshot"]
    image = original(self, instance_id, name, description, others)
    for spec in tag_specifications:
        if spec["ResourceType"] == "snapshot":
            image.ebs_snapshot.add_tags({tag["Key"]: tag["Value"] for tag in spec["Tags"]})
    return image


PATCHES = (
    Patch("ec2-image-tags", amis.AmiBackend, "create_image", image_of_instance),
    Patch("ec2-endpoint-services", vpcs.VPCBackend, "_collect_default_endpoint_services", endpoint_services),
    Patch("ec2-interface-name", elastic_network_interfaces.NetworkInterface, "__init__", interface_name),
    Patch("ec2-template-versions", launch_templates.LaunchTemplate, "create_version", template_versions),
    Patch(
        "ec2-template-tags",
        launch_templates.LaunchTemplateBackend,
        "describe_launch_templates",
        template_tags,
    ),
    Patch("ec2-nat-filters", nat_gateways.NatGatewayBackend, "describe_nat_gateways", nat_gateway_filters),
)
