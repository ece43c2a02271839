#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sqs_queue
version_added: 1.0.0
short_description: Manage Amazon SQS queues and their dead-letter queues
description:
  - Creates, changes or deletes standard queues.
  - It exists because M(community.aws.sqs_queue) has no switch for SQS-managed encryption and returns no URL on the
    run that makes a queue, and to make the queues of a whole stack in one process.
options:
  queues:
    description: The queues. A dead-letter queue is a queue of the list, or one that exists.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The queue's name.
        type: str
        required: true
      visibility_timeout:
        description: The seconds that a received message stays hidden unless the receiver asks for more.
        type: int
      retention_seconds:
        description: The seconds after which a message is dropped.
        type: int
      receive_wait_seconds:
        description: The seconds that a receive waits for a message unless it says otherwise.
        type: int
      dead_letter:
        description: Where a message goes that was received too often.
        type: dict
        suboptions:
          arn:
            description: The ARN of the dead-letter queue.
            type: str
            required: true
          max_receives:
            description: How often a message is received before it goes there.
            type: int
            required: true
      dead_letter_for:
        description: The ARNs of the queues that may use this one as their dead-letter queue.
        type: list
        elements: str
      kms_key_arn:
        description: The key that encrypts it. SQS's own keys when empty or not given.
        type: str
        default: ""
      policy:
        description: Its policy.
        type: dict
      tags:
        description: Its tags.
        type: dict
  prefix:
    description: With O(scope), the queues whose name begins with this are looked at.
    type: str
  wait_timeout:
    description: Seconds to wait before the name of a queue that was just deleted can be used again.
    type: int
    default: 90
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
- name: Make a queue with its dead-letter queue
  pasture.ollama.sqs_queue:
    queues:
      - name: pasture-docs-summarize-dlq
        retention_seconds: 1209600
      - name: pasture-docs-summarize
        retention_seconds: 1209600
        dead_letter:
          arn: arn:aws:sqs:eu-west-1:123456789012:pasture-docs-summarize-dlq
          max_receives: 5
"""

RETURN = r"""
queues:
  description: The listed queues as they are now, or in check mode as they would be; those that need none before
    the others.
  returned: always
  type: list
  elements: dict
  sample:
    - name: pasture-docs-summarize
      url: https://sqs.eu-west-1.amazonaws.com/123456789012/pasture-docs-summarize
      arn: arn:aws:sqs:eu-west-1:123456789012:pasture-docs-summarize
unlisted:
  description: The names of the queues in scope that are not listed.
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
from ansible_collections.pasture.ollama.plugins.module_utils._policy import keep_if_same, parse
from ansible_collections.pasture.ollama.plugins.module_utils._resource import State, wait_until
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

_MISSING = (
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "com.amazonaws.sqs#QueueDoesNotExist",
)
_DELETED_RECENTLY = ("AWS.SimpleQueueService.QueueDeletedRecently", "QueueDeletedRecently")

_NUMBERS = {
    "visibility_timeout": "VisibilityTimeout",
    "retention_seconds": "MessageRetentionPeriod",
    "receive_wait_seconds": "ReceiveMessageWaitTimeSeconds",
}


def queue_state(name: str, url: str, attributes: dict[str, str], tags: dict[str, str]) -> State:
    """A queue in the terms of the module's options."""
    redrive = json.loads(attributes.get("RedrivePolicy") or "{}")
    allow = json.loads(attributes.get("RedriveAllowPolicy") or "{}")
    state: State = {
        "name": name,
        "url": url,
        "arn": attributes["QueueArn"],
        "kms_key_arn": attributes.get("KmsMasterKeyId", ""),
        # A key of KMS takes the place of SQS's own, whatever the switch says.
        "sqs_managed_encryption": attributes.get("SqsManagedSseEnabled") == "true"
        and not attributes.get("KmsMasterKeyId"),
        "policy": parse(attributes.get("Policy")),
        "dead_letter": {
            "arn": redrive["deadLetterTargetArn"],
            "max_receives": int(redrive["maxReceiveCount"]),
        }
        if redrive
        else None,
        "dead_letter_for": sorted(allow.get("sourceQueueArns", [])),
        "tags": tags,
    }
    state.update({key: int(attributes[name]) for key, name in _NUMBERS.items() if name in attributes})
    return state


def queue_attributes(wanted: State, keys: set[str]) -> dict[str, str]:
    """The attributes to set for C(keys) of the wanted state."""
    attributes = {name: str(wanted[key]) for key, name in _NUMBERS.items() if key in keys}
    if keys & {"kms_key_arn", "sqs_managed_encryption"}:
        # The two kinds of encryption exclude each other; the one that is not wanted is switched off.
        attributes["KmsMasterKeyId"] = wanted["kms_key_arn"]
        if not wanted["kms_key_arn"]:
            attributes["SqsManagedSseEnabled"] = "true"
    if "policy" in keys:
        attributes["Policy"] = json.dumps(wanted["policy"])
    if "dead_letter" in keys:
        target = wanted["dead_letter"]
        attributes["RedrivePolicy"] = json.dumps(
            {"deadLetterTargetArn": target["arn"], "maxReceiveCount": target["max_receives"]}
        )
    if "dead_letter_for" in keys:
        attributes["RedriveAllowPolicy"] = json.dumps(
            {"redrivePermission": "byQueue", "sourceQueueArns": wanted["dead_letter_for"]}
        )
    return attributes


class Queue(Item):
    kind = "SQS queue"
    exact_keys = frozenset({"tags", "policy"})

    def __init__(self, api: Api, options: dict[str, Any], purge_tags: bool = True, timeout: int = 90) -> None:
        super().__init__(api, options, purge_tags)
        self.timeout = timeout

    def read(self) -> State | None:
        answer = self.api.call("get_queue_url", missing=_MISSING, QueueName=self.name)
        if answer is None:
            return None
        url = answer["QueueUrl"]
        found = self.api.call("get_queue_attributes", missing=_MISSING, QueueUrl=url, AttributeNames=["All"])
        tags = self.api.call("list_queue_tags", missing=_MISSING, QueueUrl=url)
        if found is None or tags is None:
            return None
        return queue_state(self.name, url, found["Attributes"], tags.get("Tags", {}))

    def wanted(self, current: State | None) -> State:
        wanted = super().wanted(current)
        wanted["sqs_managed_encryption"] = not wanted.get("kms_key_arn")
        if "policy" in wanted:
            wanted["policy"] = keep_if_same((current or {}).get("policy"), wanted["policy"])
        if "dead_letter_for" in wanted:
            wanted["dead_letter_for"] = sorted(wanted["dead_letter_for"])
        return wanted

    def computed(self) -> State:
        return {
            "url": unknown(f"URL of queue {self.name}"),
            "arn": unknown(f"ARN of queue {self.name}"),
        }

    def create(self, wanted: State) -> None:
        attributes = queue_attributes(wanted, set(wanted))
        attributes = {key: value for key, value in attributes.items() if value}
        # The name of a deleted queue is not free again for a minute.
        wait_until(
            "able to have this name, since a queue of that name was just deleted",
            lambda: self.api.call(
                "create_queue",
                missing=_DELETED_RECENTLY,
                QueueName=self.name,
                Attributes=attributes,
                tags=wanted.get("tags") or None,
            ),
            lambda answer: answer is not None,
            self.timeout,
        )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        attributes = queue_attributes(wanted, changed_keys)
        if attributes:
            self.api.call("set_queue_attributes", QueueUrl=current["url"], Attributes=attributes)
        if "tags" in changed_keys:
            change = tag_change(current["tags"], wanted["tags"])
            if change.removed:
                self.api.call("untag_queue", QueueUrl=current["url"], TagKeys=change.removed)
            if change.added:
                self.api.call("tag_queue", QueueUrl=current["url"], Tags=change.added)

    def delete(self, current: State) -> None:
        self.api.call("delete_queue", missing=_MISSING, QueueUrl=current["url"])


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "queues": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "visibility_timeout": {"type": "int"},
                    "retention_seconds": {"type": "int"},
                    "receive_wait_seconds": {"type": "int"},
                    "dead_letter": {
                        "type": "dict",
                        "options": {
                            "arn": {"type": "str", "required": True},
                            "max_receives": {"type": "int", "required": True},
                        },
                    },
                    "dead_letter_for": {"type": "list", "elements": "str"},
                    "kms_key_arn": {"type": "str", "default": "", "no_log": False},
                    "policy": {"type": "dict"},
                    "tags": {"type": "dict"},
                },
            },
            "prefix": {"type": "str"},
            "wait_timeout": {"type": "int", "default": 90},
            **SET_OPTIONS,
        },
        supports_check_mode=True,
        **SET_REQUIREMENTS,
    )
    api = Api(module, "sqs")
    prefix = module.params["prefix"]

    def read_tags(url: str) -> Tags:
        answer = api.call("list_queue_tags", missing=_MISSING, QueueUrl=url) or {}
        return answer.get("Tags") or {}

    def find(_scope: Tags) -> Iterator[Candidate]:
        for url in api.pages("list_queues", "QueueUrls", QueueNamePrefix=prefix):
            yield Candidate(Queue(api, {"name": url.rsplit("/", 1)[-1]}), partial(read_tags, url))

    listed = [
        Queue(api, options, module.params["purge_tags"], module.params["wait_timeout"])
        for options in module.params["queues"]
    ]
    # A queue can name its dead-letter queue only when that one exists.
    first = [queue for queue in listed if "dead_letter" not in queue.options]
    then = [queue for queue in listed if "dead_letter" in queue.options]
    run_set(module, "queues", [first, then], find)


if __name__ == "__main__":
    main()
