# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights of the user's own: an object in S3, brought into a staging store in one pass.

The object is one of three things:

- an archive of one model out of a store of Ollama's, as `pasture.ollama.ollama_model_archive` writes it;
- a GGUF file, whose Modelfile may be an object beside it, or one that Ollama finds a template in itself;
- an archive of GGUF files with the Modelfile that is made FROM them: the folder of an ``ollama create``.

Nothing names a blob before the whole object was seen and its digest was right.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

import botocore.exceptions
import urllib3.exceptions

from ollama_worker.aws import Clients, calling
from ollama_worker.engine.modelfile import parse
from ollama_worker.engine.store import ModelStore
from ollama_worker.errors import PermanentError, RetryableError
from ollama_worker.model import ModelDefinition

#: Told a status, bytes done and bytes in all.
Progress = Callable[[str, int, int], None]

_CHUNK = 1024 * 1024
_BLOB = re.compile(r"^blobs/sha256-([0-9a-f]{64})$")
_MANIFEST = re.compile(r"^manifests(/[A-Za-z0-9_][A-Za-z0-9_.-]*){4}$")
_WEIGHTS = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*\.gguf$")
_GGUF = b"GGUF"
# Of a manifest or Modelfile, which are a few hundred bytes long, and a few thousand with a licence.
_TEXT_BYTES = 1024 * 1024


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


def bring(
    definition: ModelDefinition, staging: Path, region: str | None, progress: Progress
) -> dict[str, Any] | None:
    """Download the object of a definition's ``from`` into a staging store.

    :returns: what the engine is to make of it, as fields of ``/api/create``; None when the staging store has
        the whole model.
    :raises PermanentError: when there is no such object, its digest is another, or it is no model.
    :raises RetryableError: when it cannot be downloaded now, or the file system is full.
    """
    origin = definition.origin or ""
    name = PurePosixPath(origin).name
    s3 = Clients(region, connections=2).s3
    # First, since it may be wrong, and the weights take an hour.
    beside = _modelfile_at(s3, definition.modelfile) if definition.modelfile else None
    if beside is not None:
        beside.recipe({name: ""})
    with calling(f"read {origin}"):
        answer = s3.get_object(Bucket=_bucket(origin), Key=_key(origin))
    total = int(answer["ContentLength"])
    stream = _Seen(answer["Body"], total, progress)
    (staging / "blobs").mkdir(parents=True, exist_ok=True)
    with _explaining(origin, staging):
        content = _Content()
        if stream.peek(4) == _GGUF:
            content.weights[name] = _write(stream, staging / "blobs", None)
        else:
            _unpack(stream, staging / "blobs", origin, content)
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
        if beside is not None and list(content.weights) != [name]:
            raise PermanentError(
                f"{origin} tells itself what the model is; {definition.modelfile} is for a GGUF file alone.",
                slug="broken-archive",
            )
        if content.weights and content.manifests:
            raise PermanentError(f"{origin} holds GGUF files and a store of Ollama's.", slug="broken-archive")
        if content.weights:
            modelfile = beside or (
                _Modelfile(content.modelfile, origin) if content.modelfile is not None else None
            )
            return modelfile.recipe(content.weights) if modelfile else {"files": content.weights}
        _keep_manifest(content.manifests, staging, definition, origin)
    return None


def _bucket(url: str) -> str:
    return url.removeprefix("s3://").partition("/")[0]


def _key(url: str) -> str:
    return url.removeprefix("s3://").partition("/")[2]


def _modelfile_at(s3: Any, url: str) -> _Modelfile:
    with calling(f"read {url}"):
        body: bytes = s3.get_object(Bucket=_bucket(url), Key=_key(url))["Body"].read(_TEXT_BYTES)
    return _Modelfile(body, url)


class _Modelfile:
    """A Modelfile, and where it is."""

    def __init__(self, text: bytes, place: str) -> None:
        """:raises PermanentError: when it is none."""
        self._place = f"The Modelfile of {place}"
        try:
            self._said = parse(text.decode("utf-8-sig"), self._place)
        except UnicodeDecodeError as error:
            raise PermanentError(f"{self._place} is not UTF-8.", slug="broken-modelfile") from error

    def recipe(self, weights: Mapping[str, str]) -> dict[str, Any]:
        """The fields of ``/api/create``.

        :param weights: name and digest of each GGUF file that there is.
        :raises PermanentError: when it is made from another one.
        """
        files = {}
        for name in self._said.weights:
            path = str(PurePosixPath(name))
            if path not in weights:
                raise PermanentError(
                    f"{self._place} is made FROM {name}, and there is only {', '.join(sorted(weights))}.",
                    slug="broken-modelfile",
                )
            files[path] = weights[path]
        return {**self._said.fields, "files": files}


@dataclass
class _Content:
    """What an object holds.

    :ivar weights: name and digest of each GGUF file; its blob is written.
    :ivar manifests: of an exported store.
    """

    weights: dict[str, str] = field(default_factory=dict)
    modelfile: bytes | None = None
    manifests: list[bytes] = field(default_factory=list)


def _unpack(stream: _Seen, blobs: Path, origin: str, content: _Content) -> None:
    """Write the blobs and weights of an archive. Names decide nothing but a blob's digest."""
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                if member.isdir():
                    continue
                name = str(PurePosixPath(member.name))
                file = archive.extractfile(member) if member.isreg() else None
                if file is not None and (blob := _BLOB.match(name)):
                    _write(file, blobs, f"sha256:{blob[1]}")
                elif file is not None and _MANIFEST.match(name):
                    content.manifests.append(file.read(_TEXT_BYTES))
                elif file is not None and name == "Modelfile":
                    content.modelfile = file.read(_TEXT_BYTES)
                elif file is not None and _WEIGHTS.match(name):
                    content.weights[name] = _write(file, blobs, None)
                else:
                    raise PermanentError(
                        f"{origin} holds '{member.name}', which is no blob or manifest of Ollama's, no GGUF "
                        "file and no Modelfile.",
                        slug="broken-archive",
                    )
    except tarfile.TarError as error:
        raise PermanentError(
            f"{origin} is neither a GGUF file nor an archive of one, or of a store of Ollama's: {error}.",
            slug="broken-archive",
        ) from error


def _keep_manifest(manifests: list[bytes], staging: Path, definition: ModelDefinition, origin: str) -> None:
    """Let the staging store have the model of an exported store, under the name that it has here."""
    if len(manifests) != 1:
        raise PermanentError(f"{origin} holds {len(manifests)} models, not one.", slug="broken-archive")
    try:
        described = json.loads(manifests[0])
    except ValueError:
        described = None
    if not isinstance(described, dict):
        raise PermanentError(f"The manifest in {origin} is broken.", slug="broken-archive")
    path = ModelStore(staging).manifest_path(definition.reference)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(manifests[0])
    if not ModelStore(staging).complete(definition.reference):
        path.unlink()
        raise PermanentError(
            f"{origin} does not hold all the blobs that its manifest names.", slug="broken-archive"
        )


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
