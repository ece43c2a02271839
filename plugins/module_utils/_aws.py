# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls to AWS: retried, paginated, and with errors that say what to do.

For internal use of this collection only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:  # AnsibleAWSModule reports the missing library in its own words
    BotoCoreError = ClientError = Exception

from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

# AWSRetry knows "Throttling" and the EC2 codes, but not the names the newer JSON services use.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html
# ConcurrentUpdate: ECS and EventBridge while another change of the same resource is under way.
TRANSIENT_CODES = [
    "ThrottlingException",
    "TooManyRequestsException",
    "ConcurrentModificationException",
    "ConcurrentUpdateException",
    "UpdateInProgressException",
    "ServerException",
    "ServiceUnavailableException",
]

_QUOTA = "a quota of the account is used up; ask for more in Service Quotas, then run again"
_DENIED = "the credentials in use may not do this; the role's README lists the IAM actions it needs"
_BUSY = "AWS asks for a slower pace; run again in a minute, what has been made is found and kept"

# Each service has its own name for a quota that is used up (VpcLimitExceeded, FileSystemLimitExceeded,
# ServiceQuotaExceededException, TooManyBuckets, OverLimit), and for a pace that is too fast
# (ThrottlingException, RequestLimitExceeded, SlowDown).
_QUOTA_CODE = re.compile(r"(Limit|Quota)Exceeded(Exception)?$|^TooManyBuckets$|^OverLimit$")
_BUSY_CODE = re.compile(
    r"Throttl|^RequestLimitExceeded$|^TooManyRequests|^SlowDown$|^PriorRequestNotComplete$"
)

_REMEDIES = {
    "AccessDenied": _DENIED,
    "AccessDeniedException": _DENIED,
    "UnauthorizedOperation": _DENIED,
    "AuthorizationError": _DENIED,  # SNS
    "ExpiredToken": "the credentials have expired; renew them, then run again",
    "ExpiredTokenException": "the credentials have expired; renew them, then run again",
    "UnrecognizedClientException": "the credentials are not valid in this region; check profile and region",
    "InvalidClientTokenId": "the credentials are not valid; check profile and region",
    # What botocore raises before a request leaves the machine has its class for a code.
    "NoCredentialsError": "log in, or name a profile (AWS_PROFILE, or pasture_environment in the playbook)",
    "PartialCredentialsError": "complete the profile or the AWS_* variables in use",
    "EndpointConnectionError": "check the region's name and the network's way to AWS",
}


class AwsError(Exception):
    """A call that failed for good.

    :param operation: the client's method, such as C(create_service).
    :param cause: what botocore raised.
    """

    def __init__(self, operation: str, cause: Exception) -> None:
        super().__init__(f"{operation}: {cause}")
        self.operation = operation
        self.cause = cause

    @property
    def code(self) -> str:
        """AWS's error code, or the exception's class when the request never reached AWS."""
        response: dict[str, Any] = getattr(self.cause, "response", {}) or {}
        return str(response.get("Error", {}).get("Code") or type(self.cause).__name__)

    @property
    def remedy(self) -> str:
        """What the user can do about it; empty when nothing better than AWS's own message is known."""
        if _BUSY_CODE.search(self.code):
            return _BUSY
        return _QUOTA if _QUOTA_CODE.search(self.code) else _REMEDIES.get(self.code, "")


class Api:
    """One service's client.

    Make it before threads are started: botocore's clients may be shared between threads, but not
    made in several at once (https://boto3.amazonaws.com/v1/documentation/api/latest/guide/clients.html).
    """

    def __init__(self, module: Any, service: str) -> None:
        self._client = module.client(
            service,
            retry_decorator=AWSRetry.jittered_backoff(
                retries=8, delay=1, max_delay=20, catch_extra_error_codes=TRANSIENT_CODES
            ),
        )

    @property
    def region(self) -> str:
        return str(self._client.meta.region_name)

    def call(
        self, operation: str, /, *, missing: Iterable[str] = (), **arguments: Any
    ) -> dict[str, Any] | None:
        """Call one operation.

        Arguments that are None are left out.

        :param missing: error codes that mean "there is no such thing"; they give None.
        :raises AwsError: for every other error.
        """
        given = {key: value for key, value in arguments.items() if value is not None}
        try:
            response: dict[str, Any] = getattr(self._client, operation)(aws_retry=True, **given)
        except (BotoCoreError, ClientError) as error:
            failure = AwsError(operation, error)
            if failure.code in missing:
                return None
            raise failure from error
        return response

    def pages(
        self, operation: str, key: str, /, *, missing: Iterable[str] = (), **arguments: Any
    ) -> Iterator[Any]:
        """Every element of C(key) over all pages; nothing when a code of C(missing) comes.

        :raises AwsError: for every other error.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        if not self._client.can_paginate(operation):
            # ECS pages its capacity providers by ten, but botocore has no paginator for them.
            token: str | None = None
            while True:
                page = self.call(operation, missing=missing, **given, nextToken=token) or {}
                yield from page.get(key, [])
                token = page.get("nextToken")
                if not token:
                    return
        try:
            for page in self._client.get_paginator(operation).paginate(**given):
                yield from page.get(key, [])
        except (BotoCoreError, ClientError) as error:
            failure = AwsError(operation, error)
            if failure.code not in missing:
                raise failure from error
