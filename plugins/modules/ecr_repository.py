#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ecr_repository
version_added: 1.0.0
short_description: Manage repositories in Amazon ECR
description:
  - Creates, changes or deletes repositories for container images, with their rules for old images.
  - It exists because M(community.aws.ecs_ecr) knows no tags, so that what a stack made could not be found again.
options:
  repositories:
    description: The repositories.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The repository's name.
        type: str
        required: true
      immutable:
        description: Whether a tag stays with the image that had it first.
        type: bool
      scan_on_push:
        description: Whether ECR looks for known vulnerabilities in what is pushed.
        type: bool
      lifecycle_policy:
        description: The rules by which ECR removes old images, as its API writes them. An empty one removes none.
        type: dict
      kms_key_arn:
        description: The key that encrypts a repository that is made. ECR's own when not given. It cannot be changed.
        type: str
      tags:
        description: Its tags.
        type: dict
  prefix:
    description: With O(scope), the repositories whose name begins with this are looked at.
    type: str
    default: ""
  force:
    description: Delete a repository although it holds images.
    type: bool
    default: false
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
- name: Make a repository that keeps the last five images
  pasture.ollama.ecr_repository:
    repositories:
      - name: pasture-docs
        immutable: true
        scan_on_push: true
        lifecycle_policy:
          rules:
            - rulePriority: 1
              selection: {tagStatus: any, countType: imageCountMoreThan, countNumber: 5}
              action: {type: expire}
"""

RETURN = r"""
repositories:
  description: The listed repositories as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
  sample:
    - name: pasture-docs
      uri: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/pasture-docs
      arn: arn:aws:ecr:eu-west-1:123456789012:repository/pasture-docs
      immutable: true
      scan_on_push: true
unlisted:
  description: The names of the repositories in scope that are not listed.
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
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal, State
from ansible_collections.pasture.ollama.plugins.module_utils._sets import (
    SET_OPTIONS,
    SET_REQUIREMENTS,
    Candidate,
    Item,
    Tags,
    run_set,
)
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_change, tag_dict, upper_list
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

_MISSING = ("RepositoryNotFoundException",)
_NO_RULES = ("LifecyclePolicyNotFoundException",)


def repository_state(found: dict[str, Any], rules: str | None, tags: dict[str, str]) -> State:
    """A repository in the terms of the module's options."""
    return {
        "name": found["repositoryName"],
        "uri": found["repositoryUri"],
        "arn": found["repositoryArn"],
        "immutable": found.get("imageTagMutability", "MUTABLE").startswith("IMMUTABLE"),
        "scan_on_push": found.get("imageScanningConfiguration", {}).get("scanOnPush", False),
        "kms_key_arn": found.get("encryptionConfiguration", {}).get("kmsKey", ""),
        "lifecycle_policy": json.loads(rules) if rules else {},
        "tags": tags,
    }


def mutability(immutable: bool) -> str:
    """As ECR says it."""
    return "IMMUTABLE" if immutable else "MUTABLE"


class RepositoryItem(Item):
    kind = "ECR repository"
    exact_keys = frozenset({"tags", "lifecycle_policy"})

    def __init__(
        self, api: Api, options: dict[str, Any], purge_tags: bool = True, force: bool = False
    ) -> None:
        super().__init__(api, options, purge_tags)
        self.force = force

    def read(self) -> State | None:
        answer = self.api.call("describe_repositories", missing=_MISSING, repositoryNames=[self.name])
        if answer is None:
            return None
        found = answer["repositories"][0]
        rules = self.api.call(
            "get_lifecycle_policy", missing=(*_MISSING, *_NO_RULES), repositoryName=self.name
        )
        tags = self.api.call("list_tags_for_resource", missing=_MISSING, resourceArn=found["repositoryArn"])
        return repository_state(
            found, (rules or {}).get("lifecyclePolicyText"), tag_dict((tags or {}).get("tags"))
        )

    def computed(self) -> State:
        return {
            "uri": unknown(f"URI of repository {self.name}"),
            "arn": unknown(f"ARN of repository {self.name}"),
        }

    def create(self, wanted: State) -> None:
        key = wanted.get("kms_key_arn")
        self.api.call(
            "create_repository",
            repositoryName=self.name,
            imageTagMutability=mutability(wanted.get("immutable", False)),
            imageScanningConfiguration={"scanOnPush": wanted.get("scan_on_push", False)},
            encryptionConfiguration={"encryptionType": "KMS", "kmsKey": key} if key else None,
            tags=upper_list(wanted.get("tags", {})) or None,
        )
        if wanted.get("lifecycle_policy"):
            self._set_rules(wanted["lifecycle_policy"])

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if "kms_key_arn" in changed_keys:
            raise Refusal(
                "its key cannot be changed: delete the repository (its images are built again) and run again"
            )
        if "immutable" in changed_keys:
            self.api.call(
                "put_image_tag_mutability",
                repositoryName=self.name,
                imageTagMutability=mutability(wanted["immutable"]),
            )
        if "scan_on_push" in changed_keys:
            self.api.call(
                "put_image_scanning_configuration",
                repositoryName=self.name,
                imageScanningConfiguration={"scanOnPush": wanted["scan_on_push"]},
            )
        if "lifecycle_policy" in changed_keys:
            self._set_rules(wanted["lifecycle_policy"])
        if "tags" in changed_keys:
            change = tag_change(current["tags"], wanted["tags"])
            if change.removed:
                self.api.call("untag_resource", resourceArn=current["arn"], tagKeys=change.removed)
            if change.added:
                self.api.call("tag_resource", resourceArn=current["arn"], tags=upper_list(change.added))

    def _set_rules(self, rules: dict[str, Any]) -> None:
        if rules.get("rules"):
            self.api.call(
                "put_lifecycle_policy", repositoryName=self.name, lifecyclePolicyText=json.dumps(rules)
            )
        else:
            self.api.call("delete_lifecycle_policy", missing=_NO_RULES, repositoryName=self.name)

    def delete(self, current: State) -> None:
        self.api.call("delete_repository", missing=_MISSING, repositoryName=self.name, force=self.force)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "repositories": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "immutable": {"type": "bool"},
                    "scan_on_push": {"type": "bool"},
                    "lifecycle_policy": {"type": "dict"},
                    "kms_key_arn": {"type": "str", "no_log": False},
                    "tags": {"type": "dict"},
                },
            },
            "prefix": {"type": "str", "default": ""},
            "force": {"type": "bool", "default": False},
            **SET_OPTIONS,
        },
        supports_check_mode=True,
        **SET_REQUIREMENTS,
    )
    api = Api(module, "ecr")
    params = module.params

    def read_tags(arn: str) -> Tags:
        answer = api.call("list_tags_for_resource", missing=_MISSING, resourceArn=arn) or {}
        return tag_dict(answer.get("tags"))

    def find(_scope: Tags) -> Iterator[Candidate]:
        for found in api.pages("describe_repositories", "repositories"):
            if not found["repositoryName"].startswith(params["prefix"]):
                continue
            repository = RepositoryItem(api, {"name": found["repositoryName"]}, force=params["force"])
            yield Candidate(repository, partial(read_tags, found["repositoryArn"]))

    listed = [
        RepositoryItem(api, options, params["purge_tags"], params["force"])
        for options in params["repositories"]
    ]
    run_set(module, "repositories", [listed], find)


if __name__ == "__main__":
    main()
