#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: notification_topic
version_added: 1.0.0
short_description: Manage an Amazon SNS topic that tells people by e-mail
description:
  - Creates, changes or deletes a topic with its policy and the addresses it tells.
  - It exists because M(community.aws.sns_topic) fails in check mode for a topic with a policy that does not exist yet.
options:
  name:
    description: The topic's name.
    type: str
    required: true
  state:
    description: Whether the topic is to exist.
    type: str
    choices: [present, absent]
    default: present
  policy:
    description: Its policy. Left alone when not given.
    type: dict
  kms_key_arn:
    description: The key that encrypts its messages. None when empty.
    type: str
    default: ""
  emails:
    description:
      - The addresses it tells. Each is asked to confirm once.
      - Others that have confirmed are removed; AWS forgets those that have not after two days.
    type: list
    elements: str
    default: []
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
- name: Tell the operators of alarms
  pasture.ollama.notification_topic:
    name: pasture-docs
    emails: [operators@example.org]
"""

RETURN = r"""
topic:
  description: The topic as it is now, or in check mode as it would be. Null when it is gone.
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
      sample: arn:aws:sns:eu-west-1:123456789012:pasture-docs
    emails:
      description: The addresses it tells, whether they have confirmed or not.
      returned: always
      type: list
      elements: str
"""

import json
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._policy import keep_if_same, parse
from ansible_collections.pasture.ollama.plugins.module_utils._resource import State, ensure_all, report
from ansible_collections.pasture.ollama.plugins.module_utils._sets import Item
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_change, tag_dict, upper_list
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

_MISSING = ("NotFound", "NotFoundException", "ResourceNotFound")


class Topic(Item):
    kind = "SNS topic"
    exact_keys = frozenset({"tags", "policy", "emails"})

    def _find(self) -> str | None:
        arns = (topic["TopicArn"] for topic in self.api.pages("list_topics", "Topics"))
        return next((arn for arn in arns if arn.rsplit(":", 1)[-1] == self.name), None)

    def read(self) -> State | None:
        arn = self._find()
        found = self.api.call("get_topic_attributes", missing=_MISSING, TopicArn=arn) if arn else None
        if found is None:
            return None
        attributes = found["Attributes"]
        tags = self.api.call("list_tags_for_resource", missing=_MISSING, ResourceArn=arn) or {}
        subscriptions = self._subscriptions(str(arn))
        return {
            "name": self.name,
            "arn": arn,
            "policy": parse(attributes.get("Policy")),
            "kms_key_arn": attributes.get("KmsMasterKeyId", ""),
            "emails": sorted(subscriptions),
            "tags": tag_dict(tags.get("Tags")),
        }

    def _subscriptions(self, arn: str) -> dict[str, str]:
        """Address to the ARN of its subscription, or C(PendingConfirmation)."""
        found = self.api.pages("list_subscriptions_by_topic", "Subscriptions", TopicArn=arn)
        return {item["Endpoint"]: item["SubscriptionArn"] for item in found if item["Protocol"] == "email"}

    def wanted(self, current: State | None) -> State:
        wanted = super().wanted(current)
        present = current or {}
        if "policy" in wanted:
            wanted["policy"] = keep_if_same(present.get("policy"), wanted["policy"])
        # Who has not confirmed cannot be removed, so such an address is no reason to try on every run.
        pending = set()
        if current is not None:
            states = self._subscriptions(str(current["arn"]))
            pending = {address for address, arn in states.items() if not arn.startswith("arn:")}
        wanted["emails"] = sorted({*wanted["emails"], *pending})
        return wanted

    def computed(self) -> State:
        return {"arn": unknown(f"ARN of topic {self.name}")}

    def create(self, wanted: State) -> None:
        attributes = {
            "Policy": json.dumps(wanted["policy"]) if "policy" in wanted else "",
            "KmsMasterKeyId": wanted["kms_key_arn"],
        }
        answer = self.api.call(
            "create_topic",
            Name=self.name,
            Attributes={key: value for key, value in attributes.items() if value},
            Tags=upper_list(wanted.get("tags", {})),
        )
        for address in wanted["emails"]:
            self._subscribe((answer or {})["TopicArn"], address)

    def _subscribe(self, arn: str, address: str) -> None:
        self.api.call("subscribe", TopicArn=arn, Protocol="email", Endpoint=address)

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        arn = current["arn"]
        if "policy" in changed_keys:
            self._set(arn, "Policy", json.dumps(wanted["policy"]))
        if "kms_key_arn" in changed_keys:
            self._set(arn, "KmsMasterKeyId", wanted["kms_key_arn"])
        if "emails" in changed_keys:
            subscriptions = self._subscriptions(arn)
            for address in sorted(set(wanted["emails"]) - set(subscriptions)):
                self._subscribe(arn, address)
            for address in sorted(set(subscriptions) - set(wanted["emails"])):
                self.api.call("unsubscribe", missing=_MISSING, SubscriptionArn=subscriptions[address])
        if "tags" in changed_keys:
            change = tag_change(current["tags"], wanted["tags"])
            if change.removed:
                self.api.call("untag_resource", ResourceArn=arn, TagKeys=change.removed)
            if change.added:
                self.api.call("tag_resource", ResourceArn=arn, Tags=upper_list(change.added))

    def _set(self, arn: str, name: str, value: Any) -> None:
        self.api.call("set_topic_attributes", TopicArn=arn, AttributeName=name, AttributeValue=value)

    def delete(self, current: State) -> None:
        # Its subscriptions go with it.
        self.api.call("delete_topic", missing=_MISSING, TopicArn=current["arn"])


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "policy": {"type": "dict"},
            "kms_key_arn": {"type": "str", "default": "", "no_log": False},
            "emails": {"type": "list", "elements": "str", "default": []},
            "tags": {"type": "dict"},
            "purge_tags": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    options = {key: module.params[key] for key in ("name", "policy", "kms_key_arn", "emails", "tags")}
    topic = Topic(Api(module, "sns"), options, module.params["purge_tags"])
    report(module, "topic", ensure_all(module, [topic]))


if __name__ == "__main__":
    main()
