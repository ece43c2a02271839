# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation of resource-based policies, as far as the policies of a stack go.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

Decision = Literal["allow", "deny"] | None


def decide(
    policy: str, *, action: str, resource: str, principal: Mapping[str, str], context: Mapping[str, str]
) -> Decision:
    """What a resource-based policy says about a call; None when it says nothing.

    :param policy: the policy, as JSON.
    :param action: such as ``s3:GetObject``.
    :param resource: the ARN.
    :param principal: who calls, such as ``{"Service": "events.amazonaws.com"}`` or ``{"AWS": "arn:..."}``.
    :param context: the condition keys of the call and their values.
    """
    decision: Decision = None
    for statement in _as_list(json.loads(policy).get("Statement", [])):
        if not _concerns(statement, action, resource, principal, context):
            continue
        if statement["Effect"] == "Deny":
            return "deny"
        decision = "allow"
    return decision


def _concerns(
    statement: Mapping[str, Any],
    action: str,
    resource: str,
    principal: Mapping[str, str],
    context: Mapping[str, str],
) -> bool:
    return (
        _element(statement, "Action", lambda pattern: _matches(pattern.lower(), action.lower()))
        and _element(statement, "Resource", lambda pattern: _matches(pattern, resource))
        and _principal(statement, principal)
        and all(
            _condition(operator, key, _as_list(values), context)
            for operator, tests in statement.get("Condition", {}).items()
            for key, values in tests.items()
        )
    )


def _element(statement: Mapping[str, Any], name: str, test: Callable[[str], bool]) -> bool:
    if f"Not{name}" in statement:
        return not any(test(pattern) for pattern in _as_list(statement[f"Not{name}"]))
    # A policy's statement has one of the two; trust policies have no Resource.
    return name not in statement or any(test(pattern) for pattern in _as_list(statement[name]))


def _principal(statement: Mapping[str, Any], principal: Mapping[str, str]) -> bool:
    if "NotPrincipal" in statement:
        return not _names(statement["NotPrincipal"], principal)
    return "Principal" not in statement or _names(statement["Principal"], principal)


def _names(element: Any, principal: Mapping[str, str]) -> bool:
    if element == "*":
        return True
    for kind, name in principal.items():
        for listed in _as_list(element.get(kind, [])):
            account = re.search(r"^(?:arn:[^:]+:iam::)?(\d{12})(?::root)?$", listed)
            if listed in {"*", name} or (account and f":{account[1]}:" in name):
                return True
    return False


def _condition(operator: str, key: str, wanted: list[Any], context: Mapping[str, str]) -> bool:
    """One test of a Condition block. Several values are alternatives; with a negated operator all must differ."""
    name = operator.removesuffix("IfExists").rsplit(":", 1)[-1]
    values = {k.lower(): v for k, v in context.items()}
    actual = values.get(key.lower())
    texts = [_text(value) for value in wanted]
    if name == "Null":
        return (actual is None) == (texts[0] == "true")
    negated = name.removeprefix("String").removeprefix("Arn").removeprefix("Numeric").startswith("Not")
    if actual is None:
        return negated or operator.endswith("IfExists")
    return negated != any(_compare(name.replace("Not", ""), actual, text) for text in texts)


def _compare(operator: str, actual: str, wanted: str) -> bool:
    match operator:
        case "Bool" | "StringEqualsIgnoreCase":
            return actual.lower() == wanted.lower()
        case "StringLike" | "ArnLike" | "ArnEquals":
            return _matches(wanted, actual)
        case "NumericEquals":
            return float(actual) == float(wanted)
        case "NumericLessThan":
            return float(actual) < float(wanted)
        case "NumericLessThanEquals":
            return float(actual) <= float(wanted)
        case "NumericGreaterThan":
            return float(actual) > float(wanted)
        case "NumericGreaterThanEquals":
            return float(actual) >= float(wanted)
        case _:
            return actual == wanted


def _matches(pattern: str, text: str) -> bool:
    # In policies only * and ? are special; fnmatch also knows [...].
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str | Mapping) else [value]
