# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights of the user's own: an object in S3, brought into a staging store in one pass.

The object is an archive of one model out of a store of Ollama's (as `pasture.ollama.ollama_model_archive`
writes it), or a GGUF file. Nothing names a blob before the whole object was seen and its digest was right.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import botocore.exceptions
import urllib3.exceptions

from ollama_worker.aws import Clients, calling
from ollama_worker.engine.store import ModelStore
from ollama_worker.errors import PermanentError, RetryableError
from ollama_worker.model import ModelDefinition

#: Told a status, bytes done and bytes in all.
Progress = Callable[[str, int, int], None]

_CHUNK = 1024 * 1024
_BLOB = re.compile(r"^blobs/sha256-([0-9a-f]{64})$")
_MANIFEST = re.compile(r"^manifests(/[A-Za-z0-9_][A-Za-z0-9_.-]*){4}$")
# Of a manifest, which is a few hundred bytes long.
_MANIFEST_BYTES = 1024 * 1024


class _Seen:
    """A stream that remembers size and SHA-256 of what was read, and tells the progress."""

    def __init__(self, body: Any, total: int, progress: Progress) -> None:
        self._body, self._total, self._progress = body, total, progress
        self._ahead = b""
        self._sha256 = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"

    def peek(self, count: int) -> bytes:
        self._ahead = self._take(count)
        return self._ahead

    def read(self, count: int = _CHUNK) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead[:count], self._ahead[count:]
            return data
        return self._take(count)

    def _take(self, count: int) -> bytes:
        data: bytes = self._body.read(count)
        self._sha256.update(data)
        self.size += len(data)
        self._progress("downloading", self.size, self._total)
        return data


def bring(definition: ModelDefinition, staging: Path, region: str | None, progress: Progress) -> str | None:
    """Download the object of a definition's ``from`` into a staging store.

    :returns: the digest of the blob with a GGUF, of which the engine has yet to make the model; None when
        the staging store has the whole model.
    :raises PermanentError: when there is no such object, its digest is another, or it is no model.
    :raises RetryableError: when it cannot be downloaded now, or the file system is full.
    """
    origin = definition.origin or ""
    bucket, _, key = origin.removeprefix("s3://").partition("/")
    with calling(f"read {origin}"):
        answer = Clients(region, connections=2).s3.get_object(Bucket=bucket, Key=key)
    total = int(answer["ContentLength"])
    stream = _Seen(answer["Body"], total, progress)
    (staging / "blobs").mkdir(parents=True, exist_ok=True)
    with _explaining(origin, staging):
        gguf = stream.peek(4) == b"GGUF"
        blob = _write(stream, staging / "blobs", None) if gguf else None
        manifest = None if gguf else _unpack(stream, staging / "blobs", origin)
        while stream.read():
            pass
        if stream.size != total:
            raise RetryableError(f"{origin} ended after {stream.size} of {total} bytes.", slug="short-object")
        if definition.digest and stream.digest != definition.digest:
            raise PermanentError(
                f"{origin} has the digest {stream.digest}, and the definition of {definition.reference} says "
                f"{definition.digest}.",
                slug="digest-mismatch",
            )
        if manifest is not None:
            path = ModelStore(staging).manifest_path(definition.reference)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(manifest)
            if not ModelStore(staging).complete(definition.reference):
                path.unlink()
                raise PermanentError(
                    f"{origin} does not hold all the blobs that its manifest names.", slug="broken-archive"
                )
    return blob


def _unpack(stream: _Seen, blobs: Path, origin: str) -> bytes:
    """Write the blobs of an archive; its one manifest is returned. Names decide nothing but a blob's digest."""
    manifests = []
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                blob = _BLOB.match(member.name)
                file = archive.extractfile(member) if member.isreg() else None
                if file is None or not (blob or _MANIFEST.match(member.name)):
                    raise PermanentError(
                        f"{origin} holds '{member.name}', which is no blob or manifest of Ollama's.",
                        slug="broken-archive",
                    )
                if blob:
                    _write(file, blobs, f"sha256:{blob[1]}")
                else:
                    manifests.append(file.read(_MANIFEST_BYTES))
    except tarfile.TarError as error:
        raise PermanentError(
            f"{origin} is neither a GGUF file nor an archive that ollama_model_archive wrote: {error}.",
            slug="broken-archive",
        ) from error
    if len(manifests) != 1:
        raise PermanentError(f"{origin} holds {len(manifests)} models, not one.", slug="broken-archive")
    with suppress(ValueError):
        if isinstance(json.loads(manifests[0]), dict):
            return bytes(manifests[0])
    raise PermanentError(f"The manifest in {origin} is broken.", slug="broken-archive")


def _write(file: _Seen | IO[bytes], blobs: Path, expected: str | None) -> str:
    """Write a blob under the name of its digest, which is returned."""
    sha256 = hashlib.sha256()
    # Not under its final name: that may be a link to a blob of the shared store.
    partial = blobs / "sha256-download-partial"
    with suppress(FileNotFoundError):
        partial.unlink()
    with partial.open("wb") as target:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            target.write(chunk)
    digest = f"sha256:{sha256.hexdigest()}"
    if expected and digest != expected:
        partial.unlink()
        raise PermanentError(
            f"The blob {expected} is not what its name says: {digest}.", slug="broken-archive"
        )
    partial.replace(blobs / digest.replace(":", "-"))
    return digest


@contextmanager
def _explaining(origin: str, staging: Path) -> Iterator[None]:
    try:
        yield
    except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError) as error:
        raise RetryableError(f"Could not read {origin}: {error}", slug="aws-unreachable") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = os.statvfs(staging)
            raise RetryableError(
                f"The file system of {staging} is full ({free.f_bavail * free.f_frsize} bytes are free): "
                f"{origin} does not fit.",
                slug="disk-full",
            ) from error
        raise RetryableError(f"Could not store {origin} in {staging}: {error}", slug="store") from error
