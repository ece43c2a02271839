#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ecs_capacity_provider
version_added: 1.0.0
short_description: Manage Amazon ECS capacity providers for Auto Scaling groups
description:
  - Creates, changes or deletes the capacity providers that let ECS start and end the instances of Auto Scaling
    groups.
  - It exists because neither amazon.aws nor community.aws has a module for capacity providers.
  - A capacity provider must be attached to a cluster with M(pasture.ollama.ecs_cluster) before a service can use it,
    and detached before it can be deleted.
options:
  capacity_providers:
    description: The capacity providers.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      auto_scaling_group:
        description: The name of its Auto Scaling group. It cannot be changed later.
        type: str
      target_capacity:
        description: The percentage of the instances that are to be used; 100 starts an instance only for a task that
          waits.
        type: int
        default: 100
      instance_warmup:
        description: The seconds after which a new instance counts.
        type: int
        default: 300
      minimum_step:
        description: The smallest number of instances that is started or ended at once.
        type: int
        default: 1
      maximum_step:
        description: The largest number of instances that is started or ended at once.
        type: int
        default: 10000
      termination_protection:
        description:
          - Keep instances that run a task from being ended by a scale-in.
          - The Auto Scaling group must protect its new instances from scale-in.
        type: bool
        default: true
      draining:
        description: Let ECS drain an instance, moving its tasks away, before it is ended.
        type: bool
        default: true
      tags:
        description: Its tags.
        type: dict
  wait_timeout:
    description: Seconds to wait until a capacity provider is gone.
    type: int
    default: 300
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
- name: Let ECS scale the instances of a group
  pasture.ollama.ecs_capacity_provider:
    capacity_providers:
      - name: pasture-docs-summarize
        auto_scaling_group: pasture-docs-summarize
        tags:
          pasture:stack: docs
"""

RETURN = r"""
capacity_providers:
  description: The listed capacity providers as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
  sample:
    - name: pasture-docs-summarize
      arn: arn:aws:ecs:eu-west-1:123456789012:capacity-provider/pasture-docs-summarize
      auto_scaling_group: pasture-docs-summarize
      target_capacity: 100
unlisted:
  description: The names of those in scope that are not listed.
  returned: always
  type: list
  elements: str
removed:
  description: The names of those that were removed because they are not listed.
  returned: always
  type: list
  elements: str
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._ecs import apply_tags
from ansible_collections.pasture.ollama.plugins.module_utils._resource import (
    Refusal,
    State,
    wait_until,
)
from ansible_collections.pasture.ollama.plugins.module_utils._sets import (
    SET_OPTIONS,
    SET_REQUIREMENTS,
    Candidate,
    Item,
    Tags,
    run_set,
)
from ansible_collections.pasture.ollama.plugins.module_utils._tags import lower_list, tag_dict
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

_SWITCH = {True: "ENABLED", False: "DISABLED"}


def provider_state(found: dict[str, Any]) -> State:
    """A described capacity provider in the terms of the module's options."""
    group = found.get("autoScalingGroupProvider") or {}
    scaling = group.get("managedScaling") or {}
    arn = group.get("autoScalingGroupArn", "")
    state = {
        "name": found["name"],
        "arn": found["capacityProviderArn"],
        "auto_scaling_group": arn.rsplit("autoScalingGroupName/", 1)[-1],
        "auto_scaling_group_arn": arn,
        "target_capacity": scaling.get("targetCapacity"),
        "instance_warmup": scaling.get("instanceWarmupPeriod", 300),
        "minimum_step": scaling.get("minimumScalingStepSize", 1),
        "maximum_step": scaling.get("maximumScalingStepSize", 10000),
        "termination_protection": group.get("managedTerminationProtection") == "ENABLED",
        "tags": tag_dict(found.get("tags")),
    }
    # Not every endpoint returns it; what is not returned cannot be compared.
    if "managedDraining" in group:
        state["draining"] = group["managedDraining"] == "ENABLED"
    return state


def provider_request(wanted: State) -> dict[str, Any]:
    """What create and update have in common."""
    return {
        "managedScaling": {
            "status": "ENABLED",
            "targetCapacity": wanted["target_capacity"],
            "minimumScalingStepSize": wanted["minimum_step"],
            "maximumScalingStepSize": wanted["maximum_step"],
            "instanceWarmupPeriod": wanted["instance_warmup"],
        },
        "managedTerminationProtection": _SWITCH[wanted["termination_protection"]],
        "managedDraining": _SWITCH[wanted["draining"]],
    }


class CapacityProvider(Item):
    kind = "ECS capacity provider"

    def __init__(
        self, api: Api, groups: Api, options: dict[str, Any], purge_tags: bool = True, timeout: int = 300
    ) -> None:
        super().__init__(api, options, purge_tags)
        self.groups = groups
        self.timeout = timeout

    def _describe(self) -> dict[str, Any] | None:
        answer = self.api.call("describe_capacity_providers", capacityProviders=[self.name], include=["TAGS"])
        found = [p for p in (answer or {}).get("capacityProviders", []) if p.get("status") != "INACTIVE"]
        return found[0] if found else None

    def read(self) -> State | None:
        found = self._describe()
        return provider_state(found) if found else None

    def wanted(self, current: State | None) -> State:
        wanted = super().wanted(current)
        if current is None:
            return wanted
        if "draining" not in current:
            wanted.pop("draining", None)
        return wanted

    def computed(self) -> State:
        return {"arn": unknown("capacity provider ARN")}

    def _group_arn(self) -> str:
        name = self.options.get("auto_scaling_group")
        answer = (
            self.groups.call("describe_auto_scaling_groups", AutoScalingGroupNames=[name]) if name else None
        )
        found = (answer or {}).get("AutoScalingGroups")
        if not found:
            raise Refusal(f"There is no Auto Scaling group {name}. Make it first, then run again")
        return str(found[0]["AutoScalingGroupARN"])

    def create(self, wanted: State) -> None:
        self.api.call(
            "create_capacity_provider",
            name=self.name,
            autoScalingGroupProvider={"autoScalingGroupArn": self._group_arn(), **provider_request(wanted)},
            tags=lower_list(wanted.get("tags", {})) or None,
        )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if "auto_scaling_group" in changed_keys:
            raise Refusal(
                f"It belongs to the Auto Scaling group {current['auto_scaling_group']} and cannot be given to "
                f"{wanted['auto_scaling_group']}. Remove it first, then run again"
            )
        if changed_keys - {"tags"}:
            self.api.call(
                "update_capacity_provider",
                name=self.name,
                autoScalingGroupProvider=provider_request({**self.options, **wanted}),
            )
        if "tags" in changed_keys:
            apply_tags(self.api, current["arn"], current["tags"], wanted["tags"])

    def delete(self, current: State) -> None:
        self.api.call("delete_capacity_provider", capacityProvider=self.name)

    def settle(self, present: bool) -> None:
        if not present:
            wait_until("gone", self._describe, lambda found: found is None, self.timeout)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "capacity_providers": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "auto_scaling_group": {"type": "str"},
                    "target_capacity": {"type": "int", "default": 100},
                    "instance_warmup": {"type": "int", "default": 300},
                    "minimum_step": {"type": "int", "default": 1},
                    "maximum_step": {"type": "int", "default": 10000},
                    "termination_protection": {"type": "bool", "default": True},
                    "draining": {"type": "bool", "default": True},
                    "tags": {"type": "dict"},
                },
            },
            "wait_timeout": {"type": "int", "default": 300},
            **SET_OPTIONS,
        },
        supports_check_mode=True,
        **SET_REQUIREMENTS,
    )
    ecs, groups = Api(module, "ecs"), Api(module, "autoscaling")
    timeout = module.params["wait_timeout"]

    def find(_scope: Tags) -> Iterator[Candidate]:
        for found in ecs.pages("describe_capacity_providers", "capacityProviders", include=["TAGS"]):
            if found.get("status") != "INACTIVE":
                provider = CapacityProvider(ecs, groups, {"name": found["name"]}, timeout=timeout)
                yield Candidate(provider, partial(tag_dict, found.get("tags")))

    listed = [
        CapacityProvider(ecs, groups, options, module.params["purge_tags"], timeout)
        for options in module.params["capacity_providers"]
    ]
    run_set(module, "capacity_providers", [listed], find)


if __name__ == "__main__":
    main()
