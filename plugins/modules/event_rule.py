#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: event_rule
version_added: 1.0.0
short_description: Manage Amazon EventBridge rules with their targets
description:
  - Creates, changes or deletes the rules of any event bus, each with all its targets.
  - It exists because M(amazon.aws.cloudwatchevent_rule) is skipped in check mode, knows no bus but the default one,
    and no dead-letter queue or retry policy of a target.
options:
  rules:
    description: The rules.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The rule's name.
        type: str
        required: true
      event_bus:
        description: The name of its bus.
        type: str
        default: default
      pattern:
        description: What events it matches.
        type: dict
      schedule:
        description: When it is in force by itself, such as C(rate(4 hours)). On the default bus only.
        type: str
      description:
        description: What it is for.
        type: str
      enabled:
        description: Whether it is in force.
        type: bool
        default: true
      targets:
        description: Where a matched event goes. Others that it has are removed.
        type: list
        elements: dict
        suboptions:
          id:
            description: The target's id within the rule.
            type: str
            required: true
          arn:
            description: The ARN of a queue, function or other target.
            type: str
            required: true
          input:
            description: What is sent in the place of the event.
            type: dict
          dead_letter_arn:
            description: The ARN of the queue for events that could not be delivered.
            type: str
          retry_attempts:
            description: How often a delivery is tried again.
            type: int
          retry_seconds:
            description: How old an event may be, in seconds, to be tried again.
            type: int
      tags:
        description: Its tags.
        type: dict
  event_buses:
    description: With O(scope), the rules of these buses are looked at. A bus that does not exist has none.
    type: list
    elements: str
    default: [default]
  prefix:
    description: With O(scope), the rules whose name begins with this are looked at.
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
- name: Send new text documents to a queue
  pasture.ollama.event_rule:
    rules:
      - name: pasture-docs-summarize-0
        pattern:
          source: [aws.s3]
          detail-type: [Object Created]
          detail: {bucket: {name: [documents]}}
        targets:
          - id: queue
            arn: arn:aws:sqs:eu-west-1:123456789012:pasture-docs-summarize
"""

RETURN = r"""
rules:
  description: The listed rules as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
  sample:
    - name: pasture-docs-summarize-0
      arn: arn:aws:events:eu-west-1:123456789012:rule/pasture-docs-summarize-0
unlisted:
  description: The names of the rules in scope that are not listed.
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
from ansible_collections.pasture.ollama.plugins.module_utils._events import apply_tags, read_tags
from ansible_collections.pasture.ollama.plugins.module_utils._resource import State
from ansible_collections.pasture.ollama.plugins.module_utils._sets import (
    SET_OPTIONS,
    SET_REQUIREMENTS,
    Candidate,
    Item,
    Tags,
    run_set,
)
from ansible_collections.pasture.ollama.plugins.module_utils._tags import upper_list
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

_MISSING = ("ResourceNotFoundException",)


def target_state(found: dict[str, Any]) -> dict[str, Any]:
    """A target in the terms of the module's options."""
    retry = found.get("RetryPolicy") or {}
    state = {
        "id": found["Id"],
        "arn": found["Arn"],
        "input": json.loads(found["Input"]) if found.get("Input") else None,
        "dead_letter_arn": (found.get("DeadLetterConfig") or {}).get("Arn"),
        "retry_attempts": retry.get("MaximumRetryAttempts"),
        "retry_seconds": retry.get("MaximumEventAgeInSeconds"),
    }
    return {key: value for key, value in state.items() if value is not None}


def target_request(target: dict[str, Any]) -> dict[str, Any]:
    """The reverse of C(target_state)."""
    request: dict[str, Any] = {"Id": target["id"], "Arn": target["arn"]}
    if "input" in target:
        request["Input"] = json.dumps(target["input"], sort_keys=True)
    if "dead_letter_arn" in target:
        request["DeadLetterConfig"] = {"Arn": target["dead_letter_arn"]}
    retry = {
        "MaximumRetryAttempts": target.get("retry_attempts"),
        "MaximumEventAgeInSeconds": target.get("retry_seconds"),
    }
    retry = {key: value for key, value in retry.items() if value is not None}
    return {**request, "RetryPolicy": retry} if retry else request


class Rule(Item):
    kind = "event rule"
    exact_keys = frozenset({"tags", "pattern", "targets"})

    @property
    def bus(self) -> str:
        return str(self.options["event_bus"])

    def identity(self) -> Any:
        # A processor whose source changes has a rule of the same name on another bus.
        return (self.bus, self.name)

    def read(self) -> State | None:
        found = self.api.call("describe_rule", missing=_MISSING, Name=self.name, EventBusName=self.bus)
        if found is None:
            return None
        targets = self.api.pages(
            "list_targets_by_rule", "Targets", missing=_MISSING, Rule=self.name, EventBusName=self.bus
        )
        return {
            "name": self.name,
            "arn": found["Arn"],
            "event_bus": self.bus,
            "description": found.get("Description", ""),
            "pattern": json.loads(found["EventPattern"]) if found.get("EventPattern") else None,
            "schedule": found.get("ScheduleExpression"),
            "enabled": found.get("State", "ENABLED") == "ENABLED",
            "targets": sorted(map(target_state, targets), key=lambda target: str(target["id"])),
            "tags": read_tags(self.api, found["Arn"]),
        }

    def wanted(self, current: State | None) -> State:
        wanted = super().wanted(current)
        if "targets" in wanted:
            wanted["targets"] = sorted(wanted["targets"], key=lambda target: str(target["id"]))
        return wanted

    def computed(self) -> State:
        return {"arn": unknown(f"ARN of rule {self.name}")}

    def create(self, wanted: State) -> None:
        # Tags are taken by the call that makes a rule, and by no later one.
        self._put(wanted, upper_list(wanted.get("tags", {})) or None)
        self._set_targets([], wanted.get("targets", []))

    def _put(self, wanted: State, tags: list[dict[str, str]] | None) -> None:
        self.api.call(
            "put_rule",
            Name=self.name,
            EventBusName=self.bus,
            EventPattern=json.dumps(wanted["pattern"], sort_keys=True, separators=(",", ":"))
            if wanted.get("pattern")
            else None,
            ScheduleExpression=wanted.get("schedule"),
            State="ENABLED" if wanted["enabled"] else "DISABLED",
            Description=wanted.get("description"),
            Tags=tags,
        )

    def _set_targets(self, current: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
        gone = {target["id"] for target in current} - {target["id"] for target in wanted}
        if gone:
            self.api.call("remove_targets", Rule=self.name, EventBusName=self.bus, Ids=sorted(gone))
        fresh = [target_request(target) for target in wanted if target not in current]
        if fresh:
            self.api.call("put_targets", Rule=self.name, EventBusName=self.bus, Targets=fresh)

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if changed_keys - {"tags", "targets"}:
            self._put({**current, **wanted}, None)
        if "targets" in changed_keys:
            self._set_targets(current["targets"], wanted["targets"])
        if "tags" in changed_keys:
            apply_tags(self.api, current["arn"], current["tags"], wanted["tags"])

    def delete(self, current: State) -> None:
        self._set_targets(current["targets"], [])
        self.api.call("delete_rule", missing=_MISSING, Name=self.name, EventBusName=self.bus)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "rules": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "required_one_of": [("pattern", "schedule")],
                "options": {
                    "name": {"type": "str", "required": True},
                    "event_bus": {"type": "str", "default": "default"},
                    "pattern": {"type": "dict"},
                    "schedule": {"type": "str"},
                    "description": {"type": "str"},
                    "enabled": {"type": "bool", "default": True},
                    "targets": {
                        "type": "list",
                        "elements": "dict",
                        "options": {
                            "id": {"type": "str", "required": True},
                            "arn": {"type": "str", "required": True},
                            "input": {"type": "dict"},
                            "dead_letter_arn": {"type": "str"},
                            "retry_attempts": {"type": "int"},
                            "retry_seconds": {"type": "int"},
                        },
                    },
                    "tags": {"type": "dict"},
                },
            },
            "event_buses": {"type": "list", "elements": "str", "default": ["default"]},
            "prefix": {"type": "str"},
            **SET_OPTIONS,
        },
        supports_check_mode=True,
        **SET_REQUIREMENTS,
    )
    api = Api(module, "events")
    prefix = module.params["prefix"]

    def find(_scope: Tags) -> Iterator[Candidate]:
        for bus in module.params["event_buses"]:
            for found in api.pages(
                "list_rules", "Rules", missing=_MISSING, EventBusName=bus, NamePrefix=prefix
            ):
                rule = Rule(api, {"name": found["Name"], "event_bus": bus})
                yield Candidate(rule, partial(read_tags, api, found["Arn"]))

    listed = [Rule(api, options, module.params["purge_tags"]) for options in module.params["rules"]]
    run_set(module, "rules", [listed], find)


if __name__ == "__main__":
    main()
