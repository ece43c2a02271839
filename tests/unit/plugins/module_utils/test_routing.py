# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which documents reach which processor, judged by a matcher that follows EventBridge's documentation.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pasture.ollama.plugins.module_utils._mime_types import (
    IMAGE_INPUTS,
    SUFFIXES,
    TEXT_INPUTS,
    accepts,
    known_suffixes,
    type_of_key,
)
from ansible_collections.pasture.ollama.plugins.module_utils._routing import (
    MAX_PATTERN,
    MAX_WILDCARDS,
    Bucket,
    RoutingError,
    Source,
    Upstream,
    can_chain,
    event_patterns,
    find_cycle,
)

BUCKET = "pasture-docs-123456789012-eu-west-1-source"


def event_matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether EventBridge would send the event by a rule with this pattern."""
    return all(
        event_matches(wanted, event.get(key, {}))
        if isinstance(wanted, Mapping)
        else any(leaf_matches(m, event.get(key)) for m in wanted)
        for key, wanted in pattern.items()
    )


def leaf_matches(matcher: Any, value: Any) -> bool:
    if not isinstance(matcher, Mapping):
        return bool(matcher == value)
    ((operator, operand),) = matcher.items()
    if not isinstance(value, str):
        return False
    if operator == "suffix":
        if isinstance(operand, Mapping):
            return value.lower().endswith(operand["equals-ignore-case"].lower())
        return value.endswith(operand)
    if operator == "prefix":
        return value.startswith(operand)
    if operator == "wildcard":
        pieces = re.split(r"(\\.|\*)", operand)
        return bool(
            re.fullmatch(
                "".join(".*" if p == "*" else re.escape(p.removeprefix("\\")) for p in pieces),
                value,
                re.DOTALL,
            )
        )
    if operator == "anything-but":
        return not any(value.endswith(suffix) for suffix in operand["suffix"])
    raise AssertionError(f"an operator that this collection does not use: {operator}")


def created(key: str, bucket: str = BUCKET) -> dict[str, Any]:
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1}, "reason": "PutObject"},
    }


def announced(
    processor: str, mime_type: str, stack: str = "docs", kind: str = "document-created"
) -> dict[str, Any]:
    return {
        "source": f"/pasture/{stack}/{processor}",
        "detail-type": kind,
        "detail": {"data": {"document": {"url": "s3://x/y", "type": mime_type}}},
    }


def reached(rules: Sequence[Mapping[str, Any]], bus: str, event: Mapping[str, Any]) -> bool:
    return any(rule["bus"] == bus and event_matches(rule["pattern"], event) for rule in rules)


def source_of(given: Mapping[str, str]) -> Source:
    if given["kind"] == "processor":
        return Upstream(given["name"])
    return Bucket(given.get("prefix", ""), given.get("suffix", ""))


def rules_of(inputs: Sequence[str], *sources: Source, sniff: bool = False) -> list[dict[str, Any]]:
    return event_patterns("docs", BUCKET, inputs, sources or [Bucket()], sniff)


FIXTURE = yaml.safe_load((Path(__file__).parents[3] / "fixtures" / "routing.yml").read_text(encoding="utf-8"))
KEYS = {key: set(names) for key, names in FIXTURE["keys"].items()}
PROCESSORS = {
    name: event_patterns(
        "docs",
        BUCKET,
        TEXT_INPUTS if row["inputs"] == "text" else row["inputs"],
        [source_of(source) for source in row["sources"]],
        row.get("sniff", False),
    )
    for name, row in FIXTURE["processors"].items()
}


def test_there_are_forty_keys_and_six_processors() -> None:
    assert (len(KEYS), len(PROCESSORS)) == (40, 6)


@pytest.mark.parametrize("key", KEYS)
def test_each_document_reaches_exactly_the_right_processors(key: str) -> None:
    assert {name for name, rules in PROCESSORS.items() if reached(rules, "default", created(key))} == KEYS[
        key
    ]
    # Once, not by several rules of one processor: each would put it into the queue.
    for rules in PROCESSORS.values():
        assert sum(event_matches(rule["pattern"], created(key)) for rule in rules) <= 1


def test_another_bucket_or_event_reaches_no_one() -> None:
    for rules in PROCESSORS.values():
        assert not reached(rules, "default", created("a.txt", "another"))
        assert not reached(rules, "default", {**created("a.txt"), "detail-type": "Object Deleted"})


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (announced("summarize", "text/plain"), "translate"),
        (announced("caption", "text/plain"), "translate"),
        (announced("summarize", "image/png"), None),
        (announced("translate", "text/plain"), None),
        (announced("summarize", "text/plain", stack="other"), None),
        (announced("summarize", "text/plain", kind="document-failed"), None),
    ],
)
def test_a_chain_carries_what_the_next_can_read(event: dict[str, Any], name: str | None) -> None:
    found = [processor for processor, rules in PROCESSORS.items() if reached(rules, "stack", event)]
    assert found == ([name] if name else [])


def test_a_range_is_a_prefix_in_a_chain() -> None:
    rules = rules_of(["image/*"], Upstream("draw"))
    assert reached(rules, "stack", announced("draw", "image/svg+xml"))
    assert not reached(rules, "stack", announced("draw", "text/plain"))


def test_all_that_a_model_reads_fits_into_one_rule() -> None:
    assert len(rules_of(TEXT_INPUTS)) == 1
    assert len(rules_of(TEXT_INPUTS, Upstream("a"))) == 1


def test_more_than_one_rule_holds_becomes_several() -> None:
    many = [f"application/vnd.example-{'x' * 90}-{index}" for index in range(60)]
    rules = rules_of(many, Upstream("a"))
    assert len(rules) > 1
    assert all(reached(rules, "stack", announced("a", mime_type)) for mime_type in many)


ranges = st.lists(st.sampled_from([*SUFFIXES, "image/*", "text/*", "application/*"]), min_size=1, max_size=12)
prefixes = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=12)
stems = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)


@given(
    ranges,
    prefixes,
    stems,
    st.sampled_from([*known_suffixes(), ".unknown", ""]),
    st.sampled_from([str.lower, str.upper]),
)
def test_a_processor_gets_what_it_reads_from_its_part_of_the_bucket_and_nothing_else(
    inputs: list[str], prefix: str, stem: str, suffix: str, case: Any
) -> None:
    rules = rules_of(inputs, Bucket(prefix))
    for rule in rules:
        text = json.dumps(rule["pattern"])
        assert len(text) <= MAX_PATTERN
        assert text.count("wildcard") <= MAX_WILDCARDS
    for key in (f"{prefix}{stem}{case(suffix)}", f"{stem}{case(suffix)}"):
        mime_type = type_of_key(key)
        wanted = key.startswith(prefix) and mime_type is not None and accepts(inputs, mime_type)
        last = key[key.rfind(".") :]
        if prefix and last not in {last.lower(), last.upper()}:
            continue  # a wildcard sees .pdf and .PDF, as is documented
        assert reached(rules, "default", created(key)) == wanted, key


@given(st.sets(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1), st.data())
def test_a_graph_drawn_downwards_has_no_cycle_and_one_edge_back_makes_one(
    names: set[str], data: st.DataObject
) -> None:
    order = sorted(names)
    sources = {
        name: data.draw(st.sets(st.sampled_from(order[:index]))) if index else set()
        for index, name in enumerate(order)
    }
    assert find_cycle(sources) == []
    sources[order[0]] = {order[-1]}
    for left, right in itertools.pairwise(order):
        sources[right] = sources[right] | {left}
    cycle = find_cycle(sources)
    assert cycle[0] == cycle[-1]
    assert all(right in sources[left] for left, right in itertools.pairwise(cycle))


def test_diamonds_are_no_cycles() -> None:
    assert find_cycle({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}) == []
    assert find_cycle({"a": ["a"]}) == ["a", "a"]


def test_processors_can_be_chained_when_the_one_reads_what_the_other_writes() -> None:
    assert can_chain(["text/plain"], TEXT_INPUTS)
    assert can_chain(["application/json"], TEXT_INPUTS)
    assert not can_chain(["text/plain"], IMAGE_INPUTS)
    assert can_chain(["image/png"], ["image/*"])


@pytest.mark.parametrize(
    ("inputs", "source", "sniff", "sentence"),
    [
        (["text/plain"], Bucket(suffix=".png"), False, "keys that end in '.png', which are image/png"),
        (["text/plain"], Bucket(suffix="-final"), False, "which tells no mime-type; set sniff: true"),
        (
            ["application/x-own"],
            Bucket(),
            False,
            "no key suffix is known for what its model reads (application/x-own)",
        ),
        (["text/plain"], Bucket(prefix="in/"), True, "sniff: true together with a prefix needs a suffix"),
    ],
)
def test_a_source_that_can_bring_nothing_is_refused(
    inputs: list[str], source: Bucket, sniff: bool, sentence: str
) -> None:
    with pytest.raises(RoutingError) as caught:
        rules_of(inputs, source, sniff=sniff)
    assert sentence in str(caught.value)
