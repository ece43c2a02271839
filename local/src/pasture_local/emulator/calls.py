# SPDX-License-Identifier: GPL-3.0-or-later
"""Which operation an HTTP request asks for, and with which parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from moto.moto_server.werkzeug_app import BackendRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Names under which requests are signed, where botocore's name is another one.
_BOTOCORE_NAMES = {
    "elasticfilesystem": "efs",
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
    "tagging": "resourcegroupstaggingapi",
}
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/")


@dataclass(frozen=True)
class Call:
    """One call of an AWS operation."""

    access_key: str
    region: str
    service: str  # as botocore calls it
    operation: str  # as in the API reference
    parameters: dict[str, Any]


def identify(environ: WSGIEnvironment) -> Call | None:
    """The call that a request makes; None when it is not signed, or unknown to botocore's models.

    Reads the body, and puts it back.
    """
    credential = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    if credential is None:
        return None
    access_key, region, signing_name = credential.groups()
    service = _BOTOCORE_NAMES.get(signing_name, signing_name)
    stream = environ["wsgi.input"]
    request = BackendRequest(dict(environ))
    try:
        model = get_service_model(service)
        operation, uri_parameters = _operation(service, request)
        operation_model = model.operation_model(operation)
        parser = PROTOCOL_PARSERS[determine_request_protocol(model, request.content_type)](operation_model)
        parameters = parser.parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": request.data,
                "url_path": request.path,
                "url_params": uri_parameters,
            }
        )
    except Exception:  # whatever cannot be read is not an AWS call, or one that fails by itself
        return None
    finally:
        stream.seek(0)
    return Call(access_key, region, service, operation, dict(parameters))


def _operation(service: str, request: Any) -> tuple[str, Mapping[str, Any]]:
    if target := request.headers.get("X-Amz-Target"):
        return str(target).rpartition(".")[2], {}
    if (request.content_type or "").startswith("application/x-www-form-urlencoded"):
        actions = parse_qs(request.get_data(as_text=True)).get("Action")
        if actions:
            return actions[0], {}
    operation, parameters = get_service_router(service).match(request)
    return operation.name, parameters
