#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ecs_task_definition
version_added: 1.0.0
short_description: Manage Amazon ECS task definitions
description:
  - Registers a new revision of a task definition when, and only when, the newest active one differs.
  - It exists because M(community.aws.ecs_taskdefinition) does not see a changed cpu, memory, network mode, execution
    role or platform, and takes any old revision that matches for the current one.
options:
  task_definitions:
    description: The task definitions.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The family.
        type: str
        required: true
      containers:
        description: The containers, in the words of the API's C(containerDefinitions).
        type: list
        elements: dict
      volumes:
        description: The volumes, in the words of the API.
        type: list
        elements: dict
      requires_compatibilities:
        description: Where it is to run.
        type: list
        elements: str
        choices: [EC2, FARGATE]
      network_mode:
        description: The network mode.
        type: str
        choices: [awsvpc, bridge, host, none]
        default: awsvpc
      cpu:
        description: The CPU units of the task. 1024 are one vCPU.
        type: int
      memory:
        description: The memory of the task in MiB.
        type: int
      task_role_arn:
        description: The role that the containers have.
        type: str
      execution_role_arn:
        description: The role that ECS pulls the image and writes the log with.
        type: str
      runtime_platform:
        description: Operating system and processor.
        type: dict
        suboptions:
          cpu_architecture:
            description: The processor.
            type: str
            choices: [X86_64, ARM64]
          operating_system_family:
            description: The operating system.
            type: str
            default: LINUX
      tags:
        description: Tags of the revision.
        type: dict
  prefix:
    description: With O(scope), the families whose name begins with this are looked at.
    type: str
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
- name: Define a task
  pasture.ollama.ecs_task_definition:
    task_definitions:
      - name: pasture-docs-summarize
        requires_compatibilities: [EC2]
        execution_role_arn: arn:aws:iam::123456789012:role/pasture/docs/pasture-docs-execution
        containers:
          - name: worker
            image: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/worker@sha256:0123
            memory: 15360
"""

RETURN = r"""
task_definitions:
  description: The newest revisions of the listed families, or in check mode what they would be.
  returned: always
  type: list
  elements: dict
  sample:
    - name: pasture-docs-summarize
      arn: arn:aws:ecs:eu-west-1:123456789012:task-definition/pasture-docs-summarize:3
      revision: 3
unlisted:
  description: The families in scope that are not listed.
  returned: always
  type: list
  elements: str
removed:
  description: The families that were removed because they are not listed.
  returned: always
  type: list
  elements: str
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._ecs import apply_tags, short_name
from ansible_collections.pasture.ollama.plugins.module_utils._resource import State
from ansible_collections.pasture.ollama.plugins.module_utils._sets import (
    SET_OPTIONS,
    SET_REQUIREMENTS,
    Candidate,
    Item,
    Tags,
    run_set,
)
from ansible_collections.pasture.ollama.plugins.module_utils._tags import lower_list, tag_dict
from ansible_collections.pasture.ollama.plugins.module_utils._task_definition import canonical
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

# DescribeTaskDefinition says ClientException when the family has no active revision.
_MISSING = ("ClientException", "InvalidParameterException")
_DELETED_AT_ONCE = 10


def definition_request(options: dict[str, Any]) -> dict[str, Any]:
    """The module's options in the words of RegisterTaskDefinition."""
    platform = options.get("runtime_platform") or {}
    return canonical(
        {
            "family": options["name"],
            "containerDefinitions": options.get("containers"),
            "volumes": options.get("volumes"),
            "requiresCompatibilities": options.get("requires_compatibilities"),
            "networkMode": options.get("network_mode"),
            "cpu": options.get("cpu"),
            "memory": options.get("memory"),
            "taskRoleArn": options.get("task_role_arn"),
            "executionRoleArn": options.get("execution_role_arn"),
            "runtimePlatform": {
                "cpuArchitecture": platform.get("cpu_architecture"),
                "operatingSystemFamily": platform.get("operating_system_family"),
            },
        }
    )


class TaskDefinition(Item):
    kind = "ECS task definition"
    exact_keys = frozenset({"tags", "definition"})

    def read(self) -> State | None:
        answer = self.api.call(
            "describe_task_definition", missing=_MISSING, taskDefinition=self.name, include=["TAGS"]
        )
        if answer is None or answer["taskDefinition"].get("status", "ACTIVE") != "ACTIVE":
            return None
        found = answer["taskDefinition"]
        return {
            "name": found["family"],
            "arn": found["taskDefinitionArn"],
            "revision": found["revision"],
            "definition": canonical(found),
            "tags": tag_dict(answer.get("tags")),
        }

    def wanted(self, current: State | None) -> State:
        wanted = {key: value for key, value in super().wanted(current).items() if key in {"name", "tags"}}
        wanted["definition"] = definition_request(self.options)
        if current is not None and current["definition"] != wanted["definition"]:
            # A changed definition is a new revision, whose number is known only once it is there.
            wanted.update(self.computed())
        return wanted

    def computed(self) -> State:
        revision = unknown(f"revision of {self.name}")
        return {"arn": revision, "revision": revision}

    def create(self, wanted: State) -> None:
        tags = lower_list(wanted.get("tags", {})) or None
        self.api.call("register_task_definition", **wanted["definition"], tags=tags)

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if "definition" in changed_keys:
            self.create({"tags": current["tags"], **wanted})
        else:
            apply_tags(self.api, current["arn"], current["tags"], wanted["tags"])

    def delete(self, current: State) -> None:
        arns = list(
            self.api.pages(
                "list_task_definitions", "taskDefinitionArns", familyPrefix=self.name, status="ACTIVE"
            )
        )
        own = [arn for arn in arns if short_name(arn).rsplit(":", 1)[0] == self.name]
        for arn in own:
            self.api.call("deregister_task_definition", taskDefinition=arn)
        for start in range(0, len(own), _DELETED_AT_ONCE):
            self.api.call("delete_task_definitions", taskDefinitions=own[start : start + _DELETED_AT_ONCE])


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "task_definitions": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "containers": {"type": "list", "elements": "dict"},
                    "volumes": {"type": "list", "elements": "dict"},
                    "requires_compatibilities": {
                        "type": "list",
                        "elements": "str",
                        "choices": ["EC2", "FARGATE"],
                    },
                    "network_mode": {
                        "type": "str",
                        "choices": ["awsvpc", "bridge", "host", "none"],
                        "default": "awsvpc",
                    },
                    "cpu": {"type": "int"},
                    "memory": {"type": "int"},
                    "task_role_arn": {"type": "str"},
                    "execution_role_arn": {"type": "str"},
                    "runtime_platform": {
                        "type": "dict",
                        "options": {
                            "cpu_architecture": {"type": "str", "choices": ["X86_64", "ARM64"]},
                            "operating_system_family": {"type": "str", "default": "LINUX"},
                        },
                    },
                    "tags": {"type": "dict"},
                },
            },
            "prefix": {"type": "str"},
            **SET_OPTIONS,
        },
        supports_check_mode=True,
        **SET_REQUIREMENTS,
    )
    api = Api(module, "ecs")

    def read_tags(family: str) -> Tags:
        answer = api.call(
            "describe_task_definition", missing=_MISSING, taskDefinition=family, include=["TAGS"]
        )
        return tag_dict((answer or {}).get("tags"))

    def find(_scope: Tags) -> Iterator[Candidate]:
        families = api.pages(
            "list_task_definition_families", "families", status="ACTIVE", familyPrefix=module.params["prefix"]
        )
        for family in families:
            yield Candidate(TaskDefinition(api, {"name": family}), partial(read_tags, family))

    listed = [
        TaskDefinition(api, options, module.params["purge_tags"])
        for options in module.params["task_definitions"]
    ]
    run_set(module, "task_definitions", [listed], find)


if __name__ == "__main__":
    main()
