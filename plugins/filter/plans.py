# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters that turn processors into what the compute roles make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.pasture.ollama.plugins.module_utils._plan_cluster import cluster_plan
from ansible_collections.pasture.ollama.plugins.module_utils._plan_observability import observability_plan
from ansible_collections.pasture.ollama.plugins.module_utils._plan_processor import processor_plan
from ansible_collections.pasture.ollama.plugins.module_utils._plan_scaling import scaling_plan

Plan = Callable[[list[dict[str, Any]], Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]


def _filter(name: str, plan: Plan) -> Plan:
    def apply(
        processors: list[dict[str, Any]], stack: Mapping[str, Any], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        try:
            return plan(processors, stack, options)
        except KeyError as error:
            raise AnsibleFilterError(f"{name}: {error} is missing.") from error
        except (TypeError, ValueError) as error:
            raise AnsibleFilterError(f"{name}: {error}") from error

    return apply


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        plans: dict[str, Plan] = {
            "cluster_plan": cluster_plan,
            "observability_plan": observability_plan,
            "processor_plan": processor_plan,
            "scaling_plan": scaling_plan,
        }
        return {name: _filter(name, plan) for name, plan in plans.items()}
