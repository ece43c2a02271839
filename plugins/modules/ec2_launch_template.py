#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_launch_template
version_added: 1.0.0
short_description: Manage Amazon EC2 launch templates of container instances
description:
  - Makes a new version of a launch template when, and only when, the newest one differs.
  - It exists to make the templates of a whole stack in one process. Its instances always have an encrypted gp3 root
    volume and version 2 of the instance metadata service, reached from the instance alone.
options:
  launch_templates:
    description: The launch templates.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The template's name.
        type: str
        required: true
      image_id:
        description: An AMI's id, or C(resolve:ssm:) and the name of an SSM parameter, resolved at each launch.
        type: str
      instance_type:
        description: The instance type.
        type: str
      instance_profile:
        description: The name of the instance profile.
        type: str
      security_group_ids:
        description: The security groups of the instances.
        type: list
        elements: str
      user_data:
        description: The user data, as plain text.
        type: str
      device_name:
        description: The name of the root device.
        type: str
        default: /dev/xvda
      volume_size:
        description: The size of the root volume in GiB.
        type: int
      volume_throughput:
        description: The throughput of the root volume in MiB/s.
        type: int
        default: 125
      kms_key_arn:
        description: The key that encrypts the root volume. EBS's own key when not given.
        type: str
      tags:
        description: Tags of the template, and of the instances and volumes launched from it.
        type: dict
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - pasture.ollama.sets
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make the template of GPU instances
  pasture.ollama.ec2_launch_template:
    launch_templates:
      - name: pasture-docs-summarize
        image_id: resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id
        instance_type: g5.xlarge
        instance_profile: pasture-docs-instance
        security_group_ids: [sg-0123]
        volume_size: 60
"""

RETURN = r"""
launch_templates:
  description: The listed templates as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
  sample:
    - name: pasture-docs-summarize
      id: lt-0123456789abcdef0
      version: 1
unlisted:
  description: The names of the templates in scope that are not listed.
  returned: always
  type: list
  elements: str
removed:
  description: The names of those that were removed because they are not listed.
  returned: always
  type: list
  elements: str
"""

import base64
from collections.abc import Iterator
from functools import partial
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._resource import State, differing_keys
from ansible_collections.pasture.ollama.plugins.module_utils._sets import (
    SET_OPTIONS,
    SET_REQUIREMENTS,
    Candidate,
    Item,
    Tags,
    run_set,
)
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_change, tag_dict, upper_list
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

_MISSING = (
    "InvalidLaunchTemplateName.NotFoundException",
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateId.NotFoundException",
)


def template_state(template: dict[str, Any], version: dict[str, Any]) -> State:
    """A template with its newest version in the terms of the module's options."""
    data = version.get("LaunchTemplateData") or {}
    device = next(iter(data.get("BlockDeviceMappings") or []), {})
    volume = device.get("Ebs") or {}
    encoded = data.get("UserData")
    state = {
        "name": template["LaunchTemplateName"],
        "id": template["LaunchTemplateId"],
        "version": version["VersionNumber"],
        "image_id": data.get("ImageId"),
        "instance_type": data.get("InstanceType"),
        "instance_profile": (data.get("IamInstanceProfile") or {}).get("Name"),
        "security_group_ids": sorted(data.get("SecurityGroupIds") or []),
        "user_data": base64.b64decode(encoded).decode() if encoded else None,
        "device_name": device.get("DeviceName"),
        "volume_size": volume.get("VolumeSize"),
        "volume_throughput": volume.get("Throughput", 125),
        "tags": tag_dict(template.get("Tags")),
    }
    if volume.get("KmsKeyId"):
        state["kms_key_arn"] = volume["KmsKeyId"]
    return state


def template_data(wanted: State) -> dict[str, Any]:
    """The data of a version."""
    volume = {
        "VolumeType": "gp3",
        "VolumeSize": wanted["volume_size"],
        "Throughput": wanted["volume_throughput"],
        "Encrypted": True,
        "DeleteOnTermination": True,
    }
    if wanted.get("kms_key_arn"):
        volume["KmsKeyId"] = wanted["kms_key_arn"]
    data = {
        "ImageId": wanted["image_id"],
        "InstanceType": wanted["instance_type"],
        "IamInstanceProfile": {"Name": wanted["instance_profile"]},
        "SecurityGroupIds": wanted["security_group_ids"],
        "UserData": base64.b64encode(wanted["user_data"].encode()).decode(),
        "BlockDeviceMappings": [{"DeviceName": wanted["device_name"], "Ebs": volume}],
        # One hop: a container in awsvpc mode is a second one, and does not reach the instance's role.
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "HttpEndpoint": "enabled",
        },
    }
    tags = upper_list(wanted.get("tags", {}))
    if tags:
        data["TagSpecifications"] = [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")]
    return data


class LaunchTemplate(Item):
    kind = "EC2 launch template"

    def read(self) -> State | None:
        described = self.api.call(
            "describe_launch_templates", missing=_MISSING, LaunchTemplateNames=[self.name]
        )
        templates = (described or {}).get("LaunchTemplates") or []
        if not templates:
            return None
        versions = self.api.call(
            "describe_launch_template_versions", LaunchTemplateName=self.name, Versions=["$Latest"]
        )
        return template_state(templates[0], (versions or {})["LaunchTemplateVersions"][0])

    def wanted(self, current: State | None) -> State:
        wanted = super().wanted(current)
        if "security_group_ids" in wanted:
            wanted["security_group_ids"] = sorted(wanted["security_group_ids"])
        if current is not None and differing_keys(current, wanted, self.exact_keys):
            # A change is a new version, whose number is known only once it is there.
            wanted["version"] = unknown(f"version of launch template {self.name}")
        return wanted

    def computed(self) -> State:
        return {"id": unknown("launch template"), "version": 1}

    def create(self, wanted: State) -> None:
        self.api.call(
            "create_launch_template",
            LaunchTemplateName=self.name,
            LaunchTemplateData=template_data(wanted),
            TagSpecifications=[
                {"ResourceType": "launch-template", "Tags": upper_list(wanted.get("tags", {}))}
            ]
            if wanted.get("tags")
            else None,
        )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        made = self.api.call(
            "create_launch_template_version",
            LaunchTemplateName=self.name,
            LaunchTemplateData=template_data({**current, **wanted}),
        )
        version = (made or {})["LaunchTemplateVersion"]["VersionNumber"]
        self.api.call("modify_launch_template", LaunchTemplateName=self.name, DefaultVersion=str(version))
        if "tags" in changed_keys:
            change = tag_change(current["tags"], wanted["tags"])
            if change.removed:
                gone = [{"Key": key} for key in change.removed]
                self.api.call("delete_tags", Resources=[current["id"]], Tags=gone)
            if change.added:
                self.api.call("create_tags", Resources=[current["id"]], Tags=upper_list(change.added))

    def delete(self, current: State) -> None:
        self.api.call("delete_launch_template", missing=_MISSING, LaunchTemplateName=self.name)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "launch_templates": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "image_id": {"type": "str"},
                    "instance_type": {"type": "str"},
                    "instance_profile": {"type": "str"},
                    "security_group_ids": {"type": "list", "elements": "str"},
                    "user_data": {"type": "str"},
                    "device_name": {"type": "str", "default": "/dev/xvda"},
                    "volume_size": {"type": "int"},
                    "volume_throughput": {"type": "int", "default": 125},
                    "kms_key_arn": {"type": "str", "no_log": False},
                    "tags": {"type": "dict"},
                },
            },
            **SET_OPTIONS,
        },
        supports_check_mode=True,
        **SET_REQUIREMENTS,
    )
    api = Api(module, "ec2")

    def find(scope: Tags) -> Iterator[Candidate]:
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in scope.items()]
        for found in api.pages("describe_launch_templates", "LaunchTemplates", Filters=filters):
            template = LaunchTemplate(api, {"name": found["LaunchTemplateName"]})
            yield Candidate(template, partial(tag_dict, found.get("Tags")))

    listed = [
        LaunchTemplate(api, options, module.params["purge_tags"])
        for options in module.params["launch_templates"]
    ]
    run_set(module, "launch_templates", [listed], find)


if __name__ == "__main__":
    main()
