# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource-based policies and metric math, as pure functions."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from pasture_local.emulator import metric_math, policy

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:q"
RULE = "arn:aws:events:eu-west-1:123456789012:rule/pasture-docs"
EVENTS = {"Service": "events.amazonaws.com"}


def decide(
    *statements: dict[str, Any], principal: dict[str, str] = EVENTS, **context: str
) -> policy.Decision:
    return policy.decide(
        json.dumps({"Statement": list(statements)}),
        action="sqs:SendMessage",
        resource=QUEUE,
        principal=principal,
        context={key.replace("_", ":"): value for key, value in context.items()},
    )


def allow(**elements: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": EVENTS,
        "Action": "sqs:SendMessage",
        "Resource": QUEUE,
        **elements,
    }


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"Action": ["sqs:*"]},
        {"Action": "SQS:sendmessage"},
        {"Resource": "arn:aws:sqs:*:*:?"},
        {"Principal": "*"},
        {"Principal": {"Service": ["lambda.amazonaws.com", "events.amazonaws.com"]}},
        {"Condition": {"ArnEquals": {"aws:SourceArn": RULE}}},
        {"Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:events:*:*:rule/pasture-*"}}},
        {"Condition": {"StringEquals": {"aws:SourceAccount": ["1", "123456789012"]}}},
        {"Condition": {"StringNotEquals": {"aws:SourceAccount": "1"}}},
        {"Condition": {"StringEqualsIfExists": {"aws:Missing": "x"}}},
        {"Condition": {"Null": {"aws:Missing": "true"}}},
        {"Condition": {"Bool": {"aws:SecureTransport": True}}},
    ],
)
def test_a_statement_allows(elements: dict[str, Any]) -> None:
    context = {"aws_SourceArn": RULE, "aws_SourceAccount": "123456789012", "aws_SecureTransport": "true"}
    assert decide(allow(**elements), **context) == "allow"


@pytest.mark.parametrize(
    "elements",
    [
        {"Action": "sqs:ReceiveMessage"},
        {"NotAction": "sqs:SendMessage", "Action": []},
        {"Resource": QUEUE + "-dlq"},
        {"Principal": {"Service": "s3.amazonaws.com"}},
        {"Condition": {"ArnEquals": {"aws:SourceArn": RULE + "-other"}}},
        {"Condition": {"StringEquals": {"aws:Missing": "x"}}},
    ],
)
def test_a_statement_says_nothing(elements: dict[str, Any]) -> None:
    assert decide(allow(**elements), aws_SourceArn=RULE) is None


def test_a_denial_wins() -> None:
    tls = {**allow(), "Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    assert decide(allow(), tls, aws_SecureTransport="false") == "deny"
    assert decide(allow(), tls, aws_SecureTransport="true") == "allow"


def test_an_account_names_all_its_principals() -> None:
    role = {"AWS": "arn:aws:iam::123456789012:role/x"}
    for account in ("123456789012", "arn:aws:iam::123456789012:root"):
        assert decide(allow(Principal={"AWS": account}), principal=role) == "allow"
    assert decide(allow(Principal={"AWS": "999999999999"}), principal=role) is None


START = datetime(2026, 1, 1)  # noqa: DTZ001 - moto's times are naive, too
PERIODS = [START + timedelta(minutes=n) for n in range(3)]


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("a / b", {0: 2.0}),
        ("-a + 10", {0: 8.0, 1: 6.0}),
        ("FILL(a, 0)", {0: 2.0, 1: 4.0, 2: 0.0}),
        ("IF(a > 2 AND b == 0, 1, 0)", {0: 0.0, 1: 1.0}),
        ("MAX(a)", {0: 4.0, 1: 4.0, 2: 4.0}),
        ("AVG([a, b])", {0: 1.5, 1: 2.0}),
        ("7", {0: 7.0, 1: 7.0, 2: 7.0}),
        ("ABS(b - a)", {0: 1.0, 1: 4.0}),
    ],
)
def test_metric_math(expression: str, wanted: dict[int, float]) -> None:
    series = {"a": {PERIODS[0]: 2.0, PERIODS[1]: 4.0}, "b": {PERIODS[0]: 1.0, PERIODS[1]: 0.0}}
    made = metric_math.evaluate(expression, series, PERIODS)
    assert {PERIODS.index(period): value for period, value in made.items()} == wanted


@pytest.mark.parametrize(
    "expression", ["a +", "missing", "[a, a]", "ANOMALY_DETECTION_BAND(a)", "a.b", "'x'"]
)
def test_an_expression_that_is_not_understood_is_refused(expression: str) -> None:
    with pytest.raises(metric_math.ExpressionError):
        metric_math.evaluate(expression, {"a": {START: 1.0}}, PERIODS)
