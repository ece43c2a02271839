# SPDX-License-Identifier: GPL-3.0-or-later
"""The store of models that all tasks share: a folder on EFS in Ollama's own layout.

    blobs/sha256-<digest>            weights, templates, parameters
    manifests/<host>/<namespace>/<model>/<tag>
    .staging/<model>/                a store of its own, where a model is pulled to
    .origins/<model>                 of which object a model of the user's own was made
    .pull.lock                       held by the one that pulls

Ollama's lock around a download is inside one process and its manifest is not written atomically, so
two hosts that pull into one store can corrupt it. Here one at a time pulls, into a store of its own
on the same file system, and publishes by renaming: blobs first, the manifest that names them last.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ollama_worker.errors import RetryableError

_DEFAULT_HOST = "registry.ollama.ai"
_DEFAULT_NAMESPACE = "library"
_STAGING = ".staging"
_LOCK = ".pull.lock"
_ORIGINS = ".origins"


class ModelStore:
    """A store of models on a file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def manifest_path(self, model: str) -> Path:
        """Where the manifest of ``[[host/]namespace/]name[:tag]`` is."""
        name, _, tag = model.rpartition(":") if ":" in model.rsplit("/", 1)[-1] else (model, "", "latest")
        parts = name.split("/")
        full = [_DEFAULT_HOST, _DEFAULT_NAMESPACE][: max(0, 3 - len(parts))] + parts
        return self.folder.joinpath("manifests", *full, tag)

    def complete(self, model: str) -> bool:
        """Whether the model's manifest is there and every blob that it names, in its full size."""
        try:
            manifest = json.loads(self.manifest_path(model).read_bytes())
            blobs = [manifest["config"], *(manifest.get("layers") or [])]
            return all(
                (self.folder / "blobs" / blob["digest"].replace(":", "-")).stat().st_size == blob["size"]
                for blob in blobs
                if blob.get("digest")
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def origin(self, model: str) -> str:
        """Which weights of the user's own a model was made of; empty for those of Ollama's library."""
        try:
            return self._origin_path(model).read_text()
        except FileNotFoundError:
            return ""

    def remember_origin(self, model: str, origin: str) -> None:
        """Have `origin` tell it."""
        path = self._origin_path(model)
        if origin:
            path.parent.mkdir(exist_ok=True)
            path.write_text(origin)
        else:
            path.unlink(missing_ok=True)

    def _origin_path(self, model: str) -> Path:
        return self.folder / _ORIGINS / model.replace("/", "_").replace(":", "-")

    @contextmanager
    def locked(
        self,
        *,
        seconds: float,
        waiting: Callable[[float], bool],
        interval: float = 2.0,
    ) -> Iterator[bool]:
        """Hold the lock of the store, waiting for it as long as that is of use.

        The lock is the kernel's (``flock``, which NFS 4 carries to the server), so it ends with its
        holder, however that ends.

        :param seconds: how long to wait at most.
        :param waiting: called every `interval` with the seconds waited; False ends the wait.
        :returns: whether the lock is held; False when `waiting` ended the wait.
        :raises RetryableError: when the lock is not had in time.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        begun = time.monotonic()
        with (self.folder / _LOCK).open("a+") as lock:
            while not _try_lock(lock):
                waited = time.monotonic() - begun
                if not waiting(waited):
                    yield False
                    return
                if waited > seconds:
                    raise RetryableError(
                        f"Another task has been filling {self.folder} for more than {seconds:.0f} s.",
                        slug="store-locked",
                    )
                time.sleep(interval)
            yield True

    def staging(self, model: str) -> Path:
        """The folder that a model is pulled to; what an interrupted pull left there is taken up again.

        Blobs that the store has already are linked into it, so that they are not pulled twice.
        """
        folder = self.folder / _STAGING / model.replace("/", "_").replace(":", "-")
        blobs = folder / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        for blob in (self.folder / "blobs").glob("sha256-*"):
            if "-partial" not in blob.name:
                # An existing link is the aim; EFS allows 177 links to a file, and without one it is pulled.
                with suppress(OSError):
                    os.link(blob, blobs / blob.name)
        return folder

    def publish(self, staging: Path) -> list[str]:
        """Move a pulled model into the store: blobs first, manifests last, each by one rename.

        :returns: the manifests' paths below ``manifests``.
        """
        blobs = self.folder / "blobs"
        blobs.mkdir(exist_ok=True)
        for blob in sorted((staging / "blobs").iterdir()):
            target = blobs / blob.name
            if "-partial" in blob.name:
                continue
            if not (target.exists() and target.stat().st_size == blob.stat().st_size):
                _sync(blob)
                blob.replace(target)
        _sync(blobs)
        published = []
        manifests = staging / "manifests"
        for manifest in sorted(path for path in manifests.rglob("*") if path.is_file()):
            name = manifest.relative_to(manifests)
            target = self.folder / "manifests" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync(manifest)
            manifest.replace(target)
            _sync(target.parent)
            published.append(str(name))
        shutil.rmtree(staging, ignore_errors=True)
        return published


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
