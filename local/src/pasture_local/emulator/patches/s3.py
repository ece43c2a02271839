# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of Amazon S3."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.access_control import PermissionResult
from moto.moto_api._internal import mock_random
from moto.s3 import models, notifications, responses

from pasture_local.emulator import policy, routing
from pasture_local.emulator.patches._patch import Patch

# Every call counts as encrypted in transit: the emulator speaks plain HTTP, on loopback.
_CONTEXT = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}


def policy_conditions(_: Any, self: Any, action: str, resource: str) -> Any:
    """moto takes a statement whose Condition it cannot evaluate for a Deny, so that a policy which denies
    plain HTTP denies everything.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/amazon-s3-policy-keys.html
    """
    if self.policy is None:
        return PermissionResult.NEUTRAL
    decision = policy.decide(
        self.policy.decode(),
        action=action,
        resource=resource,
        principal={"AWS": f"arn:aws:iam::{self.account_id}:root"},
        context=_CONTEXT,
    )
    if decision == "deny":
        return PermissionResult.DENIED
    return PermissionResult.PERMITTED if decision == "allow" else PermissionResult.NEUTRAL


def notification_events_flag(original: Callable[[Any], Any], self: Any) -> Any:
    """moto stores a bucket's EventBridgeConfiguration and never returns it.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketNotificationConfiguration.html
    """
    configuration = self.backend.get_bucket_notification_configuration(self.bucket_name)
    if not configuration or configuration.event_bridge is None:
        return original(self)

    def described(item: Any, arn_key: str) -> dict[str, Any]:
        described: dict[str, Any] = {"Id": item.id, arn_key: item.arn, "Events": item.events}
        if item.filters:
            described["Filter"] = {"Key": {"FilterRules": item.filters["S3Key"]["FilterRule"]}}
        return described

    self.data["Action"] = "GetBucketNotificationConfiguration"
    return self.serialized(
        ActionResult(
            {
                "TopicConfigurations": [described(item, "TopicArn") for item in configuration.topic],
                "QueueConfigurations": [described(item, "QueueArn") for item in configuration.queue],
                "LambdaFunctionConfigurations": [
                    described(item, "LambdaFunctionArn") for item in configuration.cloud_function
                ],
                "EventBridgeConfiguration": {},
            }
        )
    )


def notification_filter_names(original: Callable[[Any], Any], self: Any) -> Any:
    """moto accepts the names of filter rules in lower case only, and answers others with HTTP 500. S3 accepts
    any case, and returns them as Prefix and Suffix.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_FilterRule.html
    """
    lower = re.sub(
        rb"<Name>(prefix|suffix)</Name>",
        lambda match: b"<Name>" + match[1].lower() + b"</Name>",
        self.body if isinstance(self.body, bytes) else self.body.encode(),
        flags=re.IGNORECASE,
    )
    body, self.body = self.body, lower
    try:
        return original(self)
    finally:
        self.body = body


# https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html: what "reason" says.
_REASONS = {
    "s3:ObjectCreated:Put": "PutObject",
    "s3:ObjectCreated:Post": "POST Object",
    "s3:ObjectCreated:Copy": "CopyObject",
    "s3:ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    "s3:ObjectRemoved:Delete": "DeleteObject",
    "s3:ObjectRemoved:DeleteMarkerCreated": "DeleteObject",
}


def object_events(_: Any, account_id: str, bucket: Any, event_name: Any, key: Any) -> None:
    """moto's events share one id, name the ETag wrongly, give ``null`` for the version of an object without
    one, reach the rules of every bus and those that are disabled, and stop at the first rule with a target
    that moto does not know.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """
    name = str(event_name.value)
    detail: dict[str, Any] = {
        "version": "0",
        "bucket": {"name": bucket.name},
        "object": {"key": key.name, "sequencer": mock_random.get_random_hex(16).upper()},
        "request-id": mock_random.get_random_hex(16).upper(),
        "requester": account_id,
        "source-ip-address": "127.0.0.1",
        "reason": _REASONS.get(name, name.split(":")[1]),
    }
    detail_type = notifications._detail_type(event_name)
    if bucket.is_versioned:
        detail["object"]["version-id"] = str(key.version_id)
    if detail_type == "Object Created":
        detail["object"] |= {"size": key.size, "etag": key.etag.strip('"')}
    elif detail_type == "Object Deleted":
        detail["deletion-type"] = "Delete Marker Created" if bucket.is_versioned else "Permanently Deleted"
    routing.publish(
        account_id,
        bucket.region_name,
        bus="default",
        source="aws.s3",
        detail_type=detail_type,
        resources=[bucket.arn],
        detail=detail,
    )


PATCHES = (
    Patch("s3-policy-conditions", models.FakeBucket, "get_permission", policy_conditions),
    Patch("s3-eventbridge-flag", responses.S3Response, "get_bucket_notification", notification_events_flag),
    Patch(
        "s3-notification-filter-names",
        responses.S3Response,
        "_notification_config_from_body",
        notification_filter_names,
    ),
    Patch("s3-object-events", notifications, "_send_event_bridge_message", object_events),
)
