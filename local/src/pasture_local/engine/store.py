# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of models, in Ollama's layout.

::

    blobs/sha256-<digest>
    manifests/<host>/<namespace>/<model>/<tag>
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pasture_local.engine import library
from pasture_local.engine.names import ModelName

_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_CHUNK = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class NotFoundError(Exception):
    """The store has no model of that name."""


class DigestError(ValueError):
    """A blob is not what its digest says."""


@dataclass(frozen=True)
class Blob:
    """A part of a stored model."""

    media_type: str
    digest: str  # sha256:...
    size: int


@dataclass(frozen=True)
class Stored:
    """A model in the store."""

    name: ModelName
    digest: str  # of the manifest, hexadecimal
    modified: float  # seconds since 1970
    config: dict[str, Any]
    config_blob: Blob
    layers: tuple[Blob, ...]

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return self.config_blob.size + sum(layer.size for layer in self.layers)


@dataclass(frozen=True)
class Progress:
    """What is to be told about a blob while it is pulled."""

    blob: Blob
    completed: int


class Store:
    """The models below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs, self._manifests = folder / "blobs", folder / "manifests"

    def blob_path(self, digest: str) -> Path:
        """Where a blob is, or would be."""
        return self._blobs / digest.replace(":", "-")

    def has_blob(self, digest: str) -> bool:
        """Whether a blob of that digest (``sha256:...``) is there."""
        return bool(_DIGEST.fullmatch(digest)) and self.blob_path(digest).is_file()

    def put_blob(self, digest: str, body: Iterable[bytes]) -> None:
        """Store a blob.

        :raises DigestError: when it is another one, or the digest is none.
        """
        if not _DIGEST.fullmatch(digest):
            raise DigestError("invalid digest format")
        self._blobs.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self._blobs, prefix="upload-")
        try:
            with os.fdopen(handle, "wb") as file:
                for chunk in body:
                    file.write(chunk)
            found = _digest(Path(temporary))
            if found != digest:
                raise DigestError(f'digest mismatch, expected "{digest}", got "{found}"')
            Path(temporary).chmod(0o644)
            Path(temporary).replace(self.blob_path(digest))
        finally:
            Path(temporary).unlink(missing_ok=True)

    def list(self) -> list[Stored]:
        """All models, the newest first."""
        stored = []
        for path in self._manifests.glob("*/*/*/*"):
            name = ModelName(*path.relative_to(self._manifests).parts)
            # A manifest that is being written, or a stray file.
            with contextlib.suppress(NotFoundError, ValueError, KeyError):
                stored.append(self.get(name))
        return sorted(stored, key=lambda model: model.modified, reverse=True)

    def get(self, name: ModelName) -> Stored:
        """A model.

        :raises NotFoundError: when it is not there.
        """
        path = self._manifests / name.path
        try:
            raw = path.read_bytes()
            manifest = json.loads(raw)
            config = json.loads(self.blob_path(manifest["config"]["digest"]).read_bytes())
            modified = path.stat().st_mtime
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(name.shortest) from error
        return Stored(
            name=name,
            digest=hashlib.sha256(raw).hexdigest(),
            modified=modified,
            config=config,
            config_blob=_blob(manifest["config"]),
            layers=tuple(_blob(layer) for layer in manifest["layers"]),
        )

    def text(self, model: Stored, media_type: str) -> str:
        """A layer's text, empty when the model has no such layer."""
        for layer in model.layers:
            if layer.media_type == media_type:
                return self.blob_path(layer.digest).read_text(encoding="utf-8")
        return ""

    def weights(self, model: Stored) -> Path:
        """The file of weights.

        :raises NotFoundError: when the model has none.
        """
        for layer in model.layers:
            path = self.blob_path(layer.digest)
            if layer.media_type == library.MODEL_TYPE and path.is_file():
                return path
        raise NotFoundError(model.name.shortest)

    def pull(self, name: ModelName, release: library.Release) -> Iterator[Progress]:
        """Store a release, blob by blob and the manifest last, telling how far it is."""
        self._blobs.mkdir(parents=True, exist_ok=True)
        config = json.dumps(
            {
                **release.config,
                "rootfs": {
                    "type": "layers",
                    "diff_ids": [_digest(layer.content) for layer in release.layers],
                },
            }
        ).encode()
        blobs = []
        for layer in (*release.layers, library.Layer(library.CONFIG_TYPE, config)):
            blob = Blob(layer.media_type, _digest(layer.content), _size(layer.content))
            yield Progress(blob, 0)
            self._put(blob, layer.content)
            yield Progress(blob, blob.size)
            blobs.append(blob)
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "config": _described(blobs[-1]),
            "layers": [_described(blob) for blob in blobs[:-1]],
        }
        self._write_manifest(name, json.dumps(manifest, separators=(",", ":")).encode())

    def copy(self, source: ModelName, destination: ModelName) -> None:
        """Give a model a second name.

        :raises NotFoundError: when it is not there.
        """
        try:
            raw = (self._manifests / source.path).read_bytes()
        except OSError as error:
            raise NotFoundError(source.shortest) from error
        self._write_manifest(destination, raw)

    def delete(self, name: ModelName) -> None:
        """Remove a model and the blobs that no other model uses.

        :raises NotFoundError: when it is not there.
        """
        model = self.get(name)
        path = self._manifests / name.path
        path.unlink()
        for folder in list(path.parents)[:3]:
            try:
                folder.rmdir()
            except OSError:
                break
        used = self._used()
        for blob in (model.config_blob, *model.layers):
            if blob.digest not in used:
                self.blob_path(blob.digest).unlink(missing_ok=True)

    def prune(self) -> None:
        """Remove the blobs that no model uses, partial ones too."""
        used = {self.blob_path(digest).name for digest in self._used()}
        for path in self._blobs.glob("sha256-*"):
            if path.name not in used:
                path.unlink(missing_ok=True)

    def _used(self) -> set[str]:
        return {blob.digest for model in self.list() for blob in (model.config_blob, *model.layers)}

    def _put(self, blob: Blob, content: Path | bytes) -> None:
        target = self.blob_path(blob.digest)
        if target.is_file() and target.stat().st_size == blob.size:
            return
        partial = target.with_name(f"{target.name}-partial")
        partial.unlink(missing_ok=True)
        if isinstance(content, bytes):
            partial.write_bytes(content)
        else:
            # A second name for the installed file costs nothing; on another file system it has to be a copy.
            try:
                os.link(content, partial)
            except OSError:
                shutil.copyfile(content, partial)
        partial.replace(target)

    def _write_manifest(self, name: ModelName, raw: bytes) -> None:
        path = self._manifests / name.path
        path.parent.mkdir(parents=True, exist_ok=True)
        # Outside of the folders of tags, where it would be listed as a model.
        handle, temporary = tempfile.mkstemp(dir=self.folder)
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)


def _blob(described: dict[str, Any]) -> Blob:
    return Blob(described["mediaType"], described["digest"], described["size"])


def _described(blob: Blob) -> dict[str, Any]:
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _digest(content: Path | bytes) -> str:
    digest = hashlib.sha256()
    if isinstance(content, bytes):
        digest.update(content)
    else:
        with content.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"
