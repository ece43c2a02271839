#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ecs_service
version_added: 1.0.0
short_description: Manage Amazon ECS services whose task count belongs to scaling
description:
  - Creates, changes or deletes ECS services that run on capacity providers.
  - It exists because M(community.aws.ecs_service) resets the desired count of a service that Application Auto Scaling
    has set, and does not see a changed capacity provider strategy, network or deployment setting.
  - The desired count is given once, when a service is made; after that it is never sent.
options:
  services:
    description: The services.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The service's name.
        type: str
        required: true
      task_definition:
        description: The task definition's ARN.
        type: str
      initial_count:
        description: The desired count at the time of creation.
        type: int
        default: 0
      capacity_provider_strategy:
        description: What it runs on.
        type: list
        elements: dict
        suboptions:
          capacity_provider:
            description: The name of a capacity provider of the cluster.
            type: str
            required: true
          weight:
            description: The share of tasks after O(services[].capacity_provider_strategy[].base).
            type: int
            default: 1
          base:
            description: The number of tasks that go to this one first.
            type: int
            default: 0
      subnet_ids:
        description: The subnets of its tasks.
        type: list
        elements: str
      security_group_ids:
        description: The security groups of its tasks.
        type: list
        elements: str
      minimum_healthy_percent:
        description: The percentage of the desired count that stays up during a deployment.
        type: int
      maximum_percent:
        description: The percentage of the desired count that may run during a deployment.
        type: int
      circuit_breaker:
        description: Give up a deployment whose tasks do not start, and go back to the last one that worked.
        type: bool
      placement_strategy:
        description: How tasks are placed on instances, in order.
        type: list
        elements: dict
        suboptions:
          type:
            description: The kind of strategy.
            type: str
            choices: [random, spread, binpack]
            required: true
          field:
            description: What it is applied to.
            type: str
      tags:
        description: Its tags. Its tasks get them too.
        type: dict
  cluster:
    description: The cluster's name.
    type: str
    required: true
  wait_timeout:
    description: Seconds to wait until the tasks of a deleted service have stopped.
    type: int
    default: 600
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
- name: Run a service that scaling takes from zero and back
  pasture.ollama.ecs_service:
    cluster: pasture-docs
    services:
      - name: pasture-docs-summarize
        task_definition: arn:aws:ecs:eu-west-1:123456789012:task-definition/pasture-docs-summarize:3
        capacity_provider_strategy:
          - capacity_provider: pasture-docs-summarize
        subnet_ids: [subnet-0123]
        security_group_ids: [sg-0123]
"""

RETURN = r"""
services:
  description: The listed services as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
  sample:
    - name: pasture-docs-summarize
      arn: arn:aws:ecs:eu-west-1:123456789012:service/pasture-docs/pasture-docs-summarize
      task_definition: arn:aws:ecs:eu-west-1:123456789012:task-definition/pasture-docs-summarize:3
      desired_count: 0
unlisted:
  description: The names of the services in scope that are not listed.
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
from ansible_collections.pasture.ollama.plugins.module_utils._ecs import (
    STRATEGY_OPTIONS,
    apply_tags,
    short_name,
    strategy_request,
    strategy_state,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import State, wait_until
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

_MISSING = ("ClusterNotFoundException", "ServiceNotFoundException")
# Only ECS's newer answers carry these; what is not returned cannot be compared.
_SOMETIMES = (
    "capacity_provider_strategy",
    "minimum_healthy_percent",
    "maximum_percent",
    "circuit_breaker",
    "placement_strategy",
)


def service_state(found: dict[str, Any]) -> State:
    """A described service in the terms of the module's options."""
    network = (found.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    deployment = found.get("deploymentConfiguration") or {}
    state: State = {
        "name": found["serviceName"],
        "arn": found["serviceArn"],
        "task_definition": found["taskDefinition"],
        "desired_count": found.get("desiredCount", 0),
        "subnet_ids": sorted(network.get("subnets") or []),
        "security_group_ids": sorted(network.get("securityGroups") or []),
        "tags": tag_dict(found.get("tags")),
    }
    if found.get("capacityProviderStrategy"):
        state["capacity_provider_strategy"] = strategy_state(found["capacityProviderStrategy"])
    if "minimumHealthyPercent" in deployment:
        state["minimum_healthy_percent"] = deployment["minimumHealthyPercent"]
    if "maximumPercent" in deployment:
        state["maximum_percent"] = deployment["maximumPercent"]
    if "deploymentCircuitBreaker" in deployment:
        state["circuit_breaker"] = bool(deployment["deploymentCircuitBreaker"].get("enable"))
    if "placementStrategy" in found:
        state["placement_strategy"] = [given_field(item) for item in found["placementStrategy"]]
    return state


def given_field(item: dict[str, Any]) -> dict[str, Any]:
    """A placement strategy without an empty field; ECS writes field names as it likes."""
    field = item.get("field")
    return {"type": item["type"].lower(), **({"field": str(field).lower()} if field else {})}


def deployment_request(wanted: State) -> dict[str, Any] | None:
    """The deployment settings, or None when none is given."""
    request: dict[str, Any] = {}
    if "minimum_healthy_percent" in wanted:
        request["minimumHealthyPercent"] = wanted["minimum_healthy_percent"]
    if "maximum_percent" in wanted:
        request["maximumPercent"] = wanted["maximum_percent"]
    if "circuit_breaker" in wanted:
        switch = wanted["circuit_breaker"]
        request["deploymentCircuitBreaker"] = {"enable": switch, "rollback": switch}
    return request or None


def network_request(wanted: State) -> dict[str, Any] | None:
    """The network of the tasks, without public addresses, or None when none is given."""
    if "subnet_ids" not in wanted:
        return None
    return {
        "awsvpcConfiguration": {
            "subnets": wanted["subnet_ids"],
            "securityGroups": wanted.get("security_group_ids", []),
            "assignPublicIp": "DISABLED",
        }
    }


class Service(Item):
    kind = "ECS service"

    def __init__(
        self, api: Api, cluster: str, options: dict[str, Any], purge_tags: bool = True, timeout: int = 600
    ) -> None:
        super().__init__(api, options, purge_tags)
        self.cluster = cluster
        self.timeout = timeout

    def _describe(self) -> dict[str, Any] | None:
        answer = self.api.call(
            "describe_services",
            missing=_MISSING,
            cluster=self.cluster,
            services=[self.name],
            include=["TAGS"],
        )
        found = (answer or {}).get("services") or []
        return found[0] if found and found[0].get("status") != "INACTIVE" else None

    def read(self) -> State | None:
        found = self._describe()
        return service_state(found) if found and found.get("status") != "DRAINING" else None

    def wanted(self, current: State | None) -> State:
        wanted = super().wanted(current)
        initial = wanted.pop("initial_count", 0)
        for key in ("subnet_ids", "security_group_ids"):
            if key in wanted:
                wanted[key] = sorted(wanted[key])
        if "placement_strategy" in wanted:
            wanted["placement_strategy"] = [given_field(item) for item in wanted["placement_strategy"]]
        if current is None:
            return {**wanted, "desired_count": initial}
        return {key: value for key, value in wanted.items() if key in current or key not in _SOMETIMES}

    def computed(self) -> State:
        return {"arn": unknown("ECS service ARN")}

    def create(self, wanted: State) -> None:
        # A deleted service of the same name drains for a while and is in the way until it is gone.
        self.settle(present=False)
        self.api.call(
            "create_service",
            cluster=self.cluster,
            serviceName=self.name,
            taskDefinition=wanted["task_definition"],
            desiredCount=wanted["desired_count"],
            capacityProviderStrategy=_strategy(wanted),
            networkConfiguration=network_request(wanted),
            deploymentConfiguration=deployment_request(wanted),
            placementStrategy=wanted.get("placement_strategy"),
            # It would start a spare task in another zone, and stop one that works; on by default for new services.
            # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-rebalancing.html
            availabilityZoneRebalancing="DISABLED",
            propagateTags="SERVICE",
            enableECSManagedTags=True,
            tags=lower_list(wanted.get("tags", {})) or None,
        )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        changed = {key: wanted[key] for key in changed_keys}
        network = {"subnet_ids", "security_group_ids"} & changed_keys
        deployment = {"minimum_healthy_percent", "maximum_percent", "circuit_breaker"} & changed_keys
        if changed_keys - {"tags"}:
            self.api.call(
                "update_service",
                cluster=self.cluster,
                service=self.name,
                taskDefinition=changed.get("task_definition"),
                capacityProviderStrategy=_strategy(changed),
                networkConfiguration=network_request({**current, **wanted}) if network else None,
                deploymentConfiguration=deployment_request(wanted) if deployment else None,
                placementStrategy=changed.get("placement_strategy"),
                # "If you change the capacity provider strategy, a new deployment must be forced"
                # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html
                forceNewDeployment=True if "capacity_provider_strategy" in changed else None,
            )
        if "tags" in changed_keys:
            apply_tags(self.api, current["arn"], current["tags"], wanted["tags"])

    def delete(self, current: State) -> None:
        self.api.call("delete_service", missing=_MISSING, cluster=self.cluster, service=self.name, force=True)

    def settle(self, present: bool) -> None:
        if not present:
            wait_until(
                "free of tasks", self._describe, lambda found: not found or not _draining(found), self.timeout
            )


def _draining(found: dict[str, Any]) -> bool:
    return found.get("status") == "DRAINING"


def _strategy(wanted: State) -> list[dict[str, Any]] | None:
    strategy = wanted.get("capacity_provider_strategy")
    return strategy_request(strategy) if strategy else None


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "services": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "task_definition": {"type": "str"},
                    "initial_count": {"type": "int", "default": 0},
                    "capacity_provider_strategy": {
                        "type": "list",
                        "elements": "dict",
                        "options": STRATEGY_OPTIONS,
                    },
                    "subnet_ids": {"type": "list", "elements": "str"},
                    "security_group_ids": {"type": "list", "elements": "str"},
                    "minimum_healthy_percent": {"type": "int"},
                    "maximum_percent": {"type": "int"},
                    "circuit_breaker": {"type": "bool"},
                    "placement_strategy": {
                        "type": "list",
                        "elements": "dict",
                        "options": {
                            "type": {
                                "type": "str",
                                "choices": ["random", "spread", "binpack"],
                                "required": True,
                            },
                            "field": {"type": "str"},
                        },
                    },
                    "tags": {"type": "dict"},
                },
            },
            "cluster": {"type": "str", "required": True},
            "wait_timeout": {"type": "int", "default": 600},
            **SET_OPTIONS,
        },
        supports_check_mode=True,
        **SET_REQUIREMENTS,
    )
    api = Api(module, "ecs")
    cluster, timeout = module.params["cluster"], module.params["wait_timeout"]

    def read_tags(arn: str) -> Tags:
        answer = api.call("describe_services", cluster=cluster, services=[arn], include=["TAGS"]) or {}
        return {
            key: value
            for found in answer.get("services", [])
            for key, value in tag_dict(found.get("tags")).items()
        }

    def find(_scope: Tags) -> Iterator[Candidate]:
        for arn in api.pages("list_services", "serviceArns", missing=_MISSING, cluster=cluster):
            service = Service(api, cluster, {"name": short_name(arn)}, timeout=timeout)
            yield Candidate(service, partial(read_tags, arn))

    listed = [
        Service(api, cluster, options, module.params["purge_tags"], timeout)
        for options in module.params["services"]
    ]
    run_set(module, "services", [listed], find)


if __name__ == "__main__":
    main()
