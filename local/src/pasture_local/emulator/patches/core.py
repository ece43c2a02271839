# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of what all services share."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto import backends
from moto.core import responses
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.s3.responses import S3Response

from pasture_local.emulator.patches._patch import Patch

# Like 500 a fault of the server, but one that SDKs do not retry:
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_NOT_IMPLEMENTED = 501


class NotEmulatedError(ServiceException):  # type: ignore[misc]
    """An action that the emulator lacks. A class of this package, because moto takes its own for a service's."""


def missing_actions(call_action: Callable[[Any], Any], self: Any) -> Any:
    """moto answers an action that it lacks with a Python traceback and HTTP 500, which SDKs retry for
    seconds.

    Here the answer is HTTP 501 with an error in the service's own format, which says what is missing.
    """
    try:
        return call_action(self)
    except NotImplementedError as error:
        message = (
            f"The AWS emulator does not have {self.boto3_service_name}:{self._get_action()} ({error}). "
            "docs/fidelity.md says what it has."
        )
        _, headers, body = self.serialized(ActionResult(NotEmulatedError("NotImplemented", message)))
        return _NOT_IMPLEMENTED, headers, body


# One for all services: they change each other's things. A call within a call does not wait for itself.
_LOCK = threading.RLock()


def one_at_a_time(original: Callable[..., Any], self: Any, *args: Any) -> Any:
    """moto answers calls of several clients at once without locks: a list fails with HTTP 500 ("dictionary changed
    size during iteration") when something is made meanwhile, and two conditional writes of one object both win.

    Here calls wait for each other, except long polls, which have locks of their own (sqs-receive).
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    if self.service_name == "sqs" and self._get_action() == "ReceiveMessage":
        return original(self, *args)
    with _LOCK:
        return original(self, *args)


@functools.cache
def _method_names(clazz: type) -> frozenset[str]:
    return frozenset(name for name in dir(clazz) if callable(getattr(clazz, name, None)))


def method_lookup(_: Any, clazz: type) -> frozenset[str]:
    """moto lists and sorts all methods of a service at each call, a fifth of the time that a small one takes."""
    return _method_names(clazz)


@functools.cache
def _modules(original: Callable[[], Iterable[str]]) -> tuple[str, ...]:
    return tuple(original())


def module_list(original: Callable[[], Iterable[str]]) -> tuple[str, ...]:
    """moto looks through its own folder at each call, to see whether a host has the name of a service."""
    return _modules(original)


PATCHES = (
    Patch("module-list", backends, "list_of_moto_modules", module_list),
    Patch("missing-actions", BaseResponse, "call_action", missing_actions),
    Patch("one-at-a-time", BaseResponse, "call_action", one_at_a_time),
    # S3 has a way of its own.
    Patch("one-at-a-time", S3Response, "_bucket_response", one_at_a_time),
    Patch("one-at-a-time", S3Response, "_key_response", one_at_a_time),
    Patch("method-lookup", responses, "method_names_from_class", method_lookup),
)
