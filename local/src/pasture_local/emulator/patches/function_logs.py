# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Lambda functions log to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.awslambda.models import LambdaFunction

from pasture_local.emulator.patches._patch import Patch

_KEY = "LoggingConfig"


def created(original: Callable[..., Any], self: Any, *, spec: dict[str, Any], **kwargs: Any) -> None:
    """moto forgets the log group of a function.

    https://docs.aws.amazon.com/lambda/latest/api/API_LoggingConfig.html
    """
    original(self, spec=spec, **kwargs)
    self.pasture_logging = dict(spec.get(_KEY) or {})


def updated(original: Callable[..., Any], self: Any, config_updates: dict[str, Any]) -> Any:
    """moto forgets the log group of a function.

    https://docs.aws.amazon.com/lambda/latest/api/API_LoggingConfig.html
    """
    self.pasture_logging |= config_updates.get(_KEY) or {}
    return original(self, config_updates)


def described(original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
    """moto forgets the log group of a function.

    https://docs.aws.amazon.com/lambda/latest/api/API_LoggingConfig.html
    """
    default = {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{self.function_name}"}
    return {**original(self, *args, **kwargs), _KEY: {**default, **self.pasture_logging}}


PATCHES = (
    Patch("lambda-log-group", LambdaFunction, "__init__", created),
    Patch("lambda-log-group", LambdaFunction, "update_configuration", updated),
    Patch("lambda-log-group", LambdaFunction, "get_configuration", described),
)
