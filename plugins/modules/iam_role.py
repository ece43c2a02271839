#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: iam_role
version_added: 1.0.0
short_description: Manage IAM roles with their inline policies and instance profiles
description:
  - Creates, changes or deletes IAM roles, each with all its inline policies and, when asked, its instance profile.
  - It exists because a role with three policies takes five tasks with M(amazon.aws.iam_role) and
    M(amazon.aws.iam_policy), which is five seconds, and because the latter fails in check mode for a role that does
    not exist yet.
options:
  roles:
    description: The roles.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The role's name.
        type: str
        required: true
      description:
        description: What it is for.
        type: str
      trust_policy:
        description: Who may assume it.
        type: dict
      policies:
        description: Its inline policies by name. Others that it has are removed.
        type: dict
      managed_policies:
        description: The ARNs of its managed policies. Others that it has are detached.
        type: list
        elements: str
      permissions_boundary:
        description: The ARN of the policy that bounds what it can ever do.
        type: str
      instance_profile:
        description: Whether it has an instance profile of the same name.
        type: bool
        default: false
      tags:
        description: Its tags.
        type: dict
  path:
    description:
      - The path of the roles and instance profiles.
      - With O(scope), the roles of this path are looked at, so a stack should have a path of its own.
    type: str
    default: /
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
- name: Make a role for tasks
  pasture.ollama.iam_role:
    path: /pasture/docs/
    roles:
      - name: pasture-docs-summarize-task
        trust_policy:
          Version: "2012-10-17"
          Statement:
            - Effect: Allow
              Principal: {Service: ecs-tasks.amazonaws.com}
              Action: sts:AssumeRole
        policies:
          results:
            Version: "2012-10-17"
            Statement:
              - Effect: Allow
                Action: s3:PutObject
                Resource: arn:aws:s3:::results/summarize/*
"""

RETURN = r"""
roles:
  description: The listed roles as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
  sample:
    - name: pasture-docs-summarize-task
      arn: arn:aws:iam::123456789012:role/pasture/docs/pasture-docs-summarize-task
unlisted:
  description: The names of the roles in scope that are not listed.
  returned: always
  type: list
  elements: str
removed:
  description: The names of those that were removed because they are not listed.
  returned: always
  type: list
  elements: str
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._policy import keep_if_same
from ansible_collections.pasture.ollama.plugins.module_utils._resource import State
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

_MISSING = ("NoSuchEntity",)


class Role(Item):
    kind = "IAM role"
    exact_keys = frozenset({"tags", "policies", "trust_policy", "managed_policies"})

    def __init__(self, api: Api, path: str, options: dict[str, Any], purge_tags: bool = True) -> None:
        super().__init__(api, options, purge_tags)
        self.path = path

    def read(self) -> State | None:
        answer = self.api.call("get_role", missing=_MISSING, RoleName=self.name)
        if answer is None:
            return None
        role = answer["Role"]
        names = self.api.pages("list_role_policies", "PolicyNames", RoleName=self.name)
        attached = self.api.pages("list_attached_role_policies", "AttachedPolicies", RoleName=self.name)
        profiles = self.api.pages("list_instance_profiles_for_role", "InstanceProfiles", RoleName=self.name)
        return {
            "name": role["RoleName"],
            "arn": role["Arn"],
            "description": role.get("Description", ""),
            "trust_policy": role.get("AssumeRolePolicyDocument"),
            "policies": {name: self._policy(name) for name in names},
            "managed_policies": sorted(policy["PolicyArn"] for policy in attached),
            "permissions_boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
            "instance_profile": self.name in {profile["InstanceProfileName"] for profile in profiles},
            "tags": tag_dict(role.get("Tags")),
        }

    def _policy(self, name: str) -> dict[str, Any] | None:
        answer = self.api.call("get_role_policy", missing=_MISSING, RoleName=self.name, PolicyName=name)
        return (answer or {}).get("PolicyDocument")

    def wanted(self, current: State | None) -> State:
        wanted = super().wanted(current)
        present = current or {"trust_policy": None, "policies": {}}
        if "trust_policy" in wanted:
            wanted["trust_policy"] = keep_if_same(present["trust_policy"], wanted["trust_policy"])
        if "policies" in wanted:
            wanted["policies"] = {
                name: keep_if_same(present["policies"].get(name), document)
                for name, document in wanted["policies"].items()
            }
        if "managed_policies" in wanted:
            wanted["managed_policies"] = sorted(wanted["managed_policies"])
        return wanted

    def computed(self) -> State:
        return {"arn": unknown(f"ARN of role {self.name}")}

    def create(self, wanted: State) -> None:
        self.api.call(
            "create_role",
            RoleName=self.name,
            Path=self.path,
            AssumeRolePolicyDocument=json.dumps(wanted["trust_policy"]),
            Description=wanted.get("description"),
            PermissionsBoundary=wanted.get("permissions_boundary") or None,
            Tags=upper_list(wanted.get("tags", {})) or None,
        )
        nothing: State = {"policies": {}, "managed_policies": []}
        self._set_policies(nothing, wanted)
        if wanted.get("instance_profile"):
            self._add_profile(wanted.get("tags", {}))

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if "trust_policy" in changed_keys:
            document = json.dumps(wanted["trust_policy"])
            self.api.call("update_assume_role_policy", RoleName=self.name, PolicyDocument=document)
        if "description" in changed_keys:
            self.api.call("update_role", RoleName=self.name, Description=wanted["description"])
        if "permissions_boundary" in changed_keys:
            self._set_boundary(wanted["permissions_boundary"])
        self._set_policies(current, {key: wanted[key] for key in changed_keys})
        if "instance_profile" in changed_keys:
            if wanted["instance_profile"]:
                self._add_profile(wanted.get("tags", {}))
            else:
                self._remove_profile()
        if "tags" in changed_keys:
            change = tag_change(current["tags"], wanted["tags"])
            if change.removed:
                self.api.call("untag_role", RoleName=self.name, TagKeys=change.removed)
            if change.added:
                self.api.call("tag_role", RoleName=self.name, Tags=upper_list(change.added))

    def _set_boundary(self, arn: str) -> None:
        if arn:
            self.api.call("put_role_permissions_boundary", RoleName=self.name, PermissionsBoundary=arn)
        else:
            self.api.call("delete_role_permissions_boundary", RoleName=self.name)

    def _set_policies(self, current: State, wanted: State) -> None:
        inline = wanted.get("policies", current["policies"])
        for name, document in inline.items():
            if current["policies"].get(name) != document:
                text = json.dumps(document)
                self.api.call("put_role_policy", RoleName=self.name, PolicyName=name, PolicyDocument=text)
        for name in set(current["policies"]) - set(inline):
            self.api.call("delete_role_policy", missing=_MISSING, RoleName=self.name, PolicyName=name)
        attached = wanted.get("managed_policies", current["managed_policies"])
        for arn in set(attached) - set(current["managed_policies"]):
            self.api.call("attach_role_policy", RoleName=self.name, PolicyArn=arn)
        for arn in set(current["managed_policies"]) - set(attached):
            self.api.call("detach_role_policy", missing=_MISSING, RoleName=self.name, PolicyArn=arn)

    def _add_profile(self, tags: dict[str, str]) -> None:
        # An interrupted run may have left the profile without its role.
        found = self.api.call("get_instance_profile", missing=_MISSING, InstanceProfileName=self.name)
        if found is None:
            self.api.call(
                "create_instance_profile",
                InstanceProfileName=self.name,
                Path=self.path,
                Tags=upper_list(tags) or None,
            )
        self.api.call("add_role_to_instance_profile", InstanceProfileName=self.name, RoleName=self.name)

    def _remove_profile(self) -> None:
        self.api.call(
            "remove_role_from_instance_profile",
            missing=_MISSING,
            InstanceProfileName=self.name,
            RoleName=self.name,
        )
        self.api.call("delete_instance_profile", missing=_MISSING, InstanceProfileName=self.name)

    def delete(self, current: State) -> None:
        # Also when it is not the role's: an interrupted run leaves a profile that has no role yet.
        self._remove_profile()
        self._set_policies(current, {"policies": {}, "managed_policies": []})
        self.api.call("delete_role", missing=_MISSING, RoleName=self.name)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "roles": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "description": {"type": "str"},
                    "trust_policy": {"type": "dict"},
                    "policies": {"type": "dict"},
                    "managed_policies": {"type": "list", "elements": "str"},
                    "permissions_boundary": {"type": "str"},
                    "instance_profile": {"type": "bool", "default": False},
                    "tags": {"type": "dict"},
                },
            },
            "path": {"type": "str", "default": "/"},
            **SET_OPTIONS,
        },
        supports_check_mode=True,
        **SET_REQUIREMENTS,
    )
    api = Api(module, "iam")
    path = module.params["path"]

    def read_tags(name: str) -> Tags:
        # ListRoles leaves the tags out.
        answer = api.call("list_role_tags", missing=_MISSING, RoleName=name) or {}
        return tag_dict(answer.get("Tags"))

    def find(_scope: Tags) -> Iterator[Candidate]:
        for found in api.pages("list_roles", "Roles", PathPrefix=path):
            yield Candidate(
                Role(api, path, {"name": found["RoleName"]}), partial(read_tags, found["RoleName"])
            )

    listed = [Role(api, path, options, module.params["purge_tags"]) for options in module.params["roles"]]
    run_set(module, "roles", [listed], find)


if __name__ == "__main__":
    main()
