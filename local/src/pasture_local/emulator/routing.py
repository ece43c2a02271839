# SPDX-License-Identifier: GPL-3.0-or-later
"""From an event on a bus to the targets of the rules that match it.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html
"""

from __future__ import annotations

import json
import logging
import queue
import re
import threading
import urllib.request
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jsonpath_ng.ext.parser import parse as parse_json_path
from moto.awslambda.utils import get_backend as lambda_backend
from moto.events.models import events_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends
from moto.utilities.arns import parse_arn

from pasture_local.emulator import policy

Event = dict[str, Any]
Target = dict[str, Any]

_log = logging.getLogger(__name__)
_PRINCIPAL = {"Service": "events.amazonaws.com"}
# A function is tried again for a day by EventBridge; here one attempt has to do, but it may take a while.
_FUNCTION_TIMEOUT = 60.0
# A placeholder, an escaped character, a quote, or anything else.
_TEMPLATE_PARTS = re.compile(r"<[\w.-]+>|\\.|\"|[^<\\\"]+|<", re.DOTALL)


class UndeliverableError(Exception):
    """The target cannot take the event; the message says why."""


class FunctionInvoker:
    """Posts the events for Lambda functions to a URL, one after the other, behind the back of the caller."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._queue: queue.SimpleQueue[tuple[str, Event]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="functions", daemon=True).start()

    def invoke(self, function_arn: str, event: Any) -> None:
        """Hand over an event; returns at once, as an asynchronous invocation does."""
        self._queue.put((function_arn, event))

    def _run(self) -> None:
        while True:
            function_arn, event = self._queue.get()
            body = json.dumps({"function_arn": function_arn, "event": event}).encode()
            request = urllib.request.Request(  # noqa: S310 - given on the command line
                self._url, data=body, headers={"Content-Type": "application/json"}
            )
            try:
                urllib.request.urlopen(request, timeout=_FUNCTION_TIMEOUT).close()  # noqa: S310 - as above
            except OSError as error:
                _log.warning("invocation of %s was not accepted: %s", function_arn, error)


_functions: FunctionInvoker | None = None


def invoke_functions_at(url: str | None) -> None:
    """Say where Lambda functions are run; without a URL their events are dropped with a warning."""
    global _functions  # noqa: PLW0603 - moto's own state is global to the process, too
    _functions = FunctionInvoker(url) if url else None


def scheduled(rule: Any) -> Event:
    """The event that a rule with a schedule sends when it is due.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-rule-schedule.html
    """
    return with_time(
        {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": rule.account_id,
            "time": datetime.now(UTC).timestamp(),
            "region": rule.region_name,
            "resources": [rule.arn],
            "detail": {},
        }
    )


def publish(
    account_id: str,
    region: str,
    *,
    bus: str,
    source: str,
    detail_type: str,
    resources: list[str],
    detail: Mapping[str, Any],
) -> None:
    """Put an event of an AWS service on a bus."""
    event: Event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": account_id,
        "time": datetime.now(UTC).timestamp(),
        "region": region,
        "resources": resources,
        "detail": dict(detail),
    }
    for rule in list(events_backends[account_id][region].event_buses[bus].rules.values()):
        rule.send_to_targets(event)


def with_time(event: Event) -> Event:
    """The event as a target gets it: its time as text."""
    event = {name: value for name, value in event.items() if name != "ingestion-time"}
    if isinstance(event.get("time"), int | float):
        moment = datetime.fromtimestamp(event["time"], UTC)
        event["time"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return event


def deliver(rule: Any, target: Target, event: Event) -> None:
    """Send an event to one target; when that cannot be done, to the target's dead-letter queue."""
    try:
        _send(rule, target, event)
    except UndeliverableError as error:
        dead_letters = target.get("DeadLetterConfig", {}).get("Arn")
        _log.warning(
            "rule %s could not deliver to %s: %s%s",
            rule.name,
            target["Arn"],
            error,
            "" if dead_letters else "; the event is lost, for the target has no dead-letter queue",
        )
        if dead_letters:
            arn = parse_arn(dead_letters)
            sqs_backends[arn.account][arn.region].send_message(arn.resource_id, json.dumps(event))


def _send(rule: Any, target: Target, event: Event) -> None:
    arn = parse_arn(target["Arn"])
    payload = transformed(target, event)
    body = json.dumps(payload)
    match arn.service:
        case "sqs":
            sqs = sqs_backends[arn.account][arn.region]
            if arn.resource_id not in sqs.queues:
                raise UndeliverableError("the queue does not exist")
            _require_allowed(rule, sqs.queues[arn.resource_id].policy, "sqs:SendMessage", target["Arn"])
            group = target.get("SqsParameters", {}).get("MessageGroupId")
            sqs.send_message(arn.resource_id, body, group_id=group)
        case "sns":
            topic = sns_backends[arn.account][arn.region].topics.get(target["Arn"])
            if topic is None:
                raise UndeliverableError("the topic does not exist")
            _require_allowed(rule, topic.policy, "sns:Publish", target["Arn"])
            sns_backends[arn.account][arn.region].publish(body, arn=target["Arn"])
        case "lambda":
            _require_function(rule, arn.account, arn.region, target["Arn"])
            if _functions is None:
                raise UndeliverableError("the emulator was started without --functions-url")
            _functions.invoke(target["Arn"], payload)
        case service:
            raise UndeliverableError(f"the emulator does not deliver to {service}")


def _require_function(rule: Any, account: str, region: str, arn: str) -> None:
    try:
        function = lambda_backend(account, region).get_function(arn)
    except Exception as error:  # moto raises several kinds; all of them mean this
        raise UndeliverableError("the function does not exist") from error
    _require_allowed(rule, {"Statement": function.policy.statements}, "lambda:InvokeFunction", arn)


def _require_allowed(rule: Any, document: Any, action: str, resource: str) -> None:
    """A rule reaches a queue, a topic or a function only when that one's own policy lets EventBridge in.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    """
    text = document if isinstance(document, str) else json.dumps(document or {})
    context = {
        "aws:SourceArn": rule.arn,
        "aws:SourceAccount": rule.account_id,
        "aws:SecureTransport": "true",
    }
    decision = policy.decide(
        text or "{}", action=action, resource=resource, principal=_PRINCIPAL, context=context
    )
    if decision != "allow":
        raise UndeliverableError(f"its policy does not let events.amazonaws.com {action} for {rule.arn}")


def transformed(target: Target, event: Event) -> Any:
    """What the target gets: the event, or what Input, InputPath or InputTransformer make of it."""
    if "Input" in target:
        return json.loads(target["Input"])
    if "InputPath" in target:
        return _at(target["InputPath"], event)
    if "InputTransformer" in target:
        transformer = target["InputTransformer"]
        return _filled(transformer["InputTemplate"], transformer.get("InputPathsMap", {}), event)
    return event


def _at(path: str, event: Event) -> Any:
    # A key with a dash must be quoted for this library, not for EventBridge.
    matches = parse_json_path(_quoted(path)).find(event)
    return matches[0].value if matches else None


def _quoted(path: str) -> str:
    return ".".join(
        f'"{part}"' if "-" in part and not part.startswith('"') else part for part in path.split(".")
    )


def _filled(template: str, paths: Mapping[str, str], event: Event) -> Any:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html."""
    values = {name: _at(path, event) for name, path in paths.items()}
    values |= {"aws.events.event.json": event, "aws.events.event": event}
    inside_string = False
    parts = []
    for part in _TEMPLATE_PARTS.findall(template):
        if part == '"':
            inside_string = not inside_string
        name = part[1:-1]
        if not (part.startswith("<") and name in values):
            parts.append(part)
        elif not inside_string:
            parts.append(json.dumps(values[name]))
        else:
            # Inside a string a value is inserted as text.
            text = values[name] if isinstance(values[name], str) else json.dumps(values[name])
            parts.append(json.dumps(text)[1:-1])
    filled = "".join(parts)
    try:
        return json.loads(filled)
    except ValueError:
        return filled
