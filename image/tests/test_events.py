# SPDX-License-Identifier: GPL-3.0-or-later
"""The event parser: every form, and whatever else may lie in a queue."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worker_cloud import s3_event

from ollama_worker.announce import created
from ollama_worker.errors import MalformedEventError
from ollama_worker.events import DocumentEvent, Ignored, parse, parse_url
from ollama_worker.results import Stored

# An example makes one event in each form, or one for each place of each form that can be damaged: a thousand
# are over 100,000 events in ten seconds. `PASTURE_FUZZ=20000` makes more.
EXAMPLES = int(os.environ.get("PASTURE_FUZZ", "1000"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

# A key is any Unicode text of up to 1,024 bytes of UTF-8.
keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200).filter(
    lambda key: len(key.encode()) <= 1024 and not key.endswith("/")
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4)
    ),
    max_leaves=12,
)


def notification(key: str, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    entry = {"key": quote_plus(key), "size": 3, "eTag": "abc", "sequencer": "0055AED6DCD90281E5"}
    return {
        "Records": [
            {"eventSource": "aws:s3", "eventName": name, "s3": {"bucket": {"name": "b"}, "object": entry}}
        ]
    }


def in_sns(event: dict[str, Any]) -> dict[str, Any]:
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": json.dumps(event)}


def document_event(key: str, **changes: Any) -> dict[str, Any]:
    entry = {"url": f"s3://b/{quote(key)}", "type": "text/plain", "size": 3, "etag": "abc"}
    data = {
        "chainId": "c1",
        "source": entry,
        "document": entry,
        "metadata": {"title": "T"},
        "callStack": ["s3"],
    }
    event = {"specversion": "1.0", "id": "1", "type": "document-created", "time": "t", "data": data}
    return {**event, **changes}


def in_bus(event: dict[str, Any]) -> dict[str, Any]:
    return {"version": "0", "source": "/pasture/docs/x", "detail-type": "document-created", "detail": event}


FORMS = {
    "EventBridge": lambda key: s3_event("b", key, 3, "abc"),
    "notification": notification,
    "notification in SNS": lambda key: in_sns(notification(key)),
    "document event": document_event,
    "document event on the bus": lambda key: in_bus(document_event(key)),
    "document event in SNS": lambda key: in_sns(document_event(key)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    "key", ["a.txt", "a b+c.txt", "ü/日本 語.md", "100%.txt", "a%20b.txt", "?#&=.txt", "a//b", "+"]
)
def test_keys_survive_in_every_form(form: Any, key: str) -> None:
    (event,) = parse(json.dumps(form(key)))
    assert isinstance(event, DocumentEvent)
    assert event.document.bucket == "b"
    assert event.document.key == key
    assert event.document.etag == "abc"


@fuzz
@given(key=keys)
def test_every_key_survives_exactly_in_every_form(key: str) -> None:
    for form in FORMS.values():
        (event,) = parse(json.dumps(form(key)))
        assert isinstance(event, DocumentEvent)
        assert event.document.key == key
        assert parse_url(event.document.url) == ("b", key)


IN_SNS = {"notification in SNS": notification, "document event in SNS": document_event}
DELETED = object()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value inside a JSON value, the innermost first."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, inner in entries:
        yield from places(inner, (*path, name))
        yield (*path, name)


def damaged(event: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy of an event with another value, or none, in one place."""
    result = copy.deepcopy(event)
    holder: Any = result
    for name in path[:-1]:
        holder = holder[name]
    if value is DELETED:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return result


def damages(value: Any) -> Iterator[str]:
    """Every form of event with a value, or none, in each place of it."""
    for name, form in FORMS.items():
        yield from (json.dumps(damaged(form("key.txt"), path, value)) for path in places(form("key.txt")))
        # What SNS wraps is a text: it is damaged before it is wrapped, too.
        if wrapped := IN_SNS.get(name):
            event = wrapped("key.txt")
            yield from (json.dumps(in_sns(damaged(event, path, value))) for path in places(event))


@fuzz
@given(value=json_values | st.just(DELETED))
def test_an_event_damaged_in_any_place_is_malformed_or_understood_and_nothing_else(value: Any) -> None:
    for body in damages(value):
        _parsed_or_malformed(body)


@fuzz
@given(body=st.text(max_size=60) | json_values.map(json.dumps))
def test_any_body_at_all_is_malformed_or_understood(body: str) -> None:
    _parsed_or_malformed(body)


def _parsed_or_malformed(body: str) -> None:
    try:
        parsed = parse(body)
    except MalformedEventError as error:
        parsed = [Ignored(str(error))]
    # Never a lost message: something came of it, or a reason why not.
    assert parsed
    assert all(isinstance(entry, DocumentEvent | Ignored) for entry in parsed)


def test_the_three_tests_above_make_a_hundred_thousand_events() -> None:
    assert EXAMPLES * (len(FORMS) + sum(1 for _ in damages(None)) + 1) > 100_000


@pytest.mark.parametrize(
    "event",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"},
        notification("a.txt", "ObjectRemoved:Delete"),
        {**s3_event("b", "a.txt", 3, "e"), "detail-type": "Object Deleted"},
        document_event("a.txt", type="document-deleted"),
        document_event("a.txt", type="document-failed"),
        s3_event("b", "folder/", 0, "e"),
        {"Records": []},
    ],
)
def test_events_that_ask_for_nothing_are_acknowledged(event: dict[str, Any]) -> None:
    (entry,) = parse(json.dumps(event))
    assert isinstance(entry, Ignored)


@pytest.mark.parametrize("body", ["", "null", "[]", "{}", "[" * 100_000, '{"Records": [1]}', "\ud800"])
def test_what_is_no_event_says_so(body: str) -> None:
    with pytest.raises(MalformedEventError):
        parse(body)


def test_several_records_are_several_documents() -> None:
    event = notification("a.txt")
    event["Records"] += notification("b.txt")["Records"]
    assert [entry.document.key for entry in parse(json.dumps(event)) if isinstance(entry, DocumentEvent)] == [
        "a.txt",
        "b.txt",
    ]


def test_the_same_event_has_the_same_chain_and_its_result_the_same_event() -> None:
    body = json.dumps(s3_event("b", "a.txt", 3, "e", sequencer="1"))
    (first,), (second,) = parse(body), parse(body)
    assert isinstance(first, DocumentEvent)
    assert first == second
    stored = Stored("p/a.txt.txt", "e2", 5, "text/plain", "f" * 64, "1")
    events = [created("/pasture/s/p", "p", first, stored, "r", {}) for _ in range(2)]
    assert events[0]["id"] == events[1]["id"]


def test_a_chain_keeps_its_source_and_stacks_its_steps() -> None:
    (first,) = parse(json.dumps(s3_event("in", "a b.txt", 3, "e")))
    assert isinstance(first, DocumentEvent)
    stored = Stored("p/a b.txt.txt", "e2", 5, "text/plain", "f" * 64, "")
    event = created("/pasture/s/p", "p", first, stored, "out", {"title": "T"})
    (second,) = parse(json.dumps(in_bus(event)))
    assert isinstance(second, DocumentEvent)
    assert second.chain_id == first.chain_id
    assert second.document.key == "p/a b.txt.txt"
    assert second.document.type == "text/plain"
    third = created(
        "/pasture/s/q", "q", second, Stored("q/k", "e3", 1, "text/plain", "0", ""), "out", {"lang": "fr"}
    )
    assert third["data"]["source"]["url"] == "s3://in/a%20b.txt"
    assert third["data"]["callStack"] == ["q", "p", "s3"]
    assert third["data"]["metadata"] == {"title": "T", "lang": "fr"}
