# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules for Amazon ECS have in common. For internal use of this collection only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._tags import lower_list, tag_change


def short_name(arn: str) -> str:
    """The last part of an ARN: the name of a cluster, service, capacity provider or C(family:revision)."""
    return arn.rsplit("/", 1)[-1]


def apply_tags(api: Api, arn: str, current: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Bring the tags of one ECS resource from C(current) to C(wanted)."""
    change = tag_change(current, wanted)
    if change.removed:
        api.call("untag_resource", resourceArn=arn, tagKeys=change.removed)
    if change.added:
        api.call("tag_resource", resourceArn=arn, tags=lower_list(change.added))


def strategy_state(strategy: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """A capacity provider strategy in the terms of the modules' options."""
    return [
        {
            "capacity_provider": item["capacityProvider"],
            "weight": item.get("weight", 0),
            "base": item.get("base", 0),
        }
        for item in strategy or []
    ]


def strategy_request(strategy: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reverse of C(strategy_state)."""
    return [
        {
            "capacityProvider": item["capacity_provider"],
            "weight": item.get("weight", 0),
            "base": item.get("base", 0),
        }
        for item in strategy
    ]


STRATEGY_OPTIONS: dict[str, Any] = {
    "capacity_provider": {"type": "str", "required": True},
    "weight": {"type": "int", "default": 1},
    "base": {"type": "int", "default": 0},
}
