# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters that make of a user's processors what the roles deploy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.pasture.ollama.plugins.module_utils import _routing
from ansible_collections.pasture.ollama.plugins.module_utils._definition import (
    DefinitionError,
    define,
    split_reference,
)
from ansible_collections.pasture.ollama.plugins.module_utils._instances import InstanceType
from ansible_collections.pasture.ollama.plugins.module_utils._mime_types import check_mime_type
from ansible_collections.pasture.ollama.plugins.module_utils._plan_models import models_plan as plan_models
from ansible_collections.pasture.ollama.plugins.module_utils._processors import (
    Context,
    PreflightError,
    normalise,
)


def processors(
    given: Any, stack: str, account: Mapping[str, Any], source_bucket: str = ""
) -> list[dict[str, Any]]:
    try:
        return normalise(given, _context(stack, account, source_bucket))
    except PreflightError as error:
        raise AnsibleFilterError(str(error)) from error


def processor_problems(
    given: Any, stack: str, account: Mapping[str, Any], source_bucket: str = ""
) -> list[str]:
    try:
        normalise(given, _context(stack, account, source_bucket))
    except PreflightError as error:
        return error.problems
    return []


def models_plan(
    given: Sequence[Mapping[str, Any]], stack: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        return plan_models(given, stack, options)
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"models_plan: {error} is missing or of the wrong kind.") from error


def model_definition(given: Any) -> dict[str, Any]:
    try:
        return define(given).as_dict()
    except DefinitionError as error:
        raise AnsibleFilterError(str(error)) from error


def model_reference(given: str) -> str:
    try:
        name, tag = split_reference(given)
    except DefinitionError as error:
        raise AnsibleFilterError(str(error)) from error
    return f"{name}:{tag or 'latest'}"


def event_patterns(
    inputs: Sequence[str],
    stack: str,
    source_bucket: str,
    sources: Sequence[Mapping[str, str]] = ({"kind": "bucket"},),
    sniff: bool = False,
) -> list[dict[str, Any]]:
    try:
        return _routing.event_patterns(
            stack, source_bucket, [check_mime_type(i) for i in inputs], [_source(s) for s in sources], sniff
        )
    except ValueError as error:
        raise AnsibleFilterError(f"event_patterns: {error}") from error


def can_chain(outputs: Sequence[str], inputs: Sequence[str]) -> bool:
    try:
        return _routing.can_chain([check_mime_type(o) for o in outputs], [check_mime_type(i) for i in inputs])
    except ValueError as error:
        raise AnsibleFilterError(f"can_chain: {error}") from error


def _context(stack: str, account: Mapping[str, Any], source_bucket: str) -> Context:
    try:
        return Context(
            stack=str(stack),
            region=str(account["region"]),
            source_bucket=source_bucket or default_bucket(stack, account, "source"),
            instance_types={name: InstanceType.of(t) for name, t in account["instance_types"].items()},
            quotas=account["quotas"],
        )
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(
            f"The account is not what pasture.ollama.account_info returns: {error} is missing."
        ) from error


def default_bucket(stack: str, account: Mapping[str, Any], purpose: str) -> str:
    """The name of the bucket that the storage role makes when none is given."""
    return f"pasture-{stack}-{account['account_id']}-{account['region']}-{purpose}"


def _source(given: Mapping[str, str]) -> _routing.Source:
    if given["kind"] == "processor":
        return _routing.Upstream(given["name"])
    return _routing.Bucket(given.get("prefix", ""), given.get("suffix", ""))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "can_chain": can_chain,
            "event_patterns": event_patterns,
            "model_definition": model_definition,
            "model_reference": model_reference,
            "models_plan": models_plan,
            "processor_problems": processor_problems,
            "processors": processors,
        }
