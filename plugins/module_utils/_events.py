# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tags by ARN as EventBridge and CloudWatch spell them. For internal use of this collection only."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_change, tag_dict, upper_list

_MISSING = ("ResourceNotFoundException", "ResourceNotFound")


def read_tags(api: Api, arn: str) -> dict[str, str]:
    """The tags of a rule, bus or alarm; none when it is gone."""
    answer = api.call("list_tags_for_resource", missing=_MISSING, ResourceARN=arn) or {}
    return tag_dict(answer.get("Tags"))


def apply_tags(api: Api, arn: str, current: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Bring the tags from C(current) to C(wanted)."""
    change = tag_change(current, wanted)
    if change.removed:
        api.call("untag_resource", ResourceARN=arn, TagKeys=change.removed)
    if change.added:
        api.call("tag_resource", ResourceARN=arn, Tags=upper_list(change.added))
