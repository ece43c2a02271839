# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories in ECR: what AWS returns, and what is asked of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal, ensure
from ansible_collections.pasture.ollama.plugins.modules.ecr_repository import (
    RepositoryItem,
    repository_state,
)

ARN = "arn:aws:ecr:eu-west-1:123456789012:repository/pasture-docs"
RULES = {"rules": [{"rulePriority": 1, "action": {"type": "expire"}}]}
FOUND = {
    "repositoryName": "pasture-docs",
    "repositoryUri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pasture-docs",
    "repositoryArn": ARN,
    "imageTagMutability": "IMMUTABLE",
    "imageScanningConfiguration": {"scanOnPush": True},
    "encryptionConfiguration": {"encryptionType": "AES256"},
}
OPTIONS = {
    "name": "pasture-docs",
    "immutable": True,
    "scan_on_push": True,
    "kms_key_arn": "",
    "lifecycle_policy": RULES,
    "tags": {"pasture:stack": "docs"},
}


class Ecr:
    """Answers with one repository; remembers what was called."""

    def __init__(self, **changes: Any) -> None:
        self.found = {**FOUND, **changes}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def call(self, operation: str, missing: Any = (), **arguments: Any) -> dict[str, Any] | None:
        if operation == "describe_repositories":
            return {"repositories": [self.found]}
        if operation == "get_lifecycle_policy":
            return {"lifecyclePolicyText": json.dumps(RULES)}
        if operation == "list_tags_for_resource":
            return {"tags": [{"Key": "pasture:stack", "Value": "docs"}]}
        self.calls.append((operation, arguments))
        return {}


def test_what_is_as_wanted_is_left_alone() -> None:
    ecr = Ecr()
    assert ensure(RepositoryItem(ecr, OPTIONS)).changed is False  # type: ignore[arg-type]
    assert ecr.calls == []


@pytest.mark.parametrize(
    ("option", "value", "operation"),
    [
        ("immutable", False, "put_image_tag_mutability"),
        ("scan_on_push", False, "put_image_scanning_configuration"),
        ("lifecycle_policy", {}, "delete_lifecycle_policy"),
        ("lifecycle_policy", {"rules": [{"rulePriority": 2}]}, "put_lifecycle_policy"),
        ("tags", {"pasture:stack": "docs", "a": "b"}, "tag_resource"),
        ("tags", {}, "untag_resource"),
    ],
)
def test_one_difference_is_one_call(option: str, value: Any, operation: str) -> None:
    ecr = Ecr()
    outcome = ensure(RepositoryItem(ecr, {**OPTIONS, option: value}))  # type: ignore[arg-type]
    assert outcome.changed is True
    assert [called for called, _arguments in ecr.calls] == [operation]


def test_a_key_cannot_be_changed_and_that_is_told() -> None:
    with pytest.raises(Refusal, match="its key cannot be changed"):
        ensure(RepositoryItem(Ecr(), {**OPTIONS, "kms_key_arn": "arn:aws:kms:x"}))  # type: ignore[arg-type]


def test_tags_that_are_immutable_with_exceptions_count_as_immutable() -> None:
    found = {**FOUND, "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"}
    assert repository_state(found, None, {})["immutable"] is True


def test_only_with_force_images_go_too() -> None:
    for force in (True, False):
        ecr = Ecr()
        ensure(RepositoryItem(ecr, {"name": "pasture-docs"}, force=force), "absent")  # type: ignore[arg-type]
        assert ecr.calls == [("delete_repository", {"repositoryName": "pasture-docs", "force": force})]
