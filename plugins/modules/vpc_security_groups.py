#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vpc_security_groups
version_added: 1.0.0
short_description: Manage security groups that name each other, in one process
description:
  - Makes a set of security groups of a VPC with their TCP rules. Rules that are not listed are removed.
  - It exists because groups that name each other take two tasks each of M(amazon.aws.ec2_security_group) at
    four seconds, and because that module returns no ids in check mode.
  - Groups are found by their C(Name) tag and the tag C(pasture:stack), which must be among O(tags).
options:
  vpc_id:
    description: The VPC. Required to make groups; without it, O(state=absent) looks in all VPCs.
    type: str
  state:
    description: Whether the groups are to exist.
    type: str
    choices: [present, absent]
    default: present
  groups:
    description: The groups.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The group's name.
        type: str
        required: true
      description:
        description: What the group is for. Cannot be changed later.
        type: str
        default: Managed by Ansible
      ingress:
        description: Who may come in.
        type: list
        elements: dict
        default: []
        suboptions:
          peers:
            description: CIDRs, names of groups of O(groups), ids of other ones, and names or ids of prefix
              lists.
            type: list
            elements: str
            required: true
          ports:
            description: TCP ports.
            type: list
            elements: int
            required: true
      egress:
        description: Where to the members may go.
        type: list
        elements: dict
        default: []
        suboptions:
          peers:
            description: As with O(groups[].ingress[].peers).
            type: list
            elements: str
            required: true
          ports:
            description: TCP ports.
            type: list
            elements: int
            required: true
  tags:
    description: Tags of all groups, with C(pasture:stack) among them. Others are removed.
    type: dict
    required: true
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Let tasks reach the file system, and nothing else
  pasture.ollama.vpc_security_groups:
    vpc_id: vpc-0123456789abcdef0
    groups:
      - name: pasture-docs-cluster
        egress:
          - {peers: [pasture-docs-cache], ports: [2049]}
      - name: pasture-docs-cache
        ingress:
          - {peers: [pasture-docs-cluster], ports: [2049]}
    tags:
      pasture:stack: docs
"""

RETURN = r"""
group_ids:
  description: The id of each group by its name. In check mode, ids that are not known yet are a text in
    parentheses.
  returned: when O(state=present)
  type: dict
  sample: {pasture-docs-cluster: sg-0123456789abcdef0}
resources:
  description: Groups and rules as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
"""

from collections.abc import Sequence
from typing import Any, NoReturn

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._ec2 import OWNER_TAG
from ansible_collections.pasture.ollama.plugins.module_utils._ec2_security import GroupRules, SecurityGroup
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal, ensure_all, report

_RULES = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "peers": {"type": "list", "elements": "str", "required": True},
        "ports": {"type": "list", "elements": "int", "required": True},
    },
}


def prefix_lists(api: Api, names: Sequence[str]) -> dict[str, str]:
    """The ids of the prefix lists of these names, such as C(com.amazonaws.eu-west-1.s3)."""
    if not names:
        return {}
    named = [{"Name": "prefix-list-name", "Values": sorted(names)}]
    found = api.pages("describe_prefix_lists", "PrefixLists", Filters=named)
    return {one["PrefixListName"]: one["PrefixListId"] for one in found}


def resolve(rules: Sequence[dict[str, Any]], ids: dict[str, str]) -> dict[str, list[int]]:
    """Peers as EC2 knows them, with their ports."""
    ports: dict[str, list[int]] = {}
    for rule in rules:
        for peer in rule["peers"]:
            ports.setdefault(ids.get(peer, peer), []).extend(rule["ports"])
    return ports


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "vpc_id": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "groups": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "description": {"type": "str", "default": "Managed by Ansible"},
                    "ingress": _RULES,
                    "egress": _RULES,
                },
            },
            "tags": {"type": "dict", "required": True},
        },
        required_if=[("state", "present", ("vpc_id",))],
        supports_check_mode=True,
    )
    params = module.params
    if OWNER_TAG not in params["tags"]:
        module.fail_json(msg=f"tags must hold {OWNER_TAG}, by which the groups are found again.")
    api = Api(module, "ec2")
    tags = {str(key): str(value) for key, value in params["tags"].items()}
    groups = [
        SecurityGroup(api, group["name"], tags, params["vpc_id"], group["description"])
        for group in params["groups"]
    ]
    try:
        if params["state"] == "absent":
            remove(module, groups)
        else:
            make(module, api, groups)
    except AwsError as error:
        module.fail_json_aws(
            error.cause, msg=f"The groups could not be read ({error.operation}). {error.remedy}"
        )
    except Refusal as error:
        module.fail_json(msg=f"The security groups are not clear: {error}.")


def remove(module: Any, groups: Sequence[SecurityGroup]) -> NoReturn:
    """Take the rules first: two groups that name each other hold each other."""
    present = [(group, current) for group in groups if (current := group.read())]
    emptied = ensure_all(
        module,
        [GroupRules(group.api, group.name, current["group_id"], {}, {}) for group, current in present],
        "present",
    )
    gone = ensure_all(module, [group for group, _current in present], "absent")
    report(module, "resources", [*emptied, *gone], many=True)


def make(module: Any, api: Api, groups: Sequence[SecurityGroup]) -> NoReturn:
    """Make the groups first: they name each other in their rules."""
    given = module.params["groups"]
    outcomes = ensure_all(module, groups)
    ids = {outcome.resource.name: str((outcome.after or {})["group_id"]) for outcome in outcomes}
    peers = {
        peer for group in given for rule in [*group["ingress"], *group["egress"]] for peer in rule["peers"]
    }
    known = {**ids, **prefix_lists(api, [peer for peer in peers if peer.startswith("com.amazonaws.")])}
    rules = [
        GroupRules(
            api,
            group["name"],
            ids[group["name"]],
            resolve(group["ingress"], known),
            resolve(group["egress"], known),
        )
        for group in given
    ]
    outcomes += ensure_all(module, rules)
    report(module, "resources", outcomes, many=True, group_ids=ids)


if __name__ == "__main__":
    main()
