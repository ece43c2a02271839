# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters as a playbook calls them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.pasture.ollama.plugins.filter.pipeline import FilterModule as Pipeline
from ansible_collections.pasture.ollama.plugins.filter.scaling import FilterModule as Scaling

FILTERS = {**Pipeline().filters(), **Scaling().filters()}
ACCOUNT: dict[str, Any] = {
    "account_id": "123456789012",
    "partition": "aws",
    "region": "eu-west-1",
    "instance_types": {
        "c7i.xlarge": {
            "name": "c7i.xlarge",
            "vcpus": 4,
            "memory_mib": 8192,
            "architecture": "x86_64",
            "gpu_count": 0,
            "gpu_memory_mib": 0,
            "gpu_manufacturer": "",
            "network_interfaces": 4,
            "markets": ["on-demand", "spot"],
        }
    },
    "quotas": {"on-demand": [], "spot": []},
}
PROCESSOR = {
    "name": "summarize",
    "model": "smollm2:135m",
    "prompt": "x",
    "infrastructure": {"instance_type": "c7i.xlarge"},
}


def call(name: str, *arguments: Any, **options: Any) -> Any:
    return FILTERS[name](*arguments, **options)


def test_processors_are_completed_with_the_bucket_that_will_be_made() -> None:
    (made,) = call("processors", [PROCESSOR], stack="docs", account=ACCOUNT)
    detail = made["event_patterns"][0]["pattern"]["detail"]
    assert detail["bucket"]["name"] == ["pasture-docs-123456789012-eu-west-1-source"]
    (given,) = call("processors", [PROCESSOR], stack="docs", account=ACCOUNT, source_bucket="mine")
    assert given["event_patterns"][0]["pattern"]["detail"]["bucket"]["name"] == ["mine"]


def test_problems_are_returned_or_raised() -> None:
    wrong = [{**PROCESSOR, "prompt": ""}]
    assert call("processor_problems", [PROCESSOR], stack="docs", account=ACCOUNT) == []
    (problem,) = call("processor_problems", wrong, stack="docs", account=ACCOUNT)
    assert "its prompt is empty" in problem
    with pytest.raises(AnsibleFilterError, match="its prompt is empty"):
        call("processors", wrong, stack="docs", account=ACCOUNT)


def test_an_account_that_is_none_is_said_so() -> None:
    with pytest.raises(AnsibleFilterError, match=r"not what pasture\.ollama\.account_info returns"):
        call("processors", [PROCESSOR], stack="docs", account={})


def test_a_definition_is_completed_or_refused() -> None:
    assert call("model_definition", "smollm2:135m")["context_length"] == 8192
    with pytest.raises(AnsibleFilterError, match="not in the catalogue"):
        call("model_definition", "nope")


def test_patterns_and_chains() -> None:
    rules = call("event_patterns", ["application/PDF"], "docs", "mine")
    assert rules[0]["pattern"]["detail"]["object"]["key"] == [{"suffix": {"equals-ignore-case": ".pdf"}}]
    chained = call(
        "event_patterns", ["text/plain"], "docs", "mine", sources=[{"kind": "processor", "name": "a"}]
    )
    assert chained[0]["bus"] == "stack"
    assert call("can_chain", ["text/plain"], ["text/*"]) is True
    for name, arguments in (("can_chain", (["x"], ["y"])), ("event_patterns", (["x"], "docs", "mine"))):
        with pytest.raises(AnsibleFilterError, match="not a mime-type"):
            call(name, *arguments)


def test_a_plan_that_lacks_something_says_what() -> None:
    with pytest.raises(AnsibleFilterError, match="models_plan: 'stack' is missing"):
        call("models_plan", [], {}, {})


def test_steps_come_from_numbers_as_playbooks_have_them() -> None:
    assert call("scaling_steps", "2", "3") == [
        {"metric_interval_lower_bound": 0, "metric_interval_upper_bound": 3, "scaling_adjustment": 1},
        {"metric_interval_lower_bound": 3, "scaling_adjustment": 2},
    ]
    for wrong in ("many", None, 0):
        with pytest.raises(AnsibleFilterError, match="scaling_steps"):
            call("scaling_steps", wrong, 1)
