# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policy documents: compared by meaning, and merged statement by statement.

For internal use of this collection only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies

Policy = dict[str, Any]
_VERSION = "2012-10-17"


def parse(document: str | None) -> Policy | None:
    """A policy as AWS returns it; None when there is none."""
    return json.loads(document) if document else None


def same(one: Policy | None, other: Policy | None) -> bool:
    """Whether two policies mean the same: AWS reorders lists and writes a list of one as a string."""
    if not one or not other:
        return not one and not other
    return not compare_policies(one, other)


def keep_if_same(current: Policy | None, wanted: Policy | None) -> Policy | None:
    """C(current) when it means what C(wanted) does, so that a comparison by value sees no difference."""
    return current if same(current, wanted) else wanted


def merge_statements(
    current: Policy | None, ours: Iterable[Mapping[str, Any]], retired: Iterable[str] = ()
) -> Policy | None:
    """The policy with our statements in it and all others as they are.

    :param ours: statements with a C(Sid), which replace those of the same name.
    :param retired: names of our statements that are to go.
    :returns: None when no statement is left, which means to remove the policy.
    """
    statements = [dict(statement) for statement in ours]
    replaced = {*retired, *(statement["Sid"] for statement in statements)}
    present = (current or {}).get("Statement", [])
    foreign = [
        one for one in ([present] if isinstance(present, dict) else present) if one.get("Sid") not in replaced
    ]
    if not foreign and not statements:
        return None
    return {**(current or {"Version": _VERSION}), "Statement": [*foreign, *statements]}
