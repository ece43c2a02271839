#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ecs_cluster
version_added: 1.0.0
short_description: Manage an Amazon ECS cluster with its settings, tags and capacity providers
description:
  - Creates, changes or deletes an ECS cluster.
  - It exists because M(community.aws.ecs_cluster) knows neither Container Insights nor tags, and cannot attach
    capacity providers without replacing what is there.
options:
  name:
    description: The cluster's name.
    type: str
    required: true
  state:
    description: Whether the cluster is to exist.
    type: str
    choices: [present, absent]
    default: present
  container_insights:
    description: The level of Container Insights. Left alone when not given.
    type: str
    choices: [enabled, enhanced, disabled]
  capacity_providers:
    description:
      - The names of all capacity providers that the cluster may use. Left alone when not given.
      - One that is still used by a service cannot be taken away.
    type: list
    elements: str
  default_strategy:
    description: What runs services and tasks that name no strategy of their own. Left alone when not given.
    type: list
    elements: dict
    suboptions:
      capacity_provider:
        description: The name of a capacity provider of the cluster.
        type: str
        required: true
      weight:
        description: The share of tasks after O(default_strategy[].base).
        type: int
        default: 1
      base:
        description: The number of tasks that go to this one first.
        type: int
        default: 0
  tags:
    description: Tags of the cluster. Left alone when not given.
    type: dict
  purge_tags:
    description: Remove tags that are not given. Tags that AWS sets by itself always stay.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait for the attachment of capacity providers, and for instances to leave before a
      deletion.
    type: int
    default: 900
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make a cluster with Container Insights
  pasture.ollama.ecs_cluster:
    name: pasture-docs
    container_insights: enabled
    tags:
      pasture:stack: docs

- name: Let it use a capacity provider
  pasture.ollama.ecs_cluster:
    name: pasture-docs
    capacity_providers: [pasture-docs-summarize]
"""

RETURN = r"""
cluster:
  description: The cluster as it is now, or in check mode as it would be. Null when it is gone.
  returned: always
  type: dict
  contains:
    name:
      description: Its name.
      returned: always
      type: str
      sample: pasture-docs
    arn:
      description: Its ARN.
      returned: always
      type: str
      sample: arn:aws:ecs:eu-west-1:123456789012:cluster/pasture-docs
    container_insights:
      description: The level of Container Insights.
      returned: when it is known
      type: str
      sample: enabled
    capacity_providers:
      description: The names of its capacity providers, sorted.
      returned: always
      type: list
      elements: str
      sample: [pasture-docs-summarize]
    default_strategy:
      description: Its default strategy.
      returned: always
      type: list
      elements: dict
    tags:
      description: Its tags.
      returned: always
      type: dict
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._ecs import (
    STRATEGY_OPTIONS,
    apply_tags,
    short_name,
    strategy_request,
    strategy_state,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import (
    Refusal,
    State,
    ensure_all,
    report,
    wait_until,
)
from ansible_collections.pasture.ollama.plugins.module_utils._sets import Item
from ansible_collections.pasture.ollama.plugins.module_utils._tags import lower_list, tag_dict
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown


class Cluster(Item):
    kind = "ECS cluster"

    def __init__(
        self, api: Api, options: dict[str, Any], purge_tags: bool = True, timeout: int = 900
    ) -> None:
        super().__init__(api, options, purge_tags)
        self.timeout = timeout

    def wanted(self, current: State | None) -> State:
        wanted = super().wanted(current)
        if "capacity_providers" in wanted:
            wanted["capacity_providers"] = sorted(wanted["capacity_providers"])
        return wanted

    def _describe(self) -> dict[str, Any] | None:
        answer = self.api.call(
            "describe_clusters", clusters=[self.name], include=["SETTINGS", "TAGS", "ATTACHMENTS"]
        )
        found = [c for c in (answer or {}).get("clusters", []) if c.get("status", "ACTIVE") != "INACTIVE"]
        return found[0] if found else None

    def read(self) -> State | None:
        found = self._describe()
        if found is None:
            return None
        state = {
            "name": found["clusterName"],
            "arn": found["clusterArn"],
            "capacity_providers": sorted(short_name(name) for name in found.get("capacityProviders") or []),
            "default_strategy": strategy_state(found.get("defaultCapacityProviderStrategy")),
            "tags": tag_dict(found.get("tags")),
        }
        settings = {item["name"]: item["value"] for item in found.get("settings") or []}
        if "containerInsights" in settings:
            state["container_insights"] = settings["containerInsights"]
        return state

    def computed(self) -> State:
        return {
            "arn": unknown("ECS cluster ARN"),
            "capacity_providers": [],
            "default_strategy": [],
            "tags": {},
        }

    def create(self, wanted: State) -> None:
        settings = None
        if "container_insights" in wanted:
            settings = [{"name": "containerInsights", "value": wanted["container_insights"]}]
        self.api.call(
            "create_cluster",
            clusterName=self.name,
            settings=settings,
            tags=lower_list(wanted.get("tags", {})) or None,
        )
        if wanted.get("capacity_providers") or wanted.get("default_strategy"):
            self._attach(wanted)

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if "container_insights" in changed_keys:
            self.api.call(
                "update_cluster_settings",
                cluster=self.name,
                settings=[{"name": "containerInsights", "value": wanted["container_insights"]}],
            )
        if changed_keys & {"capacity_providers", "default_strategy"}:
            self._attach({**current, **wanted})
        if "tags" in changed_keys:
            apply_tags(self.api, current["arn"], current["tags"], wanted["tags"])

    def _attach(self, wanted: State) -> None:
        self.api.call(
            "put_cluster_capacity_providers",
            cluster=self.name,
            capacityProviders=wanted.get("capacity_providers", []),
            defaultCapacityProviderStrategy=strategy_request(wanted.get("default_strategy", [])),
        )

    def delete(self, current: State) -> None:
        if current["capacity_providers"]:
            # They could not be deleted while a cluster has them.
            self._attach({})
            self.settle(present=True)
        # Instances that were just terminated stay registered for a while, and a cluster that has some,
        # or whose services are still draining, cannot be deleted.
        busy = {
            "ClusterContainsContainerInstancesException",
            "ClusterContainsServicesException",
            "ClusterContainsTasksException",
            "ClusterContainsCapacityProviderException",
        }
        wait_until(
            "empty of instances and services, so that it can be deleted",
            lambda: self.api.call("delete_cluster", missing=busy, cluster=self.name),
            lambda answer: answer is not None,
            self.timeout,
            interval=10,
        )

    def settle(self, present: bool) -> None:
        if not present:
            return
        done = wait_until(
            "done attaching its capacity providers",
            self._describe,
            lambda found: found is None or found.get("attachmentsStatus") != "UPDATE_IN_PROGRESS",
            self.timeout,
        )
        if done and done.get("attachmentsStatus") == "UPDATE_FAILED":
            self._refuse()

    def _refuse(self) -> None:
        raise Refusal(
            "ECS could not attach a capacity provider; its Auto Scaling group may be gone. "
            "Look at the attachments of the cluster in the ECS console, then run again"
        )


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "container_insights": {"type": "str", "choices": ["enabled", "enhanced", "disabled"]},
            "capacity_providers": {"type": "list", "elements": "str"},
            "default_strategy": {"type": "list", "elements": "dict", "options": STRATEGY_OPTIONS},
            "tags": {"type": "dict"},
            "purge_tags": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 900},
        },
        supports_check_mode=True,
    )
    keys = ("name", "container_insights", "capacity_providers", "default_strategy", "tags")
    cluster = Cluster(
        Api(module, "ecs"),
        {key: module.params[key] for key in keys},
        module.params["purge_tags"],
        module.params["wait_timeout"],
    )
    report(module, "cluster", ensure_all(module, [cluster]))


if __name__ == "__main__":
    main()
