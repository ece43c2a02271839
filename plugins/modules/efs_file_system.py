#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: efs_file_system
version_added: 1.0.0
short_description: Manage an Amazon EFS file system with its mount targets and access points
description:
  - Makes, changes or deletes a file system and its mount targets, which are made side by side and awaited
    once.
  - It exists because M(community.aws.efs) uses a deprecated API, knows no elastic throughput, no policy and
    no backups, and has no check mode.
options:
  name:
    description: The name of the file system, which is its creation token and its C(Name) tag.
    type: str
    required: true
  state:
    description: Whether it is to exist. With V(absent) it goes with all its mount targets and everything in
      it.
    type: str
    choices: [present, absent]
    default: present
  throughput_mode:
    description: How throughput is given and paid for.
    type: str
    choices: [elastic, bursting]
  encrypted:
    description: Whether it is encrypted. Decided when it is made.
    type: bool
    default: true
  kms_key_id:
    description:
      - The ARN of the key it is encrypted with; that of AWS for EFS when not given.
      - Decided when it is made. One that exists keeps its key.
    type: str
  backup:
    description: Whether AWS Backup makes a copy each day.
    type: bool
  policy:
    description: What clients may do. Without one, everyone who reaches a mount target may do everything.
      V({}) removes it.
    type: dict
  subnet_ids:
    description:
      - The subnets that get a mount target. Of subnets in the same availability zone only the first gets one,
        as EFS allows no more. Mount targets in other subnets are removed. Left alone when not given.
    type: list
    elements: str
  security_group_ids:
    description: The groups of the mount targets.
    type: list
    elements: str
  access_points:
    description:
      - The access points that it is to have. Others are left alone; M(pasture.ollama.efs_access_point) removes them.
      - What one is cannot be changed later, but for its tags.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its C(Name) tag, by which it is found.
        type: str
        required: true
      path:
        description: The folder that clients see as the root. It is made when it does not exist.
        type: str
        default: /
      uid:
        description: The user that all clients are.
        type: int
        default: 1000
      gid:
        description: The group that all clients are.
        type: int
        default: 1000
      permissions:
        description: The mode of the folder when it is made, in octal digits.
        type: str
        default: "0750"
  tags:
    description: Tags of the file system and of its access points.
    type: dict
  purge_tags:
    description: Remove tags that are not given. Tags that AWS sets by itself always stay.
    type: bool
    default: true
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make a file system that is fast when it has to be
  pasture.ollama.efs_file_system:
    name: pasture-docs
    throughput_mode: elastic
    subnet_ids: [subnet-0123456789abcdef0, subnet-0123456789abcdef1]
    security_group_ids: [sg-0123456789abcdef0]
    access_points:
      - name: pasture-docs
        path: /models
    tags:
      pasture:stack: docs
"""

RETURN = r"""
file_system:
  description: The file system as it is now, or in check mode as it would be. Null when it is gone.
  returned: always
  type: dict
  contains:
    file_system_id:
      description: Its id.
      returned: always
      type: str
      sample: fs-0123456789abcdef0
    arn:
      description: Its ARN.
      returned: always
      type: str
      sample: arn:aws:elasticfilesystem:eu-west-1:123456789012:file-system/fs-0123456789abcdef0
    throughput_mode:
      description: How throughput is given.
      returned: always
      type: str
      sample: elastic
    kms_key_id:
      description: The ARN of its key.
      returned: when it is known
      type: str
access_points:
  description: Those of O(access_points) as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The access point's name.
      returned: always
      type: str
      sample: pasture-docs
    access_point_id:
      description: Its id.
      returned: always
      type: str
      sample: fsap-0123456789abcdef0
    arn:
      description: Its ARN.
      returned: always
      type: str
      sample: arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-0123456789abcdef0
    path:
      description: The folder.
      returned: always
      type: str
      sample: /models
mount_targets:
  description: Its mount targets.
  returned: always
  type: list
  elements: dict
  contains:
    mount_target_id:
      description: The mount target's id.
      returned: always
      type: str
      sample: fsmt-0123456789abcdef0
    subnet_id:
      description: Its subnet.
      returned: always
      type: str
      sample: subnet-0123456789abcdef0
"""

from typing import Any, NoReturn

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._ec2_addressing import one_per_zone
from ansible_collections.pasture.ollama.plugins.module_utils._efs import (
    ACCESS_POINT_OPTIONS,
    AccessPoint,
    FileSystem,
    MountTarget,
    await_mount_targets,
    find_file_system,
    mount_targets,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import (
    Outcome,
    Refusal,
    WaitTimeout,
    ensure_all,
)
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import is_unknown

_SETTINGS = ("throughput_mode", "encrypted", "kms_key_id", "backup", "policy", "tags")


def subnets_to_mount(module: Any, mounted: set[str]) -> list[str]:
    """The given subnets, without those in the zone of another one before them.

    :param mounted: the subnets that have a mount target. EFS lets a zone have one, so these need not be asked for.
    """
    given: list[str] = module.params["subnet_ids"]
    return given if mounted.issuperset(given) else one_per_zone(given, zones_of(module, given))


def zones_of(module: Any, subnet_ids: list[str]) -> dict[str, str]:
    """The availability zone of each subnet that exists."""
    if not subnet_ids or is_unknown(subnet_ids):
        return {}
    found = Api(module, "ec2").pages("describe_subnets", "Subnets", SubnetIds=subnet_ids)
    return {one["SubnetId"]: one["AvailabilityZone"] for one in found}


def present(module: Any, api: Api) -> NoReturn:
    params = module.params
    (file_system,) = ensure_all(
        module,
        [FileSystem(api, params["name"], {key: params[key] for key in _SETTINGS}, params["purge_tags"])],
    )
    file_system_id = str((file_system.after or {})["file_system_id"])
    points = ensure_all(
        module,
        [
            AccessPoint(
                api,
                given["name"],
                file_system_id,
                {**{key: given[key] for key in ACCESS_POINT_OPTIONS}, "tags": params["tags"]},
                params["purge_tags"],
            )
            for given in params["access_points"]
        ],
    )
    targets: list[Outcome] = []
    if params["subnet_ids"] is not None:
        mounted = {
            one["SubnetId"]
            for one in mount_targets(api, file_system_id)
            if one["LifeCycleState"] != "deleting"
        }
        subnet_ids = subnets_to_mount(module, mounted)
        surplus = [
            MountTarget(api, file_system_id, subnet_id)
            for subnet_id in sorted(mounted.difference(subnet_ids))
        ]
        # First away, then there: a zone has room for one.
        targets += ensure_all(module, surplus, "absent")
        if targets and not module.check_mode:
            await_mount_targets(api, file_system_id)
        groups = params["security_group_ids"]
        targets += ensure_all(module, [MountTarget(api, file_system_id, one, groups) for one in subnet_ids])
        if not module.check_mode:
            await_mount_targets(api, file_system_id)
    leave(module, file_system, points, targets)


def absent(module: Any, api: Api) -> NoReturn:
    name = module.params["name"]
    found = find_file_system(api, name)
    targets: list[Outcome] = []
    if found:
        file_system_id = found["FileSystemId"]
        present_targets = mount_targets(api, file_system_id)
        targets = ensure_all(
            module, [MountTarget(api, file_system_id, one["SubnetId"]) for one in present_targets], "absent"
        )
        if not module.check_mode:
            await_mount_targets(api, file_system_id)
    (file_system,) = ensure_all(module, [FileSystem(api, name, {})], "absent")
    leave(module, file_system, [], targets)


def leave(module: Any, file_system: Outcome, points: list[Outcome], targets: list[Outcome]) -> NoReturn:
    outcomes = [file_system, *points, *targets]
    module.exit_json(
        changed=any(outcome.changed for outcome in outcomes),
        file_system=file_system.after,
        access_points=[{"name": point.resource.name, **(point.after or {})} for point in points],
        mount_targets=[outcome.after for outcome in targets if outcome.after],
        diff=[outcome.diff for outcome in outcomes if outcome.changed],
    )
    raise AssertionError("exit_json does not return")  # for the type checker: AnsibleModule is untyped


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "throughput_mode": {"type": "str", "choices": ["elastic", "bursting"]},
            "encrypted": {"type": "bool", "default": True},
            "kms_key_id": {"type": "str", "no_log": False},
            "backup": {"type": "bool"},
            "policy": {"type": "dict"},
            "subnet_ids": {"type": "list", "elements": "str"},
            "security_group_ids": {"type": "list", "elements": "str"},
            "access_points": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"name": {"type": "str", "required": True}, **ACCESS_POINT_OPTIONS},
            },
            "tags": {"type": "dict"},
            "purge_tags": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    api = Api(module, "efs")
    name = module.params["name"]
    try:
        if module.params["state"] == "absent":
            absent(module, api)
        else:
            present(module, api)
    except AwsError as error:
        module.fail_json_aws(
            error.cause, msg=f"EFS file system {name} could not be read ({error.operation}). {error.remedy}"
        )
    except (Refusal, WaitTimeout) as error:
        module.fail_json(msg=f"EFS file system {name} is not ready: {error}.")


if __name__ == "__main__":
    main()
