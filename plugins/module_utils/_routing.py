# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which documents reach which processor: event patterns, and whether two processors can be chained.

For internal use of this collection only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ansible_collections.pasture.ollama.plugins.module_utils._mime_types import (
    accepts,
    known_suffixes,
    matches,
    suffixes_of,
    type_of_key,
)

# "Event pattern size: 2048 characters" https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
MAX_PATTERN = 2048

# Wildcards that begin alike are all followed at once, and EventBridge refuses a rule that is too complex; its
# matcher's documentation recommends a limit of 10 for one rule.
# https://github.com/aws/event-ruler#wildcard-matching (Strategy 2, "Individual Complexity")
MAX_WILDCARDS = 8


@dataclass(frozen=True)
class Bucket:
    """The source bucket, or the part of it whose keys begin and end so."""

    prefix: str = ""
    suffix: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"kind": "bucket", "prefix": self.prefix, "suffix": self.suffix}


@dataclass(frozen=True)
class Upstream:
    """Another processor of the stack, by name."""

    name: str

    def as_dict(self) -> dict[str, str]:
        return {"kind": "processor", "name": self.name}


# A string, because pylint believes that Python 3.11 cannot join two dataclasses.
Source: TypeAlias = "Bucket | Upstream"


class RoutingError(ValueError):
    """A source from which no document can come; the message is a sentence for the user."""


def event_patterns(
    stack: str, source_bucket: str, inputs: Sequence[str], sources: Iterable[Source], sniff: bool = False
) -> list[dict[str, Any]]:
    """The rules that bring a processor its documents, each C({"bus": "default"|"stack", "pattern": {...}}).

    :param inputs: the mime-types and ranges its model reads.
    :param sniff: also objects whose key tells no type; the worker looks into them.
    :raises RoutingError: when a source can bring nothing.
    """
    rules: list[dict[str, Any]] = []
    upstreams = []
    for source in sources:
        if isinstance(source, Bucket):
            patterns = _bucket_patterns(source_bucket, inputs, source, sniff)
            rules += [{"bus": "default", "pattern": pattern} for pattern in patterns]
        else:
            upstreams.append(source.name)
    if upstreams:
        patterns = _chain_patterns(stack, inputs, upstreams)
        rules += [{"bus": "stack", "pattern": pattern} for pattern in patterns]
    return rules


def can_chain(outputs: Iterable[str], inputs: Iterable[str]) -> bool:
    """Whether a processor that reads C(inputs) can read any of what another writes."""
    wanted = list(inputs)
    return any(accepts(wanted, output) for output in outputs)


def matches_any(inputs: Iterable[str], others: Iterable[str]) -> bool:
    """Whether some document could be of both: two ranges meet when one contains the other."""
    return any(matches(left, right) or matches(right, left) for left in inputs for right in others)


def _bucket_patterns(bucket: str, inputs: Sequence[str], source: Bucket, sniff: bool) -> list[dict[str, Any]]:
    def pattern(matchers: Sequence[Any]) -> dict[str, Any]:
        return {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": [bucket]}, "object": {"key": list(matchers)}},
        }

    return [pattern(chunk) for chunk in _chunks(_key_matchers(inputs, source, sniff), pattern)]


def _key_matchers(inputs: Sequence[str], source: Bucket, sniff: bool) -> list[dict[str, Any]]:
    suffixes = suffixes_of(inputs)
    if source.suffix:
        key_type = type_of_key(f"document{source.suffix}")
        if key_type and not accepts(inputs, key_type):
            raise RoutingError(
                f"it takes keys that end in '{source.suffix}', which are {key_type}, and its model does not "
                "read that; change the suffix or the model"
            )
        if not key_type and not sniff:
            raise RoutingError(
                f"it takes keys that end in '{source.suffix}', which tells no mime-type; set sniff: true to "
                "have the worker look into them, or name a suffix such as '.txt'"
            )
        suffixes = [source.suffix]
    elif not suffixes and not sniff:
        raise RoutingError(
            f"no key suffix is known for what its model reads ({', '.join(inputs)}); set sniff: true, or "
            f"let it "
            "read from another processor"
        )
    if source.prefix:
        if sniff and not source.suffix:
            raise RoutingError(
                "sniff: true together with a prefix needs a suffix as well: a rule of EventBridge cannot "
                "ask for "
                "a prefix and for the lack of known suffixes at once"
            )
        return [{"wildcard": _escape(source.prefix) + "*" + _escape(s)} for s in _in_both_cases(suffixes)]
    matchers: list[dict[str, Any]] = [{"suffix": {"equals-ignore-case": suffix}} for suffix in suffixes]
    if sniff and not source.suffix:
        matchers.append({"anything-but": {"suffix": _in_both_cases(known_suffixes())}})
    return matchers


def _in_both_cases(suffixes: Iterable[str]) -> list[str]:
    """Wildcards, and lists of what a key is not, know no C(equals-ignore-case): .pdf and .PDF, not .Pdf."""
    return sorted({case for suffix in suffixes for case in (suffix, suffix.lower(), suffix.upper())})


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*")


def _chain_patterns(stack: str, inputs: Sequence[str], upstreams: Sequence[str]) -> list[dict[str, Any]]:
    def pattern(matchers: Sequence[Any]) -> dict[str, Any]:
        return {
            "source": [f"/pasture/{stack}/{name}" for name in upstreams],
            "detail-type": ["document-created"],
            "detail": {"data": {"document": {"type": list(matchers)}}},
        }

    matchers: list[Any] = [
        {"prefix": mime_type[:-1]} if mime_type.endswith("/*") else mime_type for mime_type in inputs
    ]
    return [pattern(chunk) for chunk in _chunks(matchers, pattern)]


def _chunks(matchers: Sequence[Any], pattern: Any) -> Iterator[list[Any]]:
    """Split the matchers so that EventBridge takes each rule's pattern, even with json.dumps' spaces."""
    chunk: list[Any] = []
    for matcher in matchers:
        longer = [*chunk, matcher]
        if chunk and (len(json.dumps(pattern(longer))) > MAX_PATTERN or _wildcards(longer) > MAX_WILDCARDS):
            yield chunk
            longer = [matcher]
        chunk = longer
    if chunk:
        yield chunk


def _wildcards(matchers: Iterable[Any]) -> int:
    return sum(1 for matcher in matchers if isinstance(matcher, Mapping) and "wildcard" in matcher)


def find_cycle(sources: Mapping[str, Iterable[str]]) -> list[str]:
    """The processors of one cycle, from a processor back to itself; empty when there is none.

    :param sources: processor to the processors it reads from.
    """
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for upstream in sources.get(name, ()):
            cycle = visit(upstream, [*path, name])
            if cycle:
                return cycle
        done.add(name)
        return []

    for start in sources:
        cycle = visit(start, [])
        if cycle:
            return cycle
    return []
