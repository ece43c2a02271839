# SPDX-License-Identifier: GPL-3.0-or-later
"""What a message of the queue says: pure parsing of every event that the worker understands.

- EventBridge's "Object Created" of S3 (the key is as it is),
- S3 notification records, also inside an SNS notification (the key is URL-encoded, a space is ``+``;
  https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html),
- document events, of this system and of Project Lakechain: a CloudEvent with the same envelope, plain,
  inside an EventBridge event, or inside an SNS notification.

Everything that tells of no new document (test events, deletions, failures) is recognised and ignored.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

from ollama_worker.errors import MalformedEventError

# SNS inside EventBridge inside SNS: nobody nests deeper by accident.
_MAX_DEPTH = 5

# Any fixed namespace serves; with it the same event gives the same chain, however often it is delivered.
_CHAINS = uuid.UUID("6f1d2a0c-8f6b-5b1e-9d43-5a1a4f0f3c55")


@dataclass(frozen=True, slots=True)
class Document:
    """An object of S3 as an event tells of it; what the event does not tell is None."""

    bucket: str
    key: str
    etag: str | None = None
    size: int | None = None
    type: str | None = None
    sequencer: str | None = None

    @property
    def url(self) -> str:
        """``s3://bucket/key``, the key percent-encoded as in the source system's events."""
        return f"s3://{self.bucket}/{quote(self.key, safe='/!$*()_-.~')}"


@dataclass(frozen=True, slots=True)
class DocumentEvent:
    """A document to process, and how it came to be.

    :ivar source: the envelope of the first document of the chain, None when this is the first.
    :ivar call_stack: the names of the steps behind it, newest first.
    """

    chain_id: str
    document: Document
    source: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    call_stack: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that is understood and asks for nothing."""

    reason: str


Parsed = DocumentEvent | Ignored


def parse(body: str) -> list[Parsed]:
    """What the body of a message says, one entry per document in it.

    :raises MalformedEventError: when the body is nothing that the worker understands.
    """
    return _parse(_json(body), 0)


def parse_url(url: str) -> tuple[str, str]:
    """Bucket and key of an ``s3://`` URL.

    :raises MalformedEventError: when it is none.
    """
    if not url.startswith("s3://"):
        raise MalformedEventError(f"'{_short(url)}' is not the s3:// URL of a document.")
    bucket, _, key = url[len("s3://") :].partition("/")
    return _bucket(bucket), _key(unquote(key, errors="strict") if "%" in key else key)


def _parse(event: Any, depth: int) -> list[Parsed]:
    if not isinstance(event, dict):
        raise MalformedEventError("The message is not a JSON object.")
    if depth > _MAX_DEPTH:
        raise MalformedEventError(f"The message wraps events more than {_MAX_DEPTH} deep.")
    if event.get("Event") == "s3:TestEvent":
        return [Ignored("test event of S3")]
    if "specversion" in event and "data" in event:
        return [_document_event(event)]
    if "detail-type" in event and "detail" in event:
        return _eventbridge(event, depth)
    if isinstance(event.get("Message"), str) and ("TopicArn" in event or event.get("Type") == "Notification"):
        return _parse(_json(event["Message"]), depth + 1)
    if isinstance(event.get("Records"), list):
        return _records(event["Records"], depth)
    raise MalformedEventError(
        "The message is neither an event of S3 or EventBridge nor a document event; "
        f"its keys are: {_short(', '.join(map(str, event)))}."
    )


def _eventbridge(event: Mapping[str, Any], depth: int) -> list[Parsed]:
    detail = event["detail"]
    kind = event["detail-type"]
    if not isinstance(detail, dict):
        raise MalformedEventError("The detail of the event is not an object.")
    if "specversion" in detail:
        return _parse(detail, depth + 1)
    if event.get("source") != "aws.s3":
        raise MalformedEventError(
            f"The event is of '{_short(event.get('source'))}', which is not understood."
        )
    if kind != "Object Created":
        return [Ignored(f"event of S3: {_short(kind)}")]
    return [_s3_object(_object(detail, "bucket"), _object(detail, "object"), encoded=False)]


def _records(records: list[Any], depth: int) -> list[Parsed]:
    parsed: list[Parsed] = []
    for record in records:
        if not isinstance(record, dict):
            raise MalformedEventError("A record of the message is not an object.")
        if "Sns" in record:
            parsed += _parse(_json(_object(record, "Sns").get("Message")), depth + 1)
        elif "s3" not in record:
            raise MalformedEventError("A record of the message is not one of S3.")
        elif "ObjectCreated:" not in str(record.get("eventName")):
            parsed.append(Ignored(f"event of S3: {_short(record.get('eventName'))}"))
        else:
            s3 = _object(record, "s3")
            parsed.append(_s3_object(_object(s3, "bucket"), _object(s3, "object"), encoded=True))
    if not parsed:
        return [Ignored("no records")]
    return parsed


def _s3_object(bucket: Mapping[str, Any], entry: Mapping[str, Any], *, encoded: bool) -> Parsed:
    raw = entry.get("key")
    if not isinstance(raw, str):
        raise MalformedEventError("The event names no key.")
    try:
        key = _key(unquote_plus(raw, errors="strict") if encoded else raw)
    except UnicodeDecodeError:
        raise MalformedEventError(f"The key '{_short(raw)}' is not URL-encoded UTF-8.") from None
    if key.endswith("/") and not entry.get("size"):
        return Ignored("folder marker")
    # moto says eTag where EventBridge says etag; S3's own notifications say eTag.
    document = Document(
        bucket=_bucket(bucket.get("name")),
        key=key,
        etag=_etag(entry.get("etag", entry.get("eTag"))),
        size=_size(entry.get("size")),
        sequencer=_text_or_none(entry.get("sequencer")),
    )
    identity = json.dumps([document.bucket, document.key, document.etag, document.sequencer])
    return DocumentEvent(str(uuid.uuid5(_CHAINS, identity)), document, call_stack=("s3",))


def _document_event(event: Mapping[str, Any]) -> Parsed:
    kind = event.get("type")
    if kind != "document-created":
        return Ignored(f"document event: {_short(kind)}")
    data = _object(event, "data")
    entry = _object(data, "document")
    url = entry.get("url")
    if not isinstance(url, str):
        raise MalformedEventError("The document event has no URL of its document.")
    try:
        bucket, key = parse_url(url)
    except UnicodeDecodeError:
        raise MalformedEventError(f"The URL '{_short(url)}' is not URL-encoded UTF-8.") from None
    source = data.get("source")
    metadata = data.get("metadata")
    stack = data.get("callStack")
    return DocumentEvent(
        chain_id=_text_or_none(data.get("chainId")) or str(uuid.uuid5(_CHAINS, url)),
        document=Document(
            bucket=bucket,
            key=key,
            etag=_etag(entry.get("etag")),
            size=_size(entry.get("size")),
            type=_text_or_none(entry.get("type")),
        ),
        source=source if isinstance(source, dict) else dict(entry),
        metadata=metadata if isinstance(metadata, dict) else {},
        call_stack=tuple(map(str, stack)) if isinstance(stack, list) else (),
    )


def _json(text: Any) -> Any:
    if not isinstance(text, str):
        raise MalformedEventError("The message has no text in it.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedEventError(f"The message is not JSON: {_short(error)}.") from None


def _object(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise MalformedEventError(f"The event has no object '{name}'.")
    return value


def _bucket(name: Any) -> str:
    if not isinstance(name, str) or not name or not name.isascii() or "/" in name:
        raise MalformedEventError(f"'{_short(name)}' is not the name of a bucket.")
    return name


def _key(key: str) -> str:
    if not key:
        raise MalformedEventError("The event names an empty key.")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise MalformedEventError("The key of the document is not valid Unicode.") from None
    return key


def _etag(value: Any) -> str | None:
    # Lakechain keeps the quotes that S3's header has.
    return value.strip('"') or None if isinstance(value, str) else None


def _size(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."
