# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation of structured output."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ollama_worker.errors import SettingsError

_MAX_MESSAGE = 400


def make_validator(wanted: str | Mapping[str, Any] | None) -> Callable[[str], None] | None:
    """A function that raises ValueError, with a sentence, for an answer of another form.

    :param wanted: None, ``"json"`` or a JSON schema.
    :raises SettingsError: when the schema itself is wrong.
    """
    if wanted is None:
        return None
    if isinstance(wanted, str):
        return _load
    # Imported here: it takes a tenth of a second that most processors need not spend.
    from jsonschema import exceptions, validators  # noqa: PLC0415

    kind = validators.validator_for(wanted)
    try:
        kind.check_schema(dict(wanted))
    except exceptions.SchemaError as error:
        raise SettingsError(f"PASTURE_FORMAT is not a valid JSON schema: {error.message}") from None
    # With an empty registry a reference to another document is an error, never a request.
    validator = kind(dict(wanted))

    def validate(text: str) -> None:
        value = _load(text)
        problem = exceptions.best_match(validator.iter_errors(value))
        if problem is not None:
            raise ValueError(f"{problem.message[:_MAX_MESSAGE]} (at {problem.json_path})")

    return validate


def _load(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
