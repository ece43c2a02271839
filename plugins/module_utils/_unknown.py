# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Placeholders for what is known only after a thing is made.

C(--check) on an empty account has to describe a service on a cluster that does not exist yet. The
ids that AWS would give are written as a text that no API accepts by mistake and a reader understands.

For internal use of this collection only.
"""

from __future__ import annotations

from typing import Any

_MARK = "(known after deploy: "


def unknown(kind: str) -> str:
    """The placeholder for the id of a C(kind), such as C(VPC)."""
    return f"{_MARK}{kind})"


def is_unknown(value: Any) -> bool:
    """Whether a placeholder stands anywhere in C(value), which may be nested."""
    if isinstance(value, str):
        return _MARK in value
    if isinstance(value, dict):
        return any(is_unknown(item) for item in value.values())
    if isinstance(value, (list, tuple, set)):
        return any(is_unknown(item) for item in value)
    return False
