# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One model out of a store of Ollama's, as a tar archive.

For internal use of this collection only.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

_HOST = "registry.ollama.ai"
_NAMESPACE = "library"
_CHUNK = 1024 * 1024


class ArchiveError(Exception):
    """The model cannot be archived; the message is a sentence for the user."""


class _Hashing:
    """A file that remembers the SHA-256 of what passes through it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.size = 0

    def read(self, count: int = -1) -> bytes:
        return self._seen(self._file.read(count))

    def write(self, data: bytes) -> int:
        self._seen(data)
        return self._file.write(data)

    def _seen(self, data: bytes) -> bytes:
        self.sha256.update(data)
        self.size += len(data)
        return data


def manifest_path(name: str, tag: str) -> PurePosixPath:
    """Where a store has the manifest of a model, C(library) and Ollama's own registry left out of its name."""
    parts = name.split("/")
    missing = [_HOST, _NAMESPACE][: max(0, 3 - len(parts))]
    return PurePosixPath("manifests", *missing, *parts, tag)


def members(store: Path, name: str, tag: str) -> list[PurePosixPath]:
    """The manifest of a model and the blobs it names, relative to the store.

    :raises ArchiveError: when the store does not have all of them.
    """
    path = manifest_path(name, tag)
    try:
        manifest: dict[str, Any] = json.loads((store / path).read_bytes())
        blobs = [manifest["config"], *(manifest.get("layers") or [])]
        named = sorted({str(blob["digest"]).replace(":", "-") for blob in blobs if blob.get("digest")})
    except FileNotFoundError as error:
        raise ArchiveError(
            f"The store {store} has no {name}:{tag}; pull it with 'ollama pull {name}:{tag}'."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArchiveError(f"The manifest {store / path} is broken; pull {name}:{tag} again.") from error
    found = [PurePosixPath("blobs", blob) for blob in named]
    for blob in found:
        if not (store / blob).is_file():
            raise ArchiveError(f"The store {store} lacks {blob} of {name}:{tag}; pull it again.")
    # The manifest last, so that a reader that stops half-way has no model rather than half of one.
    return [*found, path]


def write_archive(store: Path, paths: list[PurePosixPath], target: Path) -> tuple[str, int]:
    """Write the archive; its C(sha256:...) and its bytes.

    Equal models make equal archives: no times, no owners. Nothing is compressed, since weights are not
    compressible. Each blob is checked against the digest in its name on the way.

    :raises ArchiveError: when a blob is not what its name says.
    """
    with target.open("wb") as file:
        out = _Hashing(file)
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
            for path in paths:
                _add(archive, store, path)
    return f"sha256:{out.sha256.hexdigest()}", out.size


def _add(archive: tarfile.TarFile, store: Path, path: PurePosixPath) -> None:
    info = tarfile.TarInfo(str(path))
    info.size = (store / path).stat().st_size
    info.mode = 0o644
    with (store / path).open("rb") as file:
        reader = _Hashing(file)
        archive.addfile(info, reader)
    expected = path.name.removeprefix("sha256-")
    if path.parts[0] == "blobs" and reader.sha256.hexdigest() != expected:
        raise ArchiveError(f"{store / path} is not what its name says; remove it and pull the model again.")


def digest_of(path: Path) -> str | None:
    """The C(sha256:...) of a file; None when there is none."""
    try:
        with path.open("rb") as file:
            sha256 = hashlib.sha256()
            for chunk in _chunks(file):
                sha256.update(chunk)
    except FileNotFoundError:
        return None
    return f"sha256:{sha256.hexdigest()}"


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
