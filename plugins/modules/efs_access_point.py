#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: efs_access_point
version_added: 1.0.0
short_description: Manage an access point of an Amazon EFS file system
description:
  - Makes or deletes an access point. What it is cannot be changed later, but for its tags.
  - It exists because neither amazon.aws nor community.aws has a module for access points.
seealso:
  - module: pasture.ollama.efs_file_system
    description: Makes them together with their file system.
options:
  name:
    description: Its C(Name) tag, by which it is found.
    type: str
    required: true
  file_system_id:
    description: The file system. Required to make one.
    type: str
  state:
    description: Whether it is to exist. What lies in its folder stays.
    type: str
    choices: [present, absent]
    default: present
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
    description: Tags of the access point.
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
- name: Give the models a folder of their own
  pasture.ollama.efs_access_point:
    name: pasture-docs
    file_system_id: fs-0123456789abcdef0
    path: /models
    tags:
      pasture:stack: docs
"""

RETURN = r"""
access_point:
  description: The access point as it is now, or in check mode as it would be. Null when it is gone.
  returned: always
  type: dict
  contains:
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
    file_system_id:
      description: Its file system.
      returned: always
      type: str
      sample: fs-0123456789abcdef0
    path:
      description: The folder.
      returned: always
      type: str
      sample: /models
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._efs import ACCESS_POINT_OPTIONS, AccessPoint
from ansible_collections.pasture.ollama.plugins.module_utils._resource import ensure_all, report

_SETTINGS = (*ACCESS_POINT_OPTIONS, "tags")


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "file_system_id": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            **ACCESS_POINT_OPTIONS,
            "tags": {"type": "dict"},
            "purge_tags": {"type": "bool", "default": True},
        },
        required_if=[("state", "present", ("file_system_id",))],
        supports_check_mode=True,
    )
    params = module.params
    access_point = AccessPoint(
        Api(module, "efs"),
        params["name"],
        params["file_system_id"],
        {key: params[key] for key in _SETTINGS},
        params["purge_tags"],
    )
    report(module, "access_point", ensure_all(module, [access_point]))


if __name__ == "__main__":
    main()
