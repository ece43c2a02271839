#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: auto_scaling_group
version_added: 1.0.0
short_description: Manage Amazon EC2 Auto Scaling groups whose size belongs to scaling
description:
  - Creates, changes or deletes Auto Scaling groups that launch from a launch template.
  - It exists because M(amazon.aws.autoscaling_group) cannot protect new instances from scale-in, which a capacity
    provider with managed termination protection needs, and reports a change on every run in check mode.
  - A group is made with no instances; its desired capacity is never sent after that.
  - It also cannot make a warm pool, which no module can.
options:
  auto_scaling_groups:
    description: The groups.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The group's name.
        type: str
        required: true
      launch_template:
        description: The name of its launch template, whose latest version it launches.
        type: str
      max_size:
        description: The largest number of instances. The smallest is always 0.
        type: int
      subnet_ids:
        description: The subnets of its instances.
        type: list
        elements: str
      protect_new_instances:
        description: Protect new instances from scale-in until ECS lifts it.
        type: bool
        default: true
      spot:
        description: Launch Spot instances only, from the pools with the best mix of price and capacity, and replace
          those at risk.
        type: bool
        default: false
      warm_instances:
        description:
          - How many instances are kept booted and stopped, those in service counted, so that the next ones start
            faster. Their disks are paid for.
          - They are not returned to the pool when the group shrinks, but made anew, which is all that Amazon ECS
            supports.
          - Not together with O(auto_scaling_groups[].spot).
        type: int
        default: 0
      tags:
        description: Its tags. Its instances get them too.
        type: dict
  wait_timeout:
    description: Seconds to wait until a group and its instances are gone.
    type: int
    default: 900
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
- name: Let up to ten instances be launched
  pasture.ollama.auto_scaling_group:
    auto_scaling_groups:
      - name: pasture-docs-summarize
        launch_template: pasture-docs-summarize
        max_size: 10
        subnet_ids: [subnet-0123, subnet-4567]
        tags:
          pasture:stack: docs
"""

RETURN = r"""
auto_scaling_groups:
  description: The listed groups as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
  sample:
    - name: pasture-docs-summarize
      arn: arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:0123:autoScalingGroupName/pasture-docs-summarize
      max_size: 10
unlisted:
  description: The names of the groups in scope that are not listed.
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

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._resource import State, wait_until
from ansible_collections.pasture.ollama.plugins.module_utils._sets import (
    SET_OPTIONS,
    SET_REQUIREMENTS,
    Candidate,
    Item,
    Tags,
    run_set,
)
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_change, tag_dict
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

# ECS puts this on the group of a capacity provider and refuses to scale a group without it.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/asg-capacity-providers.html
_ECS_TAG = "AmazonECSManaged"
_METRICS = ["GroupDesiredCapacity", "GroupInServiceInstances", "GroupPendingInstances"]


def group_state(found: dict[str, Any]) -> State:
    """A described group in the terms of the module's options."""
    mixed = found.get("MixedInstancesPolicy") or {}
    template = found.get("LaunchTemplate") or mixed.get("LaunchTemplate", {}).get(
        "LaunchTemplateSpecification", {}
    )
    return {
        "name": found["AutoScalingGroupName"],
        "arn": found["AutoScalingGroupARN"],
        "launch_template": template.get("LaunchTemplateName"),
        "max_size": found["MaxSize"],
        "subnet_ids": sorted(filter(None, (found.get("VPCZoneIdentifier") or "").split(","))),
        "protect_new_instances": bool(found.get("NewInstancesProtectedFromScaleIn")),
        "spot": bool(mixed),
        "warm_instances": warm_size(found),
        "metrics": bool(found.get("EnabledMetrics")),
        "tags": {key: value for key, value in tag_dict(found.get("Tags")).items() if key != _ECS_TAG},
    }


def warm_size(found: dict[str, Any]) -> int:
    """How many instances a described group keeps warm; 0 for a pool that is on its way out."""
    pool = found.get("WarmPoolConfiguration") or {}
    return 0 if pool.get("Status") == "PendingDelete" else int(pool.get("MaxGroupPreparedCapacity") or 0)


def group_request(wanted: State) -> dict[str, Any]:
    """What create and update have in common."""
    template = {"LaunchTemplateName": wanted["launch_template"], "Version": "$Latest"}
    request: dict[str, Any] = {
        "MaxSize": wanted["max_size"],
        "VPCZoneIdentifier": ",".join(wanted["subnet_ids"]),
        "NewInstancesProtectedFromScaleIn": wanted["protect_new_instances"],
        "CapacityRebalance": wanted["spot"],
    }
    if not wanted["spot"]:
        return {**request, "LaunchTemplate": template}
    return {
        **request,
        "MixedInstancesPolicy": {
            "LaunchTemplate": {"LaunchTemplateSpecification": template},
            "InstancesDistribution": {
                "OnDemandBaseCapacity": 0,
                "OnDemandPercentageAboveBaseCapacity": 0,
                "SpotAllocationStrategy": "price-capacity-optimized",
            },
        },
    }


class Group(Item):
    kind = "Auto Scaling group"

    def __init__(
        self, api: Api, options: dict[str, Any], purge_tags: bool = True, timeout: int = 900
    ) -> None:
        super().__init__(api, options, purge_tags)
        self.timeout = timeout

    def _describe(self) -> dict[str, Any] | None:
        answer = self.api.call("describe_auto_scaling_groups", AutoScalingGroupNames=[self.name])
        found = (answer or {}).get("AutoScalingGroups") or []
        return found[0] if found else None

    def read(self) -> State | None:
        found = self._describe()
        return group_state(found) if found else None

    def wanted(self, current: State | None) -> State:
        wanted = super().wanted(current)
        if "subnet_ids" in wanted:
            wanted["subnet_ids"] = sorted(wanted["subnet_ids"])
        # Shown by the stack's dashboard; they cost nothing.
        wanted["metrics"] = True
        return wanted

    def computed(self) -> State:
        return {"arn": unknown("Auto Scaling group ARN")}

    def create(self, wanted: State) -> None:
        self._while_profile_spreads(
            "create_auto_scaling_group",
            AutoScalingGroupName=self.name,
            MinSize=0,
            DesiredCapacity=0,
            Tags=self._tags(wanted.get("tags", {})),
            **group_request(wanted),
        )
        self._enable_metrics()
        if wanted.get("warm_instances"):
            self._put_warm_pool(wanted["warm_instances"])

    def _put_warm_pool(self, size: int) -> None:
        # The smallest size stays 0: while as many work, none is prepared beside them.
        self.api.call(
            "put_warm_pool",
            AutoScalingGroupName=self.name,
            MaxGroupPreparedCapacity=size,
            MinSize=0,
            PoolState="Stopped",
        )

    def _delete_warm_pool(self) -> None:
        self.api.call("delete_warm_pool", AutoScalingGroupName=self.name, ForceDelete=True)
        wait_until(
            "rid of its warm pool",
            lambda: (self._describe() or {}).get("WarmPoolConfiguration"),
            lambda pool: not pool,
            self.timeout,
        )

    def _enable_metrics(self) -> None:
        self.api.call(
            "enable_metrics_collection",
            AutoScalingGroupName=self.name,
            Granularity="1Minute",
            Metrics=_METRICS,
        )

    def _while_profile_spreads(self, operation: str, **arguments: Any) -> None:
        """A new instance profile takes some seconds until Auto Scaling can see it."""
        last: list[AwsError] = []

        def attempt() -> State | None:
            try:
                return self.api.call(operation, **arguments)
            except AwsError as error:
                if "instance profile" not in str(error.cause).lower() or len(last) >= 6:
                    raise
                last.append(error)
                return None

        wait_until("able to use its instance profile", attempt, lambda done: done is not None, 60)

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if "metrics" in changed_keys:
            self._enable_metrics()
        # A group with Spot instances cannot have a pool, so it goes before that changes, or comes after it.
        if "warm_instances" in changed_keys and not wanted["warm_instances"]:
            self._delete_warm_pool()
        if changed_keys - {"tags", "metrics", "warm_instances"}:
            self._while_profile_spreads(
                "update_auto_scaling_group",
                AutoScalingGroupName=self.name,
                MinSize=0,
                **group_request({**current, **wanted}),
            )
        if "warm_instances" in changed_keys and wanted["warm_instances"]:
            self._put_warm_pool(wanted["warm_instances"])
        if "tags" in changed_keys:
            change = tag_change(current["tags"], wanted["tags"])
            if change.removed:
                gone = [{"Key": key} for key in change.removed]
                self.api.call("delete_tags", Tags=[{**tag, **self._owner()} for tag in gone])
            if change.added:
                self.api.call("create_or_update_tags", Tags=self._tags(change.added))

    def _owner(self) -> dict[str, str]:
        return {"ResourceId": self.name, "ResourceType": "auto-scaling-group"}

    def _tags(self, tags: dict[str, str]) -> list[dict[str, Any]]:
        return [
            {"Key": key, "Value": value, "PropagateAtLaunch": True, **self._owner()}
            for key, value in sorted(tags.items())
        ]

    def delete(self, current: State) -> None:
        if current["warm_instances"]:
            self._delete_warm_pool()
        # The instances go with it. A scaling activity under way makes AWS ask for patience.
        wait_until(
            "free of scaling activities, so that it can be deleted",
            lambda: self.api.call(
                "delete_auto_scaling_group",
                missing=("ScalingActivityInProgress", "ScalingActivityInProgressFault"),
                AutoScalingGroupName=self.name,
                ForceDelete=True,
            ),
            lambda answer: answer is not None,
            self.timeout,
        )

    def settle(self, present: bool) -> None:
        if not present:
            wait_until("gone", self._describe, lambda found: found is None, self.timeout)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "auto_scaling_groups": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "launch_template": {"type": "str"},
                    "max_size": {"type": "int"},
                    "subnet_ids": {"type": "list", "elements": "str"},
                    "protect_new_instances": {"type": "bool", "default": True},
                    "spot": {"type": "bool", "default": False},
                    "warm_instances": {"type": "int", "default": 0},
                    "tags": {"type": "dict"},
                },
            },
            "wait_timeout": {"type": "int", "default": 900},
            **SET_OPTIONS,
        },
        supports_check_mode=True,
        **SET_REQUIREMENTS,
    )
    api = Api(module, "autoscaling")
    timeout = module.params["wait_timeout"]

    def find(scope: Tags) -> Iterator[Candidate]:
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in scope.items()]
        for found in api.pages("describe_auto_scaling_groups", "AutoScalingGroups", Filters=filters):
            group = Group(api, {"name": found["AutoScalingGroupName"]}, timeout=timeout)
            yield Candidate(group, partial(tag_dict, found.get("Tags")))

    listed = [
        Group(api, options, module.params["purge_tags"], timeout)
        for options in module.params["auto_scaling_groups"]
    ]
    run_set(module, "auto_scaling_groups", [listed], find)


if __name__ == "__main__":
    main()
