#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudwatch_log_group
version_added: 1.0.0
short_description: Manage Amazon CloudWatch log groups
description:
  - Creates, changes or deletes log groups.
  - It exists to make the log groups of a whole stack in one process, and to find those that are left over.
options:
  log_groups:
    description: The log groups.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The log group's name.
        type: str
        required: true
      retention_days:
        description: The days after which an entry is deleted. 0 keeps entries for ever.
        type: int
      kms_key_arn:
        description: The key that encrypts it. Its policy must allow the service of CloudWatch Logs.
        type: str
      tags:
        description: Its tags.
        type: dict
  prefix:
    description: With O(scope), the log groups whose name begins with this are looked at.
    type: str
    default: /
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
- name: Keep the logs of a processor for a month
  pasture.ollama.cloudwatch_log_group:
    log_groups:
      - name: /pasture/docs/summarize
        retention_days: 30
"""

RETURN = r"""
log_groups:
  description: The listed log groups as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
  sample:
    - name: /pasture/docs/summarize
      arn: arn:aws:logs:eu-west-1:123456789012:log-group:/pasture/docs/summarize
      retention_days: 30
unlisted:
  description: The names of the log groups in scope that are not listed.
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
from ansible_collections.pasture.ollama.plugins.module_utils._resource import State
from ansible_collections.pasture.ollama.plugins.module_utils._sets import (
    SET_OPTIONS,
    SET_REQUIREMENTS,
    Candidate,
    Item,
    Tags,
    run_set,
)
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_change
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

_MISSING = ("ResourceNotFoundException",)


def group_arn(found: dict[str, Any]) -> str:
    """The ARN that the tagging calls take: C(arn) has a colon and a star at its end, which they refuse."""
    return str(found.get("logGroupArn") or found["arn"]).removesuffix(":*")


class LogGroup(Item):
    kind = "log group"

    def read(self) -> State | None:
        answer = self.api.call("describe_log_groups", logGroupNamePrefix=self.name) or {}
        found = next((g for g in answer.get("logGroups", []) if g["logGroupName"] == self.name), None)
        if found is None:
            return None
        arn = group_arn(found)
        tags = self.api.call("list_tags_for_resource", missing=_MISSING, resourceArn=arn) or {}
        return {
            "name": self.name,
            "arn": arn,
            "retention_days": found.get("retentionInDays", 0),
            "kms_key_arn": found.get("kmsKeyId", ""),
            "tags": tags.get("tags", {}),
        }

    def computed(self) -> State:
        return {"arn": unknown(f"ARN of log group {self.name}")}

    def create(self, wanted: State) -> None:
        self.api.call(
            "create_log_group",
            logGroupName=self.name,
            kmsKeyId=wanted.get("kms_key_arn") or None,
            tags=wanted.get("tags") or None,
        )
        if wanted.get("retention_days"):
            self._set_retention(wanted["retention_days"])

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if "retention_days" in changed_keys:
            self._set_retention(wanted["retention_days"])
        if "kms_key_arn" in changed_keys:
            if wanted["kms_key_arn"]:
                self.api.call("associate_kms_key", logGroupName=self.name, kmsKeyId=wanted["kms_key_arn"])
            else:
                self.api.call("disassociate_kms_key", logGroupName=self.name)
        if "tags" in changed_keys:
            change = tag_change(current["tags"], wanted["tags"])
            if change.removed:
                self.api.call("untag_resource", resourceArn=current["arn"], tagKeys=change.removed)
            if change.added:
                self.api.call("tag_resource", resourceArn=current["arn"], tags=change.added)

    def _set_retention(self, days: int) -> None:
        if days:
            self.api.call("put_retention_policy", logGroupName=self.name, retentionInDays=days)
        else:
            self.api.call("delete_retention_policy", logGroupName=self.name)

    def delete(self, current: State) -> None:
        self.api.call("delete_log_group", missing=_MISSING, logGroupName=self.name)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "log_groups": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "retention_days": {"type": "int"},
                    "kms_key_arn": {"type": "str", "no_log": False},
                    "tags": {"type": "dict"},
                },
            },
            "prefix": {"type": "str", "default": "/"},
            **SET_OPTIONS,
        },
        supports_check_mode=True,
        **SET_REQUIREMENTS,
    )
    api = Api(module, "logs")
    prefix = module.params["prefix"]

    def read_tags(arn: str) -> Tags:
        answer = api.call("list_tags_for_resource", missing=_MISSING, resourceArn=arn) or {}
        return answer.get("tags") or {}

    def find(_scope: Tags) -> Iterator[Candidate]:
        for found in api.pages("describe_log_groups", "logGroups", logGroupNamePrefix=prefix):
            yield Candidate(
                LogGroup(api, {"name": found["logGroupName"]}), partial(read_tags, group_arn(found))
            )

    listed = [LogGroup(api, options, module.params["purge_tags"]) for options in module.params["log_groups"]]
    run_set(module, "log_groups", [listed], find)


if __name__ == "__main__":
    main()
