# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS clients, the model's definition, and the translation of their errors into the worker's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import botocore.config
import botocore.exceptions
import botocore.session

from ollama_worker.errors import ConditionFailedError, PermanentError, RetryableError, SettingsError
from ollama_worker.model import ModelDefinition, parse_definition

_MISSING = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound"})
_CONDITION = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})


class Clients:
    """One client per service, made on first use. Botocore's clients may be used by many threads."""

    def __init__(self, region: str | None, connections: int = 10) -> None:
        self._session = botocore.session.get_session()
        self._region = region
        # Retries stay botocore's own to configure (AWS_RETRY_MODE, AWS_MAX_ATTEMPTS).
        self._config = botocore.config.Config(
            connect_timeout=5, read_timeout=60, max_pool_connections=connections, tcp_keepalive=True
        )
        self.s3: Any = self._make("s3")
        self.sqs: Any = self._make("sqs")
        self.events: Any = self._make("events")
        self.ssm: Any = self._make("ssm")

    def _make(self, service: str) -> Any:
        try:
            return self._session.create_client(service, region_name=self._region, config=self._config)
        except botocore.exceptions.NoRegionError:
            raise SettingsError("AWS_REGION is not set.") from None


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Translate what an AWS call raises.

    :param what: the call in words, for messages: ``"read s3://bucket/key"``.
    :raises PermanentError: when the object does not exist.
    :raises ConditionFailedError: when a condition of the call did not hold.
    :raises RetryableError: for everything else, denied access included: a policy can be mended, and
        S3 says "denied" for a missing object to those who may not list the bucket.
    """
    try:
        yield
    except botocore.exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        message = f"Could not {what}: {error}"
        if code in _MISSING:
            raise PermanentError(message, slug="no-such-object") from error
        if code in _CONDITION or status in (409, 412):
            raise ConditionFailedError(message) from error
        raise RetryableError(message, slug=_slug(code)) from error
    except (botocore.exceptions.BotoCoreError, OSError) as error:
        raise RetryableError(f"Could not {what}: {error}", slug="aws-unreachable") from error


def read_definition(clients: Clients, parameter: str) -> ModelDefinition:
    """The model's definition from the registry."""
    with calling(f"read the model definition {parameter}"):
        answer = clients.ssm.get_parameter(Name=parameter)
    return parse_definition(str(answer["Parameter"]["Value"]), parameter)


def _slug(code: str) -> str:
    if code == "NoSuchBucket":
        return "no-such-bucket"
    if code in ("AccessDenied", "AccessDeniedException", "403", "Forbidden"):
        return "access-denied"
    return "aws-error"
