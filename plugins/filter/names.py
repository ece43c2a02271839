# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter that looks at names before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.pasture.ollama.plugins.module_utils import _names


def naming_problems(tags: Mapping[str, Any], buckets: Sequence[str] = ()) -> list[str]:
    if not isinstance(tags, Mapping):
        raise AnsibleFilterError("naming_problems: the tags are not a mapping.")
    return [*_names.bucket_problems(buckets), *_names.tag_problems(tags)]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"naming_problems": naming_problems}
