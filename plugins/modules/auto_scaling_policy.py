#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: auto_scaling_policy
version_added: 1.0.0
short_description: Manage policies of Amazon EC2 Auto Scaling groups that set an exact capacity
description:
  - Creates, changes or deletes step-scaling policies of Auto Scaling groups.
  - It exists because M(community.aws.autoscaling_policy) has no check mode that tells the truth, and to make the
    policies of a whole stack in one process.
  - Policies go with their group, so there is no scope.
options:
  policies:
    description: The policies.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The policy's name.
        type: str
        required: true
      auto_scaling_group:
        description: The name of its group.
        type: str
        required: true
      steps:
        description: The steps, lowest first, relative to the threshold of the alarm.
        type: list
        elements: dict
        suboptions:
          metric_interval_lower_bound:
            description: From how much above the threshold on. No bound when not given.
            type: float
          metric_interval_upper_bound:
            description: Below how much above the threshold. No bound when not given.
            type: float
          scaling_adjustment:
            description: The capacity to set.
            type: int
            required: true
  state:
    description: Whether the policies are to exist.
    type: str
    choices: [present, absent]
    default: present
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: End the instances when there is nothing to do
  pasture.ollama.auto_scaling_policy:
    policies:
      - name: idle
        auto_scaling_group: pasture-docs-summarize
        steps:
          - metric_interval_upper_bound: 0
            scaling_adjustment: 0
"""

RETURN = r"""
policies:
  description: The listed policies as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
  sample:
    - name: idle
      auto_scaling_group: pasture-docs-summarize
      arn: arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:0123
arns:
  description: The ARNs of the policies by Auto Scaling group and policy name, for the actions of alarms.
  returned: always
  type: dict
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._resource import State, ensure_all, report
from ansible_collections.pasture.ollama.plugins.module_utils._sets import Item
from ansible_collections.pasture.ollama.plugins.module_utils._steps import (
    STEP_OPTIONS,
    steps_request,
    steps_state,
)
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown


class Policy(Item):
    kind = "Auto Scaling policy"

    def __init__(self, api: Api, options: dict[str, Any]) -> None:
        super().__init__(api, options)
        self.group = str(options["auto_scaling_group"])

    def identity(self) -> Any:
        return (self.group, self.name)

    def read(self) -> State | None:
        found = next(
            self.api.pages(
                "describe_policies",
                "ScalingPolicies",
                # "ValidationError: Group ... not found" while the group is not there.
                missing=("ValidationError",),
                AutoScalingGroupName=self.group,
                PolicyNames=[self.name],
            ),
            None,
        )
        if found is None:
            return None
        return {
            "name": found["PolicyName"],
            "auto_scaling_group": found["AutoScalingGroupName"],
            "arn": found["PolicyARN"],
            "adjustment": found.get("AdjustmentType"),
            "steps": steps_state(found.get("StepAdjustments") or []),
        }

    def wanted(self, current: State | None) -> State:
        wanted = super().wanted(current)
        return {
            **wanted,
            "adjustment": "ExactCapacity",
            "steps": steps_state(steps_request(wanted.get("steps", []))),
        }

    def computed(self) -> State:
        return {"arn": unknown(f"ARN of policy {self.name} of {self.group}")}

    def create(self, wanted: State) -> None:
        self.api.call(
            "put_scaling_policy",
            AutoScalingGroupName=self.group,
            PolicyName=self.name,
            PolicyType="StepScaling",
            AdjustmentType=wanted["adjustment"],
            MetricAggregationType="Maximum",
            StepAdjustments=steps_request(wanted["steps"]),
        )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        self.create(wanted)

    def delete(self, current: State) -> None:
        self.api.call("delete_policy", AutoScalingGroupName=self.group, PolicyName=self.name)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "policies": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "auto_scaling_group": {"type": "str", "required": True},
                    "steps": {"type": "list", "elements": "dict", "options": STEP_OPTIONS},
                },
            },
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    api = Api(module, "autoscaling")
    outcomes = ensure_all(module, [Policy(api, options) for options in module.params["policies"]])
    arns: dict[str, dict[str, str]] = {}
    for state in [outcome.after for outcome in outcomes if outcome.after is not None]:
        arns.setdefault(state["auto_scaling_group"], {})[state["name"]] = state["arn"]
    report(module, "policies", outcomes, many=True, arns=arns)


if __name__ == "__main__":
    main()
