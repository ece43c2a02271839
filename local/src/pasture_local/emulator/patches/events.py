# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of Amazon EventBridge."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable
from typing import Any

from moto.core.responses import TYPE_RESPONSE
from moto.events import models
from moto.utilities.arns import parse_arn

from pasture_local.emulator import routing
from pasture_local.emulator.patches._patch import OwnPath, Patch

# Targets that moto delivers to itself: log groups, other buses, archives and API destinations.
_MOTO_DELIVERS = {"logs", "events"}


def delivery(
    original: Callable[..., None], self: Any, event: dict[str, Any], transform_input: bool = True
) -> None:
    """moto sends every event to a rule that has a schedule and no pattern, and to disabled rules; it knows no
    Input and no InputPath, no Lambda functions and no SNS topics, drops the account from events, and fails
    the whole of PutEvents when it meets a target that it does not know.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rules.html
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
    """
    if self.state != "ENABLED" or not self.event_pattern.dump():
        return
    event = routing.with_time(event)
    if not self.event_pattern.matches_event(event):
        return
    own = [target for target in self.targets if parse_arn(target["Arn"]).service in _MOTO_DELIVERS]
    for target in self.targets:
        if target not in own:
            routing.deliver(self, target, event)
    if own:
        targets, self.targets = self.targets, own
        try:
            original(self, event, transform_input)
        finally:
            self.targets = targets


PATH = "/moto-api/pasture/rules"


def fire(_request: Any, url: str, _headers: Any) -> TYPE_RESPONSE:
    """moto keeps schedules and has no clock; the control process says which rule is due.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-rule-schedule.html
    """
    wanted = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query).get("arn", [""])[0]
    arn = parse_arn(wanted)
    rules = models.events_backends[arn.account][arn.region].event_buses["default"].rules.values()
    rule = next((rule for rule in rules if rule.arn == wanted), None)
    if rule is None:
        return 404, {"Content-Type": "application/json"}, json.dumps({"error": f"There is no rule {wanted}."})
    event = routing.scheduled(rule)
    for target in rule.targets:
        routing.deliver(rule, target, event)
    return 200, {"Content-Type": "application/json"}, json.dumps({"targets": len(rule.targets)})


PATCHES = (
    Patch("events-delivery", models.Rule, "send_to_targets", delivery),
    OwnPath("events-schedules", PATH, fire),
)
