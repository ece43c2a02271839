# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that AWS would not take are not taken here either."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import determine_request_protocol
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import get_service_model

from pasture_local.emulator import constraints
from pasture_local.emulator.patches._patch import Patch

# What a service calls a request that breaks a constraint. The others: ValidationException, or ValidationError
# where the protocol is AWS's older one of queries.
_CODES = {
    "ec2": "InvalidParameterValue",
    "ecr": "InvalidParameterException",
    "ecs": "InvalidParameterException",
    "lambda": "InvalidParameterValueException",
    "logs": "InvalidParameterException",
    "sns": "InvalidParameter",
    "sqs": "InvalidParameterValue",
}
_log = logging.getLogger(__name__)


class ConstraintError(ServiceException):  # type: ignore[misc]
    """A request that breaks a constraint."""


def check_constraints(call_action: Callable[[Any], Any], self: Any) -> Any:
    """moto takes names, numbers and values that AWS refuses, and botocore does not look at them.

    Here every request of every service but S3 has to meet the constraints of the service's model, and some that
    only the API reference states.
    https://smithy.io/2.0/spec/constraint-traits.html
    """
    service = self.boto3_service_name
    operation = self._get_action()
    model = get_service_model(service)
    if operation not in model.operation_names:
        return call_action(self)
    found = constraints.violations(service, operation, _parameters(self, model, operation))
    if not found:
        return call_action(self)
    message = f"{len(found)} validation error{'s' * (len(found) > 1)} detected: {'; '.join(found)}"
    _log.warning("%s:%s was refused. %s", service, operation, message)
    query = model.metadata["protocol"] == "query" or service == "cloudwatch"
    code = _CODES.get(service, "ValidationError" if query else "ValidationException")
    status, headers, body = self.serialized(ActionResult(ConstraintError(code, message)))
    return max(status, 400), headers, body


def _parameters(response: Any, model: Any, operation: str) -> Mapping[str, Any]:
    """The parameters of a request; moto has read them already for some services."""
    if response.automated_parameter_parsing:
        read: Mapping[str, Any] = response.params
        return read
    request = response.normalized_request
    parser = PROTOCOL_PARSERS[determine_request_protocol(model, request.content_type)]
    parsed: Mapping[str, Any] = parser(model.operation_model(operation)).parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": request.data,
            "url_path": request.path,
            "url_params": response.uri_match,
        }
    )
    return parsed


PATCHES = (Patch("constraints", BaseResponse, "call_action", check_constraints),)
