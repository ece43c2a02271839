# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the scaling role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.pasture.ollama.plugins.module_utils._staircase import staircase, step_adjustments


def scaling_steps(max_tasks: int, documents_per_task: int, threshold: int = 1) -> list[dict[str, int]]:
    try:
        return step_adjustments(staircase(int(max_tasks), int(documents_per_task)), int(threshold))
    except (TypeError, ValueError) as error:
        raise AnsibleFilterError(f"scaling_steps: {error}") from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"scaling_steps": scaling_steps}
