# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Buckets of documents, our own and adopted ones.

For internal use of this collection only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._policy import (
    keep_if_same,
    merge_statements,
    parse,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import (
    Refusal,
    Resource,
    State,
    merge_tags,
    wait_until,
)
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_dict, upper_list

#: Why a bucket cannot be adopted that does not exist.
NOT_THERE = "there is no such bucket; make it first, or give no name to have one made"
#: The one lifecycle rule of ours; rules with other names are left as they are.
LIFECYCLE_RULE = "pasture"
_BLOCKED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
_BATCH = 1000  # objects that DeleteObjects takes at a time


class Bucket(Resource):
    """A bucket, with the settings that were given; what is None is left alone.

    :param options: C(name), C(adopted), C(versioning), C(encryption), C(block_public_access), C(tls_only),
        C(eventbridge),
        C(lifecycle) and C(tags), as the module documents them.
    :param owner: the account that must own it, so that nobody's look-alike is taken for ours.
    :param tls_statement: the C(Sid) of our statement in its policy.
    """

    kind = "bucket"
    exact_keys = frozenset({"tags", "policy", "lifecycle_rules"})

    def __init__(
        self, api: Api, options: Mapping[str, Any], owner: str | None, tls_statement: str, partition: str
    ) -> None:
        super().__init__(str(options["name"]))
        self.api = api
        self.options = options
        self.owner = owner
        self.tls_statement = tls_statement
        self.arn = f"arn:{partition}:s3:::{self.name}"

    @property
    def adopted(self) -> bool:
        return bool(self.options.get("adopted"))

    def _get(self, operation: str, *missing: str) -> dict[str, Any]:
        return self.api.call(operation, missing=missing, Bucket=self.name) or {}

    def exists(self) -> bool:
        """Whether the bucket is there.

        :raises Refusal: when it is somebody else's or somewhere else.
        """
        try:
            head = self.api.call(
                "head_bucket",
                missing=["404", "NoSuchBucket"],
                Bucket=self.name,
                ExpectedBucketOwner=self.owner,
            )
        except AwsError as error:
            if error.code in ("403", "AccessDenied"):
                raise Refusal(
                    "it exists but is not this account's, or these credentials may not see it; bucket names are "
                    "shared by all accounts, so choose another name or stack, or check the credentials"
                ) from error
            raise
        region = (head or {}).get("BucketRegion")
        if region and region != self.api.region:
            raise Refusal(f"it is in {region} and the stack in {self.api.region}; both must be in one region")
        return head is not None

    def read(self) -> State | None:
        if not self.exists():
            if self.adopted:
                raise Refusal(NOT_THERE)
            return None
        encryption = self._get("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError")
        public = self._get("get_public_access_block", "NoSuchPublicAccessBlockConfiguration")
        return {
            "name": self.name,
            "arn": self.arn,
            "versioning": self._get("get_bucket_versioning").get("Status") == "Enabled",
            "encryption": described_encryption(encryption.get("ServerSideEncryptionConfiguration")),
            "block_public_access": public.get("PublicAccessBlockConfiguration") == _BLOCKED,
            "policy": parse(self._get("get_bucket_policy", "NoSuchBucketPolicy").get("Policy")),
            "eventbridge": "EventBridgeConfiguration" in self._get("get_bucket_notification_configuration"),
            "lifecycle_rules": self._get(
                "get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"
            ).get("Rules", []),
            "tags": tag_dict(self._get("get_bucket_tagging", "NoSuchTagSet").get("TagSet")),
        }

    def wanted(self, current: State | None) -> State:
        present = current or {}
        wanted: State = {"name": self.name, "arn": self.arn}
        for key in ("versioning", "block_public_access", "encryption", "eventbridge"):
            if self.options.get(key) is not None:
                wanted[key] = self.options[key]
        if self.options.get("tls_only") is not None:
            ours, retired = self._tls_statement() if self.options["tls_only"] else ([], [self.tls_statement])
            policy = merge_statements(present.get("policy"), ours, retired)
            wanted["policy"] = keep_if_same(present.get("policy"), policy)
        if self.options.get("lifecycle") is not None:
            wanted["lifecycle_rules"] = merge_lifecycle(
                present.get("lifecycle_rules", []), self.options["lifecycle"]
            )
        if self.options.get("tags") is not None:
            wanted["tags"] = merge_tags(present.get("tags"), self.options["tags"], purge=not self.adopted)
        return wanted

    def _tls_statement(self) -> tuple[list[dict[str, Any]], list[str]]:
        statement = {
            "Sid": self.tls_statement,
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [self.arn, f"{self.arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        return [statement], []

    def create(self, wanted: State) -> None:
        # us-east-1 is the one region that may not be named.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
        elsewhere = {"LocationConstraint": self.api.region} if self.api.region != "us-east-1" else None
        self.api.call(
            "create_bucket",
            Bucket=self.name,
            CreateBucketConfiguration=elsewhere,
            ObjectOwnership="BucketOwnerEnforced",
        )
        wait_until(
            "there", lambda: {"exists": self.exists()}, lambda seen: bool(seen and seen["exists"]), timeout=60
        )
        # Tags first: with them the bucket is known as the stack's, also when the next call never comes.
        self.update({}, wanted, set(wanted) - {"name", "arn"})

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        for key in (
            "tags",
            "block_public_access",
            "encryption",
            "versioning",
            "lifecycle_rules",
            "policy",
            "eventbridge",
        ):
            if key in changed_keys:
                getattr(self, f"_put_{key}")(wanted[key])

    def _put_tags(self, tags: dict[str, str]) -> None:
        self.api.call("put_bucket_tagging", Bucket=self.name, Tagging={"TagSet": upper_list(tags)})

    def _put_block_public_access(self, block: bool) -> None:
        if block:
            self.api.call(
                "put_public_access_block", Bucket=self.name, PublicAccessBlockConfiguration=_BLOCKED
            )
        else:
            self.api.call("delete_public_access_block", Bucket=self.name)

    def _put_encryption(self, encryption: dict[str, Any]) -> None:
        default = {"SSEAlgorithm": encryption["algorithm"]}
        if encryption.get("kms_key_arn"):
            default["KMSMasterKeyID"] = encryption["kms_key_arn"]
        # A bucket key saves a call of KMS, and its price, for every object.
        rule = {
            "ApplyServerSideEncryptionByDefault": default,
            "BucketKeyEnabled": encryption["algorithm"] == "aws:kms",
        }
        self.api.call(
            "put_bucket_encryption", Bucket=self.name, ServerSideEncryptionConfiguration={"Rules": [rule]}
        )

    def _put_versioning(self, versioning: bool) -> None:
        status = {"Status": "Enabled" if versioning else "Suspended"}
        self.api.call("put_bucket_versioning", Bucket=self.name, VersioningConfiguration=status)

    def _put_lifecycle_rules(self, rules: list[dict[str, Any]]) -> None:
        if rules:
            self.api.call(
                "put_bucket_lifecycle_configuration",
                Bucket=self.name,
                LifecycleConfiguration={"Rules": rules},
            )
        else:
            self.api.call("delete_bucket_lifecycle", Bucket=self.name)

    def _put_policy(self, policy: dict[str, Any] | None) -> None:
        if policy:
            self.api.call("put_bucket_policy", Bucket=self.name, Policy=json.dumps(policy))
        else:
            self.api.call("delete_bucket_policy", Bucket=self.name)

    def _put_eventbridge(self, enabled: bool) -> None:
        # The call replaces all notifications, so those of others are read and given back as they are. S3
        # would test their
        # destinations anew; whether these still work is not this bucket's business.
        present = self._get("get_bucket_notification_configuration")
        notifications = {
            key: value
            for key, value in present.items()
            if key not in ("ResponseMetadata", "EventBridgeConfiguration")
        }
        if enabled:
            notifications["EventBridgeConfiguration"] = {}
        self.api.call(
            "put_bucket_notification_configuration",
            Bucket=self.name,
            NotificationConfiguration=notifications,
            SkipDestinationValidation=True,
        )

    def is_empty(self) -> bool:
        """Whether it holds no object, and no version of one."""
        answer = self.api.call("list_object_versions", Bucket=self.name, MaxKeys=1) or {}
        return not answer.get("Versions") and not answer.get("DeleteMarkers")

    def delete(self, current: State) -> None:
        def attempt() -> State | None:
            self._clear()
            gone = self.api.call("delete_bucket", missing=["BucketNotEmpty"], Bucket=self.name)
            return None if gone is not None else {"not empty": True}

        wait_until("empty", attempt, lambda left: left is None, timeout=300)

    def _clear(self) -> None:
        """Delete every version of every object.

        :raises Refusal: when some may not be deleted.
        """
        batch: list[dict[str, str]] = []
        for kind in ("Versions", "DeleteMarkers"):
            for one in self.api.pages("list_object_versions", kind, Bucket=self.name):
                batch.append({"Key": one["Key"], "VersionId": one["VersionId"]})
                if len(batch) == _BATCH:
                    self._delete_objects(batch)
                    batch = []
        if batch:
            self._delete_objects(batch)

    def _delete_objects(self, batch: list[dict[str, str]]) -> None:
        answer = (
            self.api.call("delete_objects", Bucket=self.name, Delete={"Objects": batch, "Quiet": True}) or {}
        )
        # This call succeeds and tells of its failures in the answer.
        errors = [error for error in answer.get("Errors", []) if error["Code"] != "NoSuchVersion"]
        if errors:
            raise Refusal(
                f"{len(errors)} objects could not be deleted, such as {errors[0]['Key']}: {errors[0]['Message']}"
            )


def described_encryption(configuration: dict[str, Any] | None) -> dict[str, Any] | None:
    """S3's answer in the module's terms."""
    rules = (configuration or {}).get("Rules") or []
    if not rules:
        return None
    default = rules[0].get("ApplyServerSideEncryptionByDefault", {})
    encryption = {"algorithm": default.get("SSEAlgorithm")}
    if default.get("KMSMasterKeyID"):
        encryption["kms_key_arn"] = default["KMSMasterKeyID"]
    return encryption


def lifecycle_rule(options: Mapping[str, Any]) -> dict[str, Any]:
    """Our rule. All times are in days; None leaves a part out."""
    rule: dict[str, Any] = {"ID": LIFECYCLE_RULE, "Status": "Enabled", "Filter": {"Prefix": ""}}
    if options.get("incomplete_days"):
        rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": options["incomplete_days"]}
    if options.get("noncurrent_days"):
        rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": options["noncurrent_days"]}
    if options.get("expire_days"):
        rule["Expiration"] = {"Days": options["expire_days"]}
    return rule


def merge_lifecycle(present: list[dict[str, Any]], options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rules with ours among them, in the place it had."""
    ours = lifecycle_rule(options)
    acts = set(ours) - {"ID", "Status", "Filter"}
    merged = [_settled(rule, ours) if rule.get("ID") == LIFECYCLE_RULE else rule for rule in present]
    if not any(rule.get("ID") == LIFECYCLE_RULE for rule in present):
        merged.append(ours)
    return [rule for rule in merged if acts or rule.get("ID") != LIFECYCLE_RULE]


def _settled(present: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """Our rule as S3 returns it, when that says the same: an empty filter has several spellings."""

    def meaning(rule: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in rule.items() if key not in ("Filter", "Prefix")}

    whole = not present.get("Prefix") and present.get("Filter", {}) in ({}, {"Prefix": ""})
    return present if whole and meaning(present) == meaning(ours) else ours
