#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: event_bus
version_added: 1.0.0
short_description: Manage an Amazon EventBridge event bus
description:
  - Creates, changes or deletes an event bus of one's own.
  - It exists because neither amazon.aws nor community.aws has a module for event buses.
options:
  name:
    description: The bus's name.
    type: str
    required: true
  state:
    description: Whether the bus is to exist.
    type: str
    choices: [present, absent]
    default: present
  description:
    description: What it is for.
    type: str
  kms_key_arn:
    description: The key that encrypts its events. EventBridge's own when not given.
    type: str
  tags:
    description: Its tags. Left alone when not given.
    type: dict
  purge_tags:
    description: Remove tags that are not given. Tags that AWS sets by itself always stay.
    type: bool
    default: true
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make the bus of a stack
  pasture.ollama.event_bus:
    name: pasture-docs
    tags:
      pasture:stack: docs
"""

RETURN = r"""
event_bus:
  description: The bus as it is now, or in check mode as it would be. Null when it is gone.
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
      sample: arn:aws:events:eu-west-1:123456789012:event-bus/pasture-docs
    tags:
      description: Its tags.
      returned: always
      type: dict
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._events import apply_tags, read_tags
from ansible_collections.pasture.ollama.plugins.module_utils._resource import State, ensure_all, report
from ansible_collections.pasture.ollama.plugins.module_utils._sets import Item
from ansible_collections.pasture.ollama.plugins.module_utils._tags import upper_list
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

_MISSING = ("ResourceNotFoundException",)


class Bus(Item):
    kind = "event bus"

    def read(self) -> State | None:
        found = self.api.call("describe_event_bus", missing=_MISSING, Name=self.name)
        if found is None:
            return None
        return {
            "name": found["Name"],
            "arn": found["Arn"],
            "description": found.get("Description", ""),
            "kms_key_arn": found.get("KmsKeyIdentifier", ""),
            "tags": read_tags(self.api, found["Arn"]),
        }

    def computed(self) -> State:
        return {"arn": unknown(f"ARN of event bus {self.name}")}

    def create(self, wanted: State) -> None:
        self.api.call(
            "create_event_bus",
            Name=self.name,
            Description=wanted.get("description"),
            KmsKeyIdentifier=wanted.get("kms_key_arn") or None,
            Tags=upper_list(wanted.get("tags", {})) or None,
        )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if changed_keys - {"tags"}:
            both = {**current, **wanted}
            self.api.call(
                "update_event_bus",
                Name=self.name,
                Description=both["description"],
                KmsKeyIdentifier=both["kms_key_arn"] or None,
            )
        if "tags" in changed_keys:
            apply_tags(self.api, current["arn"], current["tags"], wanted["tags"])

    def delete(self, current: State) -> None:
        self.api.call("delete_event_bus", missing=_MISSING, Name=self.name)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "description": {"type": "str"},
            "kms_key_arn": {"type": "str", "no_log": False},
            "tags": {"type": "dict"},
            "purge_tags": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    options = {key: module.params[key] for key in ("name", "description", "kms_key_arn", "tags")}
    bus = Bus(Api(module, "events"), options, module.params["purge_tags"])
    report(module, "event_bus", ensure_all(module, [bus]))


if __name__ == "__main__":
    main()
