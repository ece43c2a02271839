# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a result a new one, and when a document is tried again."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from least_settings import NEEDED

from ollama_worker.errors import PermanentError
from ollama_worker.events import Document, DocumentEvent
from ollama_worker.model import ModelDefinition
from ollama_worker.results import fingerprint, output_type, result_key
from ollama_worker.settings import Settings, from_environment
from ollama_worker.sqs import retry_delay

MODEL = ModelDefinition("tiny", "latest")
EVENT = DocumentEvent("chain", Document("b", "k.txt"), metadata={"title": "T"})


def of(**changes: Any) -> str:
    """The fingerprint of a document of which some things are otherwise."""
    arguments = {
        "event": EVENT,
        "etag": "e1",
        "settings": settings(),
        "model": MODEL,
        "digest": "sha256:1",
        "num_ctx": 8192,
    }
    return fingerprint(**{**arguments, **changes})


def settings(**variables: str) -> Settings:
    return from_environment({**NEEDED, **variables})


@pytest.mark.parametrize(
    "changes",
    [
        {"etag": "e2"},
        {"digest": "sha256:2"},
        {"num_ctx": 4096},
        {"event": dataclasses.replace(EVENT, document=Document("b", "other.txt"))},
        {"model": dataclasses.replace(MODEL, tag="8b")},
        {"model": dataclasses.replace(MODEL, options={"seed": 1})},
        {"settings": settings(PASTURE_PROMPT="Another")},
        {"settings": settings(PASTURE_COMBINE_PROMPT="Another")},
        {"settings": settings(PASTURE_SYSTEM="Be terse.")},
        {"settings": settings(PASTURE_OPTIONS='{"temperature": 0}')},
        {"settings": settings(PASTURE_FORMAT="json")},
        {"settings": settings(PASTURE_THINK="true")},
        {"settings": settings(PASTURE_TASK="embed")},
        {"settings": settings(PASTURE_ON_OVERFLOW="fail")},
        {"settings": settings(PASTURE_ON_LENGTH="accept")},
    ],
    ids=",".join,
)
def test_what_a_result_depends_on_makes_it_a_new_one(changes: dict[str, Any]) -> None:
    assert of(**changes) != of()


@pytest.mark.parametrize(
    "changes",
    [
        {"event": dataclasses.replace(EVENT, chain_id="another", call_stack=("x",))},
        {"event": dataclasses.replace(EVENT, metadata={"title": "Another"})},
        {"settings": settings(PASTURE_SLOTS="4", PASTURE_GPUS="1", PASTURE_STOP_TIMEOUT="30")},
        {"model": dataclasses.replace(MODEL, inputs=("text/plain", "text/html"))},
    ],
    ids=",".join,
)
def test_what_a_result_does_not_depend_on_does_not(changes: dict[str, Any]) -> None:
    assert of(**changes) == of()


def test_metadata_count_when_the_prompt_names_them() -> None:
    named = settings(PASTURE_PROMPT="{{ metadata.title }}: {{ document }}")
    other = dataclasses.replace(EVENT, metadata={"title": "Another"})
    assert of(settings=named) != of(settings=named, event=other)


@pytest.mark.parametrize(
    ("variables", "kind", "key"),
    [
        ({}, "text/plain", "p/k.pdf.txt"),
        ({"PASTURE_FORMAT": '{"type": "object"}'}, "application/json", "p/k.pdf.json"),
        ({"PASTURE_TASK": "embed"}, "application/x-ndjson", "p/k.pdf.jsonl"),
    ],
)
def test_a_results_name_tells_its_type(variables: dict[str, str], kind: str, key: str) -> None:
    assert output_type(settings(**variables), MODEL) == kind
    assert result_key("p", "k.pdf", kind) == key


def test_a_key_that_would_be_too_long_is_refused_before_any_work() -> None:
    with pytest.raises(PermanentError) as caught:
        result_key("p", "ü" * 510, "text/plain")
    assert caught.value.slug == "key-too-long"


def test_the_delay_doubles_up_to_a_quarter_of_an_hour() -> None:
    ranges = [{retry_delay(receives) for _ in range(300)} for receives in range(1, 12)]
    for receives, delays in enumerate(ranges, 1):
        ceiling = min(900, 10 * 2 ** (receives - 1))
        assert ceiling / 2 <= min(delays) <= max(delays) <= ceiling
        # Documents that failed together do not come back together.
        assert len(delays) > 4
