# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tags in the two spellings of AWS's APIs. For internal use of this collection only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


def upper_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as most services want them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def lower_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as ECS wants them."""
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]


def tag_dict(tags: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    """Either spelling as a dictionary."""
    return {tag.get("Key") or tag["key"]: tag.get("Value", tag.get("value", "")) for tag in tags or []}


@dataclass(frozen=True)
class TagChange:
    """What it takes to come from one dictionary of tags to another."""

    added: dict[str, str]
    removed: list[str]


def tag_change(current: Mapping[str, str], wanted: Mapping[str, str]) -> TagChange:
    return TagChange(
        {key: value for key, value in wanted.items() if current.get(key) != value},
        sorted(set(current) - set(wanted)),
    )
