# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading the document that an event names."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ollama_worker.aws import calling
from ollama_worker.errors import ConditionFailedError, PermanentError
from ollama_worker.events import Document

_CHUNK = 1024 * 1024


class SupersededError(ConditionFailedError):
    """The object was replaced after the event: the event of its newer version does the work."""

    slug = "superseded"


@dataclass(slots=True)
class LoadedDocument:
    """An object's bytes, in memory or, when there are many, in a file that `discard` removes."""

    etag: str
    size: int
    content_type: str
    user_metadata: Mapping[str, str]
    data: bytes | None = None
    path: Path | None = None

    def head(self, size: int = 4096) -> bytes:
        """The first bytes."""
        if self.data is not None:
            return self.data[:size]
        if self.path is None:
            return b""
        with self.path.open("rb") as stream:
            return stream.read(size)

    def discard(self) -> None:
        """Forget the bytes."""
        self.data = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None


def load(
    s3: Any, document: Document, *, max_bytes: int, max_memory_bytes: int, work_dir: Path
) -> LoadedDocument:
    """Download a document.

    :raises PermanentError: when it is not there or too large.
    :raises SupersededError: when the object is another version than the event's.
    """
    _check_size(document.size, max_bytes)
    condition = {"IfMatch": f'"{document.etag}"'} if document.etag else {}
    try:
        with calling(f"read {document.url}"):
            answer = s3.get_object(Bucket=document.bucket, Key=document.key, **condition)
    except ConditionFailedError as error:
        raise SupersededError(f"{document.url} was replaced after the event: {error}") from error
    body = answer["Body"]
    size = int(answer.get("ContentLength") or 0)
    loaded = LoadedDocument(
        etag=str(answer.get("ETag", "")).strip('"'),
        size=size,
        content_type=str(answer.get("ContentType") or ""),
        user_metadata=answer.get("Metadata") or {},
    )
    try:
        with calling(f"read {document.url}"):
            _check_size(size, max_bytes)
            if size <= max_memory_bytes:
                loaded.data = body.read()
            else:
                with tempfile.NamedTemporaryFile(dir=work_dir, prefix="document-", delete=False) as file:
                    loaded.path = Path(file.name)
                    for chunk in body.iter_chunks(_CHUNK):
                        file.write(chunk)
    except BaseException:
        loaded.discard()
        raise
    finally:
        body.close()
    return loaded


def _check_size(size: int | None, max_bytes: int) -> None:
    if size is not None and size > max_bytes:
        raise PermanentError(
            f"The document has {size} bytes; {max_bytes} are allowed (PASTURE_MAX_DOCUMENT_BYTES).",
            slug="document-too-large",
        )
    if size == 0:
        raise PermanentError("The document is empty: it has 0 bytes.", slug="empty-document")
