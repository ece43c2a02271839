# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployer's policies in docs/iam: all that network, storage and cache call, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient

from ansible_collections.pasture.ollama.plugins.modules import (
    efs_access_point,
    efs_file_system,
    s3_buckets,
    vpc_endpoints,
    vpc_network,
    vpc_security_groups,
)

Run = Callable[..., dict[str, Any]]
POLICIES = Path(__file__).parents[4] / "docs" / "iam"
TAGS = {"pasture:stack": "docs"}
MORE_TAGS = {**TAGS, "team": "a"}

# Where a permission is not called as its operation is.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
_S3 = {
    "HeadBucket": ["ListBucket"],
    "ListObjectVersions": ["ListBucketVersions"],
    "GetBucketEncryption": ["GetEncryptionConfiguration"],
    "PutBucketEncryption": ["PutEncryptionConfiguration"],
    "GetPublicAccessBlock": ["GetBucketPublicAccessBlock"],
    "PutPublicAccessBlock": ["PutBucketPublicAccessBlock"],
    "GetBucketNotificationConfiguration": ["GetBucketNotification"],
    "PutBucketNotificationConfiguration": ["PutBucketNotification"],
    "GetBucketLifecycleConfiguration": ["GetLifecycleConfiguration"],
    "PutBucketLifecycleConfiguration": ["PutLifecycleConfiguration"],
    "CreateBucket": ["CreateBucket", "PutBucketOwnershipControls"],
    "DeleteObjects": ["DeleteObject", "DeleteObjectVersion"],
}
# What AWS asks for on its own account, or only in states that the emulator has not.
_NOT_CALLED_HERE = {
    # https://docs.aws.amazon.com/vpc/latest/privatelink/create-interface-endpoint.html
    "route53:AssociateVPCWithHostedZone",
    # https://docs.aws.amazon.com/efs/latest/ug/API_CreateMountTarget.html
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:ModifyNetworkInterfaceAttribute",
    # Asked when a flow log gets its role.
    "iam:PassRole",
    # An endpoint that lost its gateway by hand gets it back.
    "ec2:ReplaceRoute",
}
# The statements that AWS gives no means to narrow; docs/iam.md says why.
NOT_NARROWED = {"TagNewNetwork", "NamesOfEndpoints", "InterfacesOfMountTargets", "EmptyDefaultGroup"}


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The permissions of all calls while the test runs."""
    original = BaseClient._make_api_call
    seen: set[str] = set()

    def note(self: Any, operation_name: str, api_params: dict[str, Any]) -> Any:
        prefix = self.meta.service_model.signing_name
        names = _S3.get(operation_name, [operation_name]) if prefix == "s3" else [operation_name]
        seen.update(f"{prefix}:{name}" for name in names)
        return original(self, operation_name, api_params)

    monkeypatch.setattr(BaseClient, "_make_api_call", note)
    return seen


def allowed(policy: str) -> set[str]:
    """The actions that a policy allows, but for those on keys, which amazon.aws calls."""
    statements = json.loads((POLICIES / f"{policy}.json").read_text())["Statement"]
    return {action for one in statements for action in one["Action"] if not action.startswith("kms:")}


def network(run: Run) -> tuple[dict[str, Any], dict[str, str]]:
    """Make, change and change back a network; returns it with its groups."""
    groups = [
        {"name": "tasks", "egress": [{"peers": ["files"], "ports": [2049]}]},
        {"name": "files", "ingress": [{"peers": ["tasks"], "ports": [2049]}]},
    ]
    with_s3 = [
        {"name": "tasks", "egress": [{"peers": ["com.amazonaws.eu-west-1.s3"], "ports": [443]}]},
        {"name": "files"},
    ]
    log = {
        "log_group": "/pasture/docs/network/flow-log",
        "role_arn": "arn:aws:iam::123456789012:role/flow-log",
    }
    made, ids = {}, {}
    for egress, listed, tags, services in (
        ("nat", groups, MORE_TAGS, ["sqs", "sts"]),
        ("none", with_s3, TAGS, ["sqs"]),
        ("nat", groups, {**TAGS, "area": "b"}, ["sqs"]),
    ):
        common = {"tags": tags}
        flow_log = {"flow_log": log} if egress == "nat" else {}
        made = run(vpc_network, name="p", egress=egress, instance_types=["g5.xlarge"], **flow_log, **common)[
            "network"
        ]
        ids = run(vpc_security_groups, vpc_id=made["vpc_id"], groups=listed, **common)["group_ids"]
        run(
            vpc_endpoints,
            name="p",
            vpc_id=made["vpc_id"],
            subnet_ids=made["private_subnet_ids"],
            security_group_ids=[ids["files" if egress == "nat" else "tasks"]],
            endpoints=[{"service": one} for one in services],
            **common,
        )
    return made, ids


def test_the_network_calls_what_its_policy_allows(run: Run, called: set[str]) -> None:
    network(run)
    run(vpc_endpoints, name="p", state="absent", tags=TAGS)
    run(vpc_security_groups, groups=[{"name": "tasks"}, {"name": "files"}], state="absent", tags=TAGS)
    run(vpc_network, name="p", state="absent", tags=TAGS)
    assert called == allowed("network") - _NOT_CALLED_HERE


def test_the_buckets_call_what_their_policy_allows(run: Run, called: set[str]) -> None:
    settings = {
        "name": "pasture-docs-results",
        "versioning": True,
        "block_public_access": True,
        "tls_only": True,
        "eventbridge": True,
        "encryption": {"algorithm": "AES256"},
        "lifecycle": {"noncurrent_days": 30},
        "tags": TAGS,
    }
    run(s3_buckets, buckets=[settings])
    run(s3_buckets, buckets=[{**settings, "tls_only": False}])
    boto3.client("s3").put_object(Bucket=settings["name"], Key="a.txt", Body=b"a")
    called.discard("s3:PutObject")
    run(s3_buckets, buckets=[settings], state="absent", delete_objects=True)
    assert called == allowed("storage")


def test_the_cache_calls_what_its_policy_allows(run: Run, called: set[str]) -> None:
    made, ids = network(run)
    called.clear()
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "*", "Resource": "*"}],
    }
    for changes in (
        {"throughput_mode": "elastic", "backup": False, "policy": policy, "tags": MORE_TAGS},
        {"throughput_mode": "bursting", "backup": True, "policy": {}, "tags": {**TAGS, "area": "b"}},
    ):
        group = ids["files" if changes["backup"] else "tasks"]
        made_now = run(
            efs_file_system,
            name="p",
            subnet_ids=made["private_subnet_ids"],
            security_group_ids=[group],
            **changes,
        )
        file_system_id = made_now["file_system"]["file_system_id"]
        run(efs_access_point, name="p", file_system_id=file_system_id, tags=changes["tags"])
    run(efs_access_point, name="p", state="absent")
    run(efs_file_system, name="p", state="absent")
    # Read by EFS itself when it makes a mount target.
    assert called == allowed("cache") - _NOT_CALLED_HERE - {"ec2:DescribeSecurityGroups"}


@pytest.mark.parametrize("policy", ["network", "storage", "cache"])
def test_a_policy_fits_and_concerns_one_stack(policy: str) -> None:
    text = (POLICIES / f"{policy}.json").read_text()
    assert len(re.sub(r"\s", "", text)) <= 6144  # the limit of a managed policy
    for statement in json.loads(text)["Statement"]:
        narrowed = "${stack}" in json.dumps([statement["Resource"], statement.get("Condition")])
        looks = all(re.match(r"\w+:(Describe|List)", action) for action in statement["Action"])
        assert narrowed or looks or statement["Sid"] in NOT_NARROWED
