# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading the document that an event names."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ollama_worker.aws import calling
from ollama_worker.errors import ConditionFailedError, PermanentError, StoppingError
from ollama_worker.events import Document

_CHUNK = 1024 * 1024
# Between two looks at whether the worker stops.
_LOOK_SECONDS = 0.5


class SupersededError(ConditionFailedError):
    """The object was replaced after the event: the event of its newer version does the work."""

    slug = "superseded"


class Spool:
    """The place for documents that are too large for memory: one at a time.

    In the container it is a file system in memory of a fixed size, so that what lies there is bounded like
    everything else that is in hand.
    """

    def __init__(
        self, folder: Path, max_memory_bytes: int, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """Prepare it.

        :param max_memory_bytes: larger documents go to a file in `folder`.
        :param stopping: True lets nobody wait any longer.
        """
        self._folder = folder
        self._max_memory_bytes = max_memory_bytes
        self._stopping = stopping
        self._place = threading.Semaphore(1)

    def needed(self, size: int) -> bool:
        """Whether a document of `size` bytes goes to a file."""
        return size > self._max_memory_bytes

    def take(self) -> None:
        """Wait for the place; `leave` gives it back.

        :raises StoppingError: when the worker stops meanwhile.
        """
        while not self._place.acquire(timeout=_LOOK_SECONDS):
            if self._stopping():
                raise StoppingError("The worker stops.")

    def leave(self) -> None:
        """Let the next large document in."""
        self._place.release()

    def write(self, chunks: Iterable[bytes]) -> Path:
        """A file with these bytes. The place was taken."""
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix="document-", delete=False) as file:
            path = Path(file.name)
            try:
                for chunk in chunks:
                    file.write(chunk)
            except BaseException:
                path.unlink()
                raise
        return path


@dataclass(slots=True)
class LoadedDocument:
    """An object's bytes, in memory or, when there are many, in a file that `discard` removes.

    :ivar on_discard: called once when the file is removed.
    """

    etag: str
    size: int
    content_type: str
    user_metadata: Mapping[str, str]
    data: bytes | None = None
    path: Path | None = None
    on_discard: Callable[[], None] = lambda: None

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
            self.on_discard()


def load(s3: Any, document: Document, *, max_bytes: int, spool: Spool) -> LoadedDocument:
    """Download a document.

    :raises PermanentError: when it is not there or too large.
    :raises SupersededError: when the object is another version than the event's.
    """
    _check_size(document.size, max_bytes)
    # Events tell the size: nobody waits for the place with a connection open.
    taken = spool.needed(document.size or 0)
    if taken:
        spool.take()
    loaded: LoadedDocument | None = None
    try:
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
            on_discard=spool.leave,
        )
        with contextlib.closing(body), calling(f"read {document.url}"):
            _check_size(size, max_bytes)
            if not spool.needed(size):
                loaded.data = body.read()
                return loaded
            if not taken:
                spool.take()
                taken = True
            loaded.path = spool.write(body.iter_chunks(_CHUNK))
            return loaded
    finally:
        if taken and (loaded is None or loaded.path is None):
            spool.leave()


def _check_size(size: int | None, max_bytes: int) -> None:
    if size is not None and size > max_bytes:
        raise PermanentError(
            f"The document has {size} bytes; {max_bytes} are allowed (PASTURE_MAX_DOCUMENT_BYTES).",
            slug="document-too-large",
        )
    if size == 0:
        raise PermanentError("The document is empty: it has 0 bytes.", slug="empty-document")
