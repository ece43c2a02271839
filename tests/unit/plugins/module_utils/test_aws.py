# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a user is told to do about an error of AWS."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from ansible_collections.pasture.ollama.plugins.module_utils._aws import AwsError


def remedy(code: str) -> str:
    return AwsError("create", ClientError({"Error": {"Code": code, "Message": "No."}}, "Create")).remedy


@pytest.mark.parametrize(
    "code",
    [
        "AddressLimitExceeded",
        "FileSystemLimitExceeded",
        "LimitExceeded",
        "LimitExceededException",
        "OverLimit",
        "ParameterLimitExceeded",
        "QuotaExceeded",
        "ServiceQuotaExceededException",
        "TooManyBuckets",
        "VpcLimitExceeded",
    ],
)
def test_a_quota_that_is_used_up(code: str) -> None:
    assert "ask for more in Service Quotas" in remedy(code)


@pytest.mark.parametrize(
    "code",
    ["RequestLimitExceeded", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException"],
)
def test_a_pace_that_is_too_fast(code: str) -> None:
    assert "run again in a minute" in remedy(code)


@pytest.mark.parametrize(
    "code", ["AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"]
)
def test_what_is_not_allowed(code: str) -> None:
    assert "lists the IAM actions it needs" in remedy(code)


def test_what_has_not_reached_aws_and_what_nobody_knows() -> None:
    assert "log in" in AwsError("create", NoCredentialsError()).remedy
    assert remedy("InvalidParameterValue") == ""
