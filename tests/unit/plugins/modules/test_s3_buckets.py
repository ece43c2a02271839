# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets of documents, our own and adopted ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from ansible_collections.pasture.ollama.plugins.module_utils._s3 import merge_lifecycle
from ansible_collections.pasture.ollama.plugins.modules import s3_buckets

Run = Callable[..., dict[str, Any]]
ACCOUNT = "123456789012"
NAME = "pasture-docs-results"
OURS = {
    "name": NAME,
    "versioning": True,
    "block_public_access": True,
    "tls_only": True,
    "eventbridge": True,
    "encryption": {"algorithm": "AES256"},
    "lifecycle": {"noncurrent_days": 30, "incomplete_days": 7},
    "tags": {"pasture:stack": "docs"},
}
THEIR_STATEMENT = {
    "Sid": "Theirs",
    "Effect": "Allow",
    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
    "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::invoices/*",
}


@pytest.fixture
def bucket(run: Run) -> Run:
    return lambda changes=None, **arguments: run(
        s3_buckets, **{"buckets": [{**OURS, **(changes or {})}], "owner": ACCOUNT, **arguments}
    )


@pytest.fixture
def adopted(run: Run) -> Run:
    """Adopts a bucket that others have set up."""
    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    s3.create_bucket(Bucket="invoices", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    url = sqs.create_queue(QueueName="theirs")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    theirs = {
        "Id": "theirs",
        "QueueArn": arn,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}},
    }
    s3.put_bucket_notification_configuration(
        Bucket="invoices", NotificationConfiguration={"QueueConfigurations": [theirs]}
    )
    s3.put_bucket_policy(
        Bucket="invoices", Policy=json.dumps({"Version": "2012-10-17", "Statement": [THEIR_STATEMENT]})
    )
    s3.put_bucket_tagging(Bucket="invoices", Tagging={"TagSet": [{"Key": "team", "Value": "finance"}]})
    s3.put_object(Bucket="invoices", Key="one.txt", Body=b"one")
    options = {"name": "invoices", "adopted": True, "eventbridge": True, "tls_only": True}
    return lambda **arguments: run(s3_buckets, **{"buckets": [options], "owner": ACCOUNT, **arguments})


def exists(name: str) -> bool:
    try:
        boto3.client("s3").head_bucket(Bucket=name)
    except ClientError:
        return False
    return True


def sids(name: str) -> list[str]:
    policy = json.loads(boto3.client("s3").get_bucket_policy(Bucket=name)["Policy"])
    return [statement["Sid"] for statement in policy["Statement"]]


def test_a_made_bucket_is_private_encrypted_versioned_and_heard_of(bucket: Run) -> None:
    assert bucket()["changed"] is True
    s3 = boto3.client("s3")
    assert s3.get_bucket_versioning(Bucket=NAME)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=NAME)["PublicAccessBlockConfiguration"].values())
    assert "EventBridgeConfiguration" in s3.get_bucket_notification_configuration(Bucket=NAME)
    assert sids(NAME) == ["TlsOnly"]
    assert bucket()["changed"] is False


@pytest.mark.parametrize(
    ("edit", "key"),
    [
        ({"versioning": False}, "versioning"),
        ({"block_public_access": False}, "block_public_access"),
        ({"tls_only": False}, "policy"),
        ({"eventbridge": False}, "eventbridge"),
        (
            {
                "encryption": {
                    "algorithm": "aws:kms",
                    "kms_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/1",
                }
            },
            "encryption",
        ),
        ({"lifecycle": {"noncurrent_days": 10}}, "lifecycle_rules"),
        ({"lifecycle": {}}, "lifecycle_rules"),
        ({"tags": {"pasture:stack": "docs", "team": "a"}}, "tags"),
    ],
)
def test_an_edit_is_told_done_and_then_done_with(bucket: Run, edit: dict[str, Any], key: str) -> None:
    bucket()
    told = bucket(edit, check_mode=True)
    done = bucket(edit)
    assert told["diff"] == done["diff"]
    assert [set(diff["after"]) for diff in done["diff"]] == [{key}]
    assert bucket(edit)["changed"] is False


def test_a_tag_that_is_no_longer_given_goes(bucket: Run) -> None:
    bucket({"tags": {"pasture:stack": "docs", "team": "a"}})
    assert bucket()["changed"] is True
    assert bucket()["buckets"][0]["tags"] == {"pasture:stack": "docs"}


def test_check_mode_on_an_empty_account_makes_nothing(bucket: Run) -> None:
    told = bucket(check_mode=True)
    assert told["changed"] is True
    assert told["buckets"][0]["arn"] == f"arn:aws:s3:::{NAME}"
    assert not exists(NAME)


def test_what_others_have_set_on_an_adopted_bucket_stays(adopted: Run) -> None:
    assert adopted()["changed"] is True
    s3 = boto3.client("s3")
    notifications = s3.get_bucket_notification_configuration(Bucket="invoices")
    assert [one["Id"] for one in notifications["QueueConfigurations"]] == ["theirs"]
    assert notifications["QueueConfigurations"][0]["Filter"]["Key"]["FilterRules"][0]["Value"] == "in/"
    assert "EventBridgeConfiguration" in notifications
    assert sids("invoices") == ["Theirs", "TlsOnly"]
    assert s3.get_bucket_tagging(Bucket="invoices")["TagSet"] == [{"Key": "team", "Value": "finance"}]
    assert s3.get_bucket_versioning(Bucket="invoices").get("Status") is None
    assert adopted()["changed"] is False


def test_letting_go_of_an_adopted_bucket_leaves_it_as_it_was_found(adopted: Run) -> None:
    adopted()
    gone = adopted(state="absent", delete_objects=True)
    assert gone["kept"] == []
    assert exists("invoices")
    assert sids("invoices") == ["Theirs"]
    assert boto3.client("s3").get_object(Bucket="invoices", Key="one.txt")["Body"].read() == b"one"
    assert adopted(state="absent")["changed"] is False


def test_a_bucket_that_is_not_there_cannot_be_adopted(run: Run) -> None:
    failed = run(s3_buckets, buckets=[{"name": "nowhere", "adopted": True}], owner=ACCOUNT)
    assert "there is no such bucket; make it first" in failed["msg"]


def test_check_mode_foretells_no_adoption_of_a_bucket_that_is_not_there(run: Run) -> None:
    told = run(s3_buckets, buckets=[{"name": "nowhere", "adopted": True}], owner=ACCOUNT, check_mode=True)
    assert "there is no such bucket; make it first" in told["msg"]


def test_a_bucket_of_somebody_else_is_not_taken(bucket: Run, refuse: Callable[..., None]) -> None:
    refuse("HeadBucket", "403")
    assert "not this account's" in bucket()["msg"]


def test_a_bucket_in_another_region_is_refused(run: Run) -> None:
    boto3.client("s3", region_name="eu-central-1").create_bucket(
        Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    failed = run(s3_buckets, buckets=[{"name": "far", "adopted": True}])
    assert "it is in eu-central-1 and the stack in eu-west-1" in failed["msg"]


def test_a_bucket_with_documents_is_kept_and_named(bucket: Run) -> None:
    bucket()
    boto3.client("s3").put_object(Bucket=NAME, Key="a.txt", Body=b"a")
    for check_mode in (True, False):
        gone = bucket(state="absent", check_mode=check_mode)
        assert (gone["changed"], gone["kept"]) == (False, [NAME])
    assert exists(NAME)


def test_a_bucket_goes_with_every_version_when_told_so(bucket: Run) -> None:
    bucket()
    s3 = boto3.client("s3")
    for body in (b"a", b"b"):
        s3.put_object(Bucket=NAME, Key="a.txt", Body=body)
    s3.delete_object(Bucket=NAME, Key="a.txt")
    assert bucket(state="absent", delete_objects=True, check_mode=True)["changed"] is True
    assert exists(NAME)
    bucket(state="absent", delete_objects=True)
    assert not exists(NAME)


@pytest.mark.parametrize(
    "operation", ["PutBucketVersioning", "PutBucketPolicy", "PutBucketEncryption", "PutBucketTagging"]
)
def test_a_run_that_was_refused_half_way_is_completed_by_the_next(
    bucket: Run, refuse: Callable[..., None], operation: str
) -> None:
    refuse(operation, "AccessDenied", times=1)
    assert f"bucket {NAME} could not be brought to the wanted state" in bucket()["msg"]
    assert bucket()["changed"] is True
    assert bucket()["changed"] is False


def test_an_object_that_may_not_be_deleted_is_named(bucket: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket()
    boto3.client("s3").put_object(Bucket=NAME, Key="locked.txt", Body=b"a")
    original = s3_buckets.Api.call

    def locked(self: Any, operation: str, /, **arguments: Any) -> Any:
        if operation == "delete_objects":
            return {"Errors": [{"Key": "locked.txt", "Code": "AccessDenied", "Message": "object lock"}]}
        return original(self, operation, **arguments)

    monkeypatch.setattr(s3_buckets.Api, "call", locked)
    assert "such as locked.txt: object lock" in bucket(state="absent", delete_objects=True)["msg"]


def test_rules_of_others_keep_their_place() -> None:
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}}
    (kept, ours) = merge_lifecycle([theirs], {"noncurrent_days": 30})
    assert kept == theirs
    assert ours["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert merge_lifecycle([theirs, ours], {}) == [theirs]


def test_our_rule_in_the_spelling_of_aws_is_no_difference() -> None:
    (ours,) = merge_lifecycle([], {"noncurrent_days": 30})
    as_returned = {**{key: value for key, value in ours.items() if key != "Filter"}, "Filter": {}}
    assert merge_lifecycle([as_returned], {"noncurrent_days": 30}) == [as_returned]
