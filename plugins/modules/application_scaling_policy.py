#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: application_scaling_policy
version_added: 1.0.0
short_description: Manage scalable targets of Application Auto Scaling with their step-scaling policies
description:
  - Registers what may be scaled, such as the task count of an ECS service, each with all its step-scaling policies.
  - It exists because M(community.aws.application_autoscaling_policy) writes in check mode, and to make the targets
    and policies of a whole stack in one process.
options:
  targets:
    description: The scalable targets.
    type: list
    elements: dict
    required: true
    suboptions:
      resource_id:
        description: What is scaled, such as C(service/pasture-docs/pasture-docs-summarize).
        type: str
        required: true
      min_capacity:
        description: The smallest capacity.
        type: int
        default: 0
      max_capacity:
        description: The largest capacity.
        type: int
      policies:
        description: Its policies, which set an exact capacity by steps. Others that it has are removed.
        type: list
        elements: dict
        suboptions:
          name:
            description: The policy's name.
            type: str
            required: true
          cooldown:
            description: The seconds after a scaling during which a smaller one is not done.
            type: int
            default: 60
          aggregation:
            description: How the metric is aggregated within a period.
            type: str
            choices: [Average, Minimum, Maximum]
            default: Maximum
          steps:
            description: The steps, lowest first, relative to the threshold of the alarm.
            type: list
            elements: dict
            required: true
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
      tags:
        description: Tags of the scalable target.
        type: dict
  service_namespace:
    description: The service that the targets belong to.
    type: str
    default: ecs
  dimension:
    description: What of the targets is scaled.
    type: str
    default: ecs:service:DesiredCount
  prefix:
    description: With O(scope), the targets whose resource id begins with this are looked at.
    type: str
    default: ""
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
- name: Let a service have up to ten tasks
  pasture.ollama.application_scaling_policy:
    targets:
      - resource_id: service/pasture-docs/pasture-docs-summarize
        max_capacity: 10
        policies:
          - name: outstanding
            steps: "{{ 10 | pasture.ollama.scaling_steps(2) }}"
"""

RETURN = r"""
targets:
  description: The listed targets as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
  sample:
    - resource_id: service/pasture-docs/pasture-docs-summarize
      min_capacity: 0
      max_capacity: 10
policies:
  description: The ARNs of the policies by resource id and policy name, for the actions of alarms.
  returned: always
  type: dict
  sample:
    service/pasture-docs/pasture-docs-summarize:
      outstanding: arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:0123
unlisted:
  description: The resource ids of the targets in scope that are not listed.
  returned: always
  type: list
  elements: str
removed:
  description: The resource ids of those that were removed because they are not listed.
  returned: always
  type: list
  elements: str
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._resource import State
from ansible_collections.pasture.ollama.plugins.module_utils._sets import (
    SET_OPTIONS,
    SET_REQUIREMENTS,
    Candidate,
    Item,
    Tags,
    run_set,
)
from ansible_collections.pasture.ollama.plugins.module_utils._steps import (
    STEP_OPTIONS,
    steps_request,
    steps_state,
)
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_change
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

_MISSING = ("ObjectNotFoundException", "ResourceNotFoundException")


def policy_state(found: dict[str, Any]) -> State:
    """A described policy in the terms of the module's options."""
    configuration = found.get("StepScalingPolicyConfiguration") or {}
    return {
        "name": found["PolicyName"],
        "adjustment": configuration.get("AdjustmentType"),
        "cooldown": configuration.get("Cooldown", 0),
        "aggregation": configuration.get("MetricAggregationType", "Average"),
        "steps": steps_state(configuration.get("StepAdjustments") or []),
    }


class Target(Item):
    kind = "scalable target"
    exact_keys = frozenset({"tags", "policies"})

    def __init__(
        self, api: Api, place: dict[str, str], options: dict[str, Any], purge_tags: bool = True
    ) -> None:
        super().__init__(api, {"name": options["resource_id"], **options}, purge_tags)
        self.place = place

    def _key(self) -> dict[str, str]:
        return {**self.place, "ResourceId": self.name}

    def _describe(self) -> dict[str, Any] | None:
        answer = self.api.call(
            "describe_scalable_targets",
            ServiceNamespace=self.place["ServiceNamespace"],
            ScalableDimension=self.place["ScalableDimension"],
            ResourceIds=[self.name],
        )
        found = (answer or {}).get("ScalableTargets") or []
        return found[0] if found else None

    def read(self) -> State | None:
        found = self._describe()
        if found is None:
            return None
        policies = list(
            self.api.pages(
                "describe_scaling_policies",
                "ScalingPolicies",
                ServiceNamespace=self.place["ServiceNamespace"],
                ResourceId=self.name,
            )
        )
        return {
            "resource_id": self.name,
            "arn": found.get("ScalableTargetARN", ""),
            "min_capacity": found["MinCapacity"],
            "max_capacity": found["MaxCapacity"],
            "policies": {policy["PolicyName"]: policy_state(policy) for policy in policies},
            "policy_arns": {policy["PolicyName"]: policy["PolicyARN"] for policy in policies},
            "tags": read_tags(self.api, found.get("ScalableTargetARN")),
        }

    def wanted(self, current: State | None) -> State:
        wanted = super().wanted(current)
        wanted.pop("name")
        if "policies" in wanted:
            policies = {policy["name"]: policy for policy in wanted["policies"]}
            wanted["policies"] = {
                name: {
                    **policy,
                    "adjustment": "ExactCapacity",
                    "steps": steps_state(steps_request(policy["steps"])),
                }
                for name, policy in policies.items()
            }
            known = (current or {}).get("policy_arns", {})
            wanted["policy_arns"] = {
                name: known.get(name, unknown(f"ARN of policy {name} of {self.name}")) for name in policies
            }
        return wanted

    def create(self, wanted: State) -> None:
        self._register(wanted, wanted.get("tags"))
        self._set_policies({}, wanted.get("policies", {}))

    def _register(self, wanted: State, tags: dict[str, str] | None) -> None:
        self.api.call(
            "register_scalable_target",
            MinCapacity=wanted["min_capacity"],
            MaxCapacity=wanted["max_capacity"],
            Tags=tags or None,
            **self._key(),
        )

    def _set_policies(self, current: dict[str, Any], wanted: dict[str, Any]) -> None:
        for name in sorted(set(current) - set(wanted)):
            self.api.call("delete_scaling_policy", missing=_MISSING, PolicyName=name, **self._key())
        for name, policy in wanted.items():
            if current.get(name) != policy:
                self.api.call(
                    "put_scaling_policy",
                    PolicyName=name,
                    PolicyType="StepScaling",
                    StepScalingPolicyConfiguration={
                        "AdjustmentType": policy["adjustment"],
                        "Cooldown": policy["cooldown"],
                        "MetricAggregationType": policy["aggregation"],
                        "StepAdjustments": steps_request(policy["steps"]),
                    },
                    **self._key(),
                )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if changed_keys & {"min_capacity", "max_capacity"}:
            self._register({**current, **wanted}, None)
        if "policies" in changed_keys:
            self._set_policies(current["policies"], wanted["policies"])
        if "tags" in changed_keys:
            change = tag_change(current["tags"], wanted["tags"])
            if change.removed:
                self.api.call("untag_resource", ResourceARN=current["arn"], TagKeys=change.removed)
            if change.added:
                self.api.call("tag_resource", ResourceARN=current["arn"], Tags=change.added)

    def delete(self, current: State) -> None:
        # Its policies go with it.
        self.api.call("deregister_scalable_target", missing=_MISSING, **self._key())


def read_tags(api: Api, arn: str | None) -> dict[str, str]:
    """The tags of a scalable target; targets of before 2023 have no ARN, and so no tags."""
    answer = api.call("list_tags_for_resource", missing=_MISSING, ResourceARN=arn) if arn else None
    return dict((answer or {}).get("Tags", {}))


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "targets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "resource_id": {"type": "str", "required": True},
                    "min_capacity": {"type": "int", "default": 0},
                    "max_capacity": {"type": "int"},
                    "policies": {
                        "type": "list",
                        "elements": "dict",
                        "options": {
                            "name": {"type": "str", "required": True},
                            "cooldown": {"type": "int", "default": 60},
                            "aggregation": {
                                "type": "str",
                                "choices": ["Average", "Minimum", "Maximum"],
                                "default": "Maximum",
                            },
                            "steps": {
                                "type": "list",
                                "elements": "dict",
                                "required": True,
                                "options": STEP_OPTIONS,
                            },
                        },
                    },
                    "tags": {"type": "dict"},
                },
            },
            "service_namespace": {"type": "str", "default": "ecs"},
            "dimension": {"type": "str", "default": "ecs:service:DesiredCount"},
            "prefix": {"type": "str", "default": ""},
            **SET_OPTIONS,
        },
        supports_check_mode=True,
        **SET_REQUIREMENTS,
    )
    api = Api(module, "application-autoscaling")
    place = {
        "ServiceNamespace": module.params["service_namespace"],
        "ScalableDimension": module.params["dimension"],
    }

    def find(_scope: Tags) -> Iterator[Candidate]:
        for found in api.pages("describe_scalable_targets", "ScalableTargets", **place):
            if not found["ResourceId"].startswith(module.params["prefix"]):
                continue
            target = Target(api, place, {"resource_id": found["ResourceId"]})
            yield Candidate(target, partial(read_tags, api, found.get("ScalableTargetARN")))

    listed = [
        Target(api, place, options, module.params["purge_tags"]) for options in module.params["targets"]
    ]
    run_set(
        module,
        "targets",
        [listed],
        find,
        extra=lambda states: {"policies": {s["resource_id"]: s.get("policy_arns", {}) for s in states}},
    )


if __name__ == "__main__":
    main()
