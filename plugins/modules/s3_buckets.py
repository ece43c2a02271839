#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_buckets
version_added: 1.0.0
short_description: Manage buckets of documents, made or adopted, in one process
description:
  - Makes buckets with the settings that documents need, or brings those settings to a bucket that exists
    already.
  - What others have set on an adopted bucket stays - statements of its policy, notifications, lifecycle rules
    and tags.
  - It exists because M(amazon.aws.s3_bucket) and M(community.aws.s3_lifecycle) are skipped in check mode, no
    module switches notifications to EventBridge on, and M(community.aws.s3_bucket_notification) would switch
    them off.
options:
  state:
    description:
      - V(present) makes the buckets, or changes them.
      - V(absent) deletes those that are not adopted, unless they hold objects. From adopted ones it takes the
        statement named O(tls_statement) and nothing else.
    type: str
    choices: [present, absent]
    default: present
  delete_objects:
    description: Whether O(state=absent) deletes buckets with everything in them.
    type: bool
    default: false
  owner:
    description: The id of the account that must own the buckets.
    type: str
  partition:
    description: The AWS partition, as in ARNs.
    type: str
    default: aws
  tls_statement:
    description: The C(Sid) of the statement that refuses requests without TLS.
    type: str
    default: TlsOnly
  buckets:
    description: The buckets. Settings that are not given are left alone.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The bucket's name.
        type: str
        required: true
      adopted:
        description: Whether it belongs to somebody else. It must exist then, and is never deleted.
        type: bool
        default: false
      versioning:
        description: Whether old versions are kept.
        type: bool
      block_public_access:
        description: Whether all public access is refused.
        type: bool
      tls_only:
        description: Whether its policy refuses requests without TLS.
        type: bool
      eventbridge:
        description: Whether its events go to EventBridge.
        type: bool
      encryption:
        description: How objects are encrypted that do not say so themselves.
        type: dict
        suboptions:
          algorithm:
            description: V(AES256) for keys of S3, V(aws:kms) for those of KMS.
            type: str
            choices: [AES256, "aws:kms"]
            required: true
          kms_key_arn:
            description: The ARN of the key; that of AWS for S3 when not given.
            type: str
      lifecycle:
        description: What goes by itself. Rules of others stay.
        type: dict
        suboptions:
          noncurrent_days:
            description: Days after which old versions are deleted.
            type: int
          incomplete_days:
            description: Days after which uploads that were never completed are deleted.
            type: int
          expire_days:
            description: Days after which objects are deleted.
            type: int
      tags:
        description: Tags. Others are removed, unless the bucket is adopted.
        type: dict
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make a private bucket, and hear of new documents in one that exists
  pasture.ollama.s3_buckets:
    buckets:
      - name: pasture-docs-123456789012-eu-west-1-results
        versioning: true
        block_public_access: true
        tls_only: true
        encryption:
          algorithm: AES256
        lifecycle:
          noncurrent_days: 30
        tags:
          pasture:stack: docs
      - name: invoices-of-the-company
        adopted: true
        eventbridge: true
"""

RETURN = r"""
buckets:
  description: The buckets as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      returned: always
      type: str
      sample: pasture-docs-123456789012-eu-west-1-results
    arn:
      description: Its ARN.
      returned: always
      type: str
      sample: arn:aws:s3:::pasture-docs-123456789012-eu-west-1-results
    encryption:
      description: The algorithm, and the ARN of the key if it is one of KMS.
      returned: always
      type: dict
      sample: {algorithm: AES256}
    policy:
      description: Its policy.
      returned: always
      type: dict
    eventbridge:
      description: Whether its events go to EventBridge.
      returned: always
      type: bool
kept:
  description: Names of buckets that were not deleted since they hold objects.
  returned: when O(state=absent)
  type: list
  elements: str
  sample: [pasture-docs-123456789012-eu-west-1-results]
"""

from collections.abc import Sequence
from typing import Any, NoReturn

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal, ensure_all, report
from ansible_collections.pasture.ollama.plugins.module_utils._s3 import Bucket

_FLAGS = ("versioning", "block_public_access", "tls_only", "eventbridge")
_ENCRYPTION = {
    "algorithm": {"type": "str", "choices": ["AES256", "aws:kms"], "required": True},
    "kms_key_arn": {"type": "str", "no_log": False},
}
_LIFECYCLE = {key: {"type": "int"} for key in ("noncurrent_days", "incomplete_days", "expire_days")}


def without_blanks(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, also within encryption, where an absent key is no key at all."""
    encryption = options["encryption"]
    if encryption:
        options = {**options, "encryption": {key: value for key, value in encryption.items() if value}}
    return options


def remove(module: Any, buckets: Sequence[Bucket]) -> NoReturn:
    """Let go of adopted buckets, delete our own, and say which were kept."""
    present = [bucket for bucket in buckets if bucket.exists()]
    kept = [
        bucket
        for bucket in present
        if not bucket.adopted and not module.params["delete_objects"] and not bucket.is_empty()
    ]
    released = ensure_all(module, [bucket for bucket in present if bucket.adopted], "present")
    doomed = [bucket for bucket in present if not bucket.adopted and bucket not in kept]
    deleted = ensure_all(module, doomed, "absent")
    report(module, "buckets", [*released, *deleted], many=True, kept=sorted(bucket.name for bucket in kept))


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "delete_objects": {"type": "bool", "default": False},
            "owner": {"type": "str"},
            "partition": {"type": "str", "default": "aws"},
            "tls_statement": {"type": "str", "default": "TlsOnly"},
            "buckets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "adopted": {"type": "bool", "default": False},
                    **{flag: {"type": "bool"} for flag in _FLAGS},
                    "encryption": {"type": "dict", "options": _ENCRYPTION},
                    "lifecycle": {"type": "dict", "options": _LIFECYCLE},
                    "tags": {"type": "dict"},
                },
            },
        },
        supports_check_mode=True,
    )
    params = module.params
    absent = params["state"] == "absent"
    api = Api(module, "s3")
    buckets = [
        Bucket(
            api,
            {"name": one["name"], "adopted": one["adopted"], "tls_only": False}
            if absent
            else without_blanks(one),
            params["owner"],
            params["tls_statement"],
            params["partition"],
        )
        for one in params["buckets"]
    ]
    if not absent:
        report(module, "buckets", ensure_all(module, buckets), many=True)
    try:
        remove(module, buckets)
    except AwsError as error:
        module.fail_json_aws(
            error.cause, msg=f"The buckets could not be read ({error.operation}). {error.remedy}"
        )
    except Refusal as error:
        module.fail_json(msg=f"The buckets could not be read: {error}.")


if __name__ == "__main__":
    main()
