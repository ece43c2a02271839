#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: document_submit
version_added: 1.0.0
short_description: Submit documents to a stack, and wait for their results
description:
  - Puts files into the source bucket of a stack, with their mime-type, and can wait until the stack has nothing
    left to do.
  - A file that is in the bucket already, with the same content, is left alone; O(force) submits it again.
  - It exists because C(amazon.aws.s3_object) takes one file per task, and knows nothing of results.
options:
  stack:
    description: The name of the stack.
    type: str
    required: true
  files:
    description: The files. A folder stands for all files in it, at any depth.
    type: list
    elements: path
    required: true
  bucket:
    description: The source bucket, when the stack has adopted one. The stack's own when empty.
    type: str
    default: ""
  results_bucket:
    description: The results bucket, when the stack has adopted one. The stack's own when empty.
    type: str
    default: ""
  prefix:
    description: What the keys begin with, before the names of the files; such as C(reports/2026/).
    type: str
    default: ""
  force:
    description: Whether files that are there already are submitted again.
    type: bool
    default: false
  wait:
    description: Whether to wait until no document of the stack waits or is in flight.
    type: bool
    default: false
  wait_timeout:
    description: For how many seconds.
    type: int
    default: 3600
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Submit a report and a folder of letters
  pasture.ollama.document_submit:
    stack: docs
    files: [report.pdf, letters/]
    prefix: 2026/
    wait: true
"""

RETURN = r"""
documents:
  description: The documents, in the order of their keys.
  returned: always
  type: list
  elements: dict
  contains:
    url:
      description: Where it is.
      type: str
      sample: s3://pasture-docs-123456789012-eu-west-1-source/report.pdf
    type:
      description: Its mime-type.
      type: str
      sample: application/pdf
    size:
      description: Bytes.
      type: int
    submitted:
      description: Whether it was put there now, or in check mode would be.
      type: bool
    results:
      description: The URLs of its results, when O(wait=true).
      type: list
      elements: str
"""

import hashlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._mime_types import type_of_key
from ansible_collections.pasture.ollama.plugins.module_utils._operation import prefix_of, processors, queue
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal, WaitTimeout, wait_until

_UNKNOWN_TYPE = "application/octet-stream"
# PutObject takes 5 GiB: https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html
_MOST_BYTES = 5 * 1024**3
_MOST_KEY_BYTES = 1024
# What a rule takes to bring an event into a queue, and a worker to announce a result to the next one's.
_SETTLE_SECONDS = 3.0
_PROVENANCE = ".provenance.json"


def collect(files: Iterable[str], prefix: str) -> dict[str, Path]:
    """The files by the keys that they get.

    :raises Refusal: when one cannot be submitted.
    """
    found: dict[str, Path] = {}
    for name in files:
        path = Path(name)
        if path.is_dir():
            inside = [(member.relative_to(path).as_posix(), member) for member in sorted(path.rglob("*"))]
            some = {key: member for key, member in inside if member.is_file()}
            if not some:
                raise Refusal(f"there is no file in the folder {path}")
        elif path.is_file():
            some = {path.name: path}
        else:
            raise Refusal(f"there is no file {path}")
        for key, member in some.items():
            full = f"{prefix}{key}"
            if full in found and found[full] != member:
                raise Refusal(
                    f"{found[full]} and {member} would both become {full}: submit one with another prefix"
                )
            if len(full.encode()) > _MOST_KEY_BYTES:
                raise Refusal(
                    f"the key {full[:80]}... is longer than {_MOST_KEY_BYTES} bytes, which S3 does not take"
                )
            if member.stat().st_size > _MOST_BYTES:
                raise Refusal(f"{member} is larger than 5 GiB, which S3 does not take in one piece")
            found[full] = member
    return dict(sorted(found.items()))


def is_there(s3: Api, bucket: str, key: str, path: Path) -> bool:
    """Whether an object has the file's content, by the digest that this module leaves in its metadata.

    The etag would not do: with a key of KMS it is no digest of the content.
    """
    head = s3.call("head_object", Bucket=bucket, Key=key, missing=("404", "NoSuchKey", "NotFound"))
    if head is None or head["ContentLength"] != path.stat().st_size:
        return False
    return str(head.get("Metadata", {}).get("pasture-sha256", "")) == digest(path)


def digest(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        total = hashlib.sha256()
        while block := file.read(1024 * 1024):
            total.update(block)
    return total.hexdigest()


def put(s3: Api, bucket: str, key: str, path: Path) -> None:
    """Put a file into a bucket."""
    with path.open("rb") as body:
        s3.call(
            "put_object",
            Bucket=bucket,
            Key=key,
            Body=body,
            ContentType=type_of_key(key) or _UNKNOWN_TYPE,
            Metadata={"pasture-sha256": digest(path)},
        )


def await_rest(sqs: Api, queues: list[str], timeout: float) -> None:
    """Wait until the queues are empty, and stay so for a moment.

    :raises WaitTimeout: when they are not in time.
    """
    empty_since: list[float] = []

    def outstanding() -> dict[str, int]:
        return {name: count for name in queues if (count := queue(sqs, name).outstanding)}

    def rested(left: Mapping[str, Any] | None) -> bool:
        if left:
            empty_since.clear()
            return False
        empty_since.append(time.monotonic())
        return empty_since[-1] - empty_since[0] >= _SETTLE_SECONDS

    time.sleep(_SETTLE_SECONDS)  # for the events to arrive
    wait_until("done with all documents", outstanding, rested, timeout, interval=2.0)


def results_of(s3: Api, bucket: str, names: list[str], key: str) -> list[str]:
    """The URLs of the results that a document has, of each processor that reads the source bucket."""
    urls = []
    for name in names:
        listed = s3.pages("list_objects_v2", "Contents", Bucket=bucket, Prefix=f"{name}/{key}.")
        urls += [
            f"s3://{bucket}/{entry['Key']}" for entry in listed if not entry["Key"].endswith(_PROVENANCE)
        ]
    return urls


def submit(module: Any) -> list[dict[str, Any]]:
    """Do what the module is for; returns the documents."""
    params = module.params
    stack = params["stack"]
    ecs, s3, sqs, sts = (Api(module, service) for service in ("ecs", "s3", "sqs", "sts"))
    found = collect(params["files"], params["prefix"])
    names = processors(ecs, stack, [])
    account = (sts.call("get_caller_identity") or {})["Account"]
    own = f"{prefix_of(stack)}-{account}-{s3.region}"
    bucket = params["bucket"] or f"{own}-source"
    documents = []
    for key, path in found.items():
        wanted = params["force"] or not is_there(s3, bucket, key, path)
        if wanted and not module.check_mode:
            put(s3, bucket, key, path)
        documents.append(
            {
                "url": f"s3://{bucket}/{key}",
                "type": type_of_key(key) or _UNKNOWN_TYPE,
                "size": path.stat().st_size,
                "submitted": wanted,
            }
        )
    if params["wait"] and not module.check_mode:
        await_rest(sqs, [f"{prefix_of(stack)}-{name}" for name in names], params["wait_timeout"])
        results = params["results_bucket"] or f"{own}-results"
        for document, key in zip(documents, found, strict=True):
            document["results"] = results_of(s3, results, names, key)
    return documents


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "files": {"type": "list", "elements": "path", "required": True},
            "bucket": {"type": "str", "default": ""},
            "results_bucket": {"type": "str", "default": ""},
            "prefix": {"type": "str", "default": ""},
            "force": {"type": "bool", "default": False},
            "wait": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    try:
        documents = submit(module)
    except (AwsError, Refusal, WaitTimeout, OSError) as error:
        module.fail_json(msg=f"The documents could not be submitted: {error}.")
    submitted = [document["url"] for document in documents if document["submitted"]]
    result: dict[str, Any] = {"changed": bool(submitted), "documents": documents}
    if getattr(module, "_diff", False):
        result["diff"] = {"before": {"submitted": []}, "after": {"submitted": submitted}}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
