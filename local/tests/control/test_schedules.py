# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules: when they are due, by the examples of EventBridge's documentation, and that the deployed ones fire."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from pasture_local.schedules.expression import ScheduleError, parse

from .conftest import Client, wait_for


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


MADE = at("2026-01-01T00:00:30")


@pytest.mark.parametrize(
    ("expression", "since", "until", "due"),
    [
        ("rate(4 hours)", "2026-01-01T03:59:00", "2026-01-01T04:00:00", False),
        ("rate(4 hours)", "2026-01-01T04:00:00", "2026-01-01T04:01:00", True),
        ("rate(4 hours)", "2026-01-01T04:01:00", "2026-01-01T04:02:00", False),
        ("rate(4 hours)", "2026-01-01T04:01:00", "2026-01-01T08:01:00", True),
        ("rate(1 minute)", "2026-01-01T00:00:30", "2026-01-01T00:01:29", False),
        ("rate(1 minute)", "2026-01-01T00:00:30", "2026-01-01T00:01:30", True),
        ("rate(1 day)", "2026-01-01T00:00:30", "2026-01-01T23:59:59", False),
    ],
)
def test_a_rate_counts_from_the_making_of_the_rule(
    expression: str, since: str, until: str, due: bool
) -> None:
    assert parse(expression).due(MADE, at(since), at(until)) is due


# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
@pytest.mark.parametrize(
    ("expression", "moment", "not_then"),
    [
        ("cron(0 10 * * ? *)", "2026-03-04T10:00:00", "2026-03-04T10:01:00"),
        ("cron(15 12 * * ? *)", "2026-03-04T12:15:00", "2026-03-04T15:12:00"),
        ("cron(0 18 ? * MON-FRI *)", "2026-03-06T18:00:00", "2026-03-07T18:00:00"),
        ("cron(0 8 1 * ? *)", "2026-03-01T08:00:00", "2026-03-02T08:00:00"),
        ("cron(0/10 * ? * MON-FRI *)", "2026-03-02T03:50:00", "2026-03-02T03:51:00"),
        ("cron(0/5 8-17 ? * MON-FRI *)", "2026-03-02T17:55:00", "2026-03-02T18:00:00"),
        ("cron(0 9 ? * 2#1 *)", "2026-03-02T09:00:00", "2026-03-09T09:00:00"),
        ("cron(0 9 L * ? *)", "2026-02-28T09:00:00", "2026-02-27T09:00:00"),
        ("cron(0 9 ? * L *)", "2026-02-28T09:00:00", "2026-02-27T09:00:00"),
        ("cron(0 9 1W * ? *)", "2026-03-02T09:00:00", "2026-03-01T09:00:00"),
        ("cron(0 9 15W * ? *)", "2026-03-16T09:00:00", "2026-03-15T09:00:00"),
        ("cron(0 9 ? JAN,JUL SUN 2026)", "2026-07-05T09:00:00", "2027-07-04T09:00:00"),
    ],
)
def test_a_cron_expression_is_due_at_its_minute(expression: str, moment: str, not_then: str) -> None:
    schedule = parse(expression)
    assert schedule.due(MADE, at(moment) - 60, at(moment))
    assert schedule.due(MADE, at(moment) - 3600, at(moment) + 30)
    assert not schedule.due(MADE, at(moment) - 60, at(moment) - 1)
    assert not schedule.due(MADE, at(not_then) - 60, at(not_then))


@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 hours)",
        "rate(2 hour)",
        "rate(0 hours)",
        "rate(1.5 hours)",
        "hourly",
        "cron(0 10 * * ?)",
        "cron(0 10 * * * *)",
        "cron(60 10 * * ? *)",
        "cron(0 10 32 * ? *)",
        "cron(0 10 ? * FOO *)",
    ],
)
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(ScheduleError):
        parse(expression)


@pytest.mark.integration
def test_a_deployed_schedule_fires_by_the_clock_of_the_cloud(client: Client) -> None:
    sqs, events = client("sqs"), client("events")
    url = sqs.create_queue(QueueName="scheduled")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rules = {
        name: events.put_rule(Name=name, ScheduleExpression="rate(1 minute)", State=state)["RuleArn"]
        for name, state in (("on", "ENABLED"), ("off", "DISABLED"))
    }
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": list(rules.values())}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
    events.put_targets(Rule="on", Targets=[{"Id": "given", "Arn": arn, "Input": '{"queues": ["q"]}'}])
    events.put_targets(Rule="on", Targets=[{"Id": "event", "Arn": arn}])
    events.put_targets(Rule="off", Targets=[{"Id": "event", "Arn": arn}])

    def received() -> list[dict[str, object]]:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answer.get("Messages", ())]

    bodies = wait_for(received, what="an event of the schedule")
    assert {"queues": ["q"]} in bodies
    [event] = [body for body in bodies if "source" in body][:1]
    assert (event["source"], event["detail-type"]) == ("aws.events", "Scheduled Event")
    assert event["resources"] == [rules["on"]]
    events.remove_targets(Rule="on", Ids=["given", "event"])
