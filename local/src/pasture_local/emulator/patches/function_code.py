# SPDX-License-Identifier: GPL-3.0-or-later
"""The code of Lambda functions, for the function runner, which runs them outside of the emulator."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

from moto.awslambda.models import lambda_backends
from moto.core.responses import TYPE_RESPONSE
from moto.utilities.arns import parse_arn

from pasture_local.emulator.patches._patch import OwnPath

PATH = "/moto-api/pasture/functions"


def code(_request: Any, url: str, _headers: Any) -> TYPE_RESPONSE:
    """moto's GetFunction gives no location, or one in AWS, for the code that a function was created with.

    https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCodeLocation.html
    """
    arn = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query).get("arn", [""])[0]
    try:
        parsed = parse_arn(arn)
        function = lambda_backends[parsed.account][parsed.region].get_function(arn)
    except Exception as error:  # moto has a different exception for each way of not finding it
        return 404, {"Content-Type": "application/json"}, json.dumps({"error": f"{arn}: {error}"})
    return 200, {"Content-Type": "application/zip"}, function.code_bytes


PATCHES = (OwnPath("lambda-code", PATH, code),)
