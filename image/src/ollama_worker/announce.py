# SPDX-License-Identifier: GPL-3.0-or-later
"""Document events: what the worker tells the stack's bus."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from ollama_worker.aws import calling
from ollama_worker.errors import PermanentError, RetryableError, WorkerError
from ollama_worker.events import Document, DocumentEvent
from ollama_worker.results import Stored

_EVENTS = uuid.UUID("0b0f1f0e-6a3c-5f0e-8d33-3c6c0d9f6a11")

# PutEvents takes 256 KiB per entry (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html).
_MAX_DETAIL_BYTES = 240 * 1024
_MAX_REASON = 2000


def created(
    source: str,
    processor: str,
    event: DocumentEvent,
    result: Stored,
    bucket: str,
    attributes: Mapping[str, Any],
) -> dict[str, Any]:
    """The CloudEvent for a result. Its id is the same each time the same result is announced."""
    document = Document(bucket, result.key, result.etag, result.size, result.type)
    data = {
        "chainId": event.chain_id,
        "source": origin(event),
        "document": envelope(document),
        "metadata": merged(event.metadata, attributes),
        "callStack": [processor, *event.call_stack],
    }
    return _cloud_event(source, "document-created", f"{source} {result.key} {result.fingerprint}", data)


def failed(source: str, processor: str, event: DocumentEvent, error: WorkerError) -> dict[str, Any]:
    """The CloudEvent for a document that failed for good."""
    data = {
        "chainId": event.chain_id,
        "source": origin(event),
        "document": envelope(event.document),
        "metadata": dict(event.metadata),
        "callStack": [processor, *event.call_stack],
        "error": {"type": error.slug, "reason": str(error)[:_MAX_REASON]},
    }
    identity = f"{source} {event.document.url} {event.document.etag} {event.chain_id} {error.slug}"
    return _cloud_event(source, "document-failed", identity, data)


def envelope(document: Document) -> dict[str, Any]:
    """A document as the events tell of it; what is not known is left out."""
    fields = {
        "url": document.url,
        "type": document.type,
        "size": document.size,
        "etag": document.etag,
    }
    return {name: value for name, value in fields.items() if value is not None}


def origin(event: DocumentEvent) -> dict[str, Any]:
    """The first document of the chain, which is the event's own when it has none before it."""
    return dict(event.source) if event.source is not None else envelope(event.document)


def merged(metadata: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with an update laid over, objects merged name by name."""
    result = dict(metadata)
    for name, value in update.items():
        old = result.get(name)
        result[name] = (
            merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
        )
    return result


class Announcer:
    """Puts document events on the stack's bus."""

    def __init__(self, events: Any, bus: str | None) -> None:
        """:param bus: without one nothing is announced."""
        self._events = events
        self._bus = bus

    def announce(self, event: Mapping[str, Any]) -> None:
        """Announce a CloudEvent.

        :raises RetryableError: when EventBridge did not take it.
        """
        if self._bus is None:
            return
        detail = json.dumps(event, ensure_ascii=False)
        if len(detail.encode()) > _MAX_DETAIL_BYTES:
            raise PermanentError(
                "The document's metadata have grown too large to be announced.", slug="metadata-too-large"
            )
        entry = {
            "Source": event["source"],
            "DetailType": event["type"],
            "Detail": detail,
            "EventBusName": self._bus,
        }
        with calling(f"announce on {self._bus}"):
            answer = self._events.put_events(Entries=[entry])
        if answer.get("FailedEntryCount"):
            refused = answer["Entries"][0]
            raise RetryableError(
                f"EventBridge refused the event: {refused.get('ErrorCode')}: {refused.get('ErrorMessage')}",
                slug="announce-refused",
            )


def _cloud_event(source: str, kind: str, identity: str, data: Mapping[str, Any]) -> dict[str, Any]:
    now = time.time()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid5(_EVENTS, f"{kind} {identity}")),
        "source": source,
        "type": kind,
        "time": f"{moment}.{int(now % 1 * 1000):03d}Z",
        "data": data,
    }
