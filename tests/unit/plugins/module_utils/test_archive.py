# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives of models, from a store laid out as Ollama lays it out."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._archive import (
    ArchiveError,
    digest_of,
    manifest_path,
    members,
    write_archive,
)

BLOBS = [b"weights" * 1000, b"template", b"{}"]


def blob_name(data: bytes) -> str:
    return f"sha256-{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    (folder / "blobs").mkdir(parents=True)
    for data in [*BLOBS, b"of another model"]:
        (folder / "blobs" / blob_name(data)).write_bytes(data)
    layers = [{"digest": blob_name(data).replace("-", ":", 1), "size": len(data)} for data in BLOBS]
    manifest = folder / manifest_path("llama3.1", "8b")
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"config": layers[-1], "layers": layers[:-1]}))
    return folder


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("llama3.1", "manifests/registry.ollama.ai/library/llama3.1/8b"),
        ("me/mine", "manifests/registry.ollama.ai/me/mine/8b"),
        ("hf.co/me/mine", "manifests/hf.co/me/mine/8b"),
    ],
)
def test_a_manifest_lies_where_ollama_puts_it(name: str, path: str) -> None:
    assert str(manifest_path(name, "8b")) == path


def test_an_archive_has_the_model_and_nothing_else_and_is_always_the_same(
    store: Path, tmp_path: Path
) -> None:
    paths = members(store, "llama3.1", "8b")
    digest, size = write_archive(store, paths, tmp_path / "a.tar")
    (store / "blobs" / blob_name(BLOBS[0])).touch()
    assert write_archive(store, paths, tmp_path / "b.tar") == (digest, size)
    assert digest_of(tmp_path / "a.tar") == digest
    assert (tmp_path / "a.tar").stat().st_size == size
    with tarfile.open(tmp_path / "a.tar") as archive:
        names = archive.getnames()
        assert sorted(names[:-1]) == sorted(f"blobs/{blob_name(data)}" for data in BLOBS)
        assert names[-1] == str(manifest_path("llama3.1", "8b"))
        found = archive.extractfile(f"blobs/{blob_name(BLOBS[0])}")
        assert found
        assert found.read() == BLOBS[0]


def test_a_model_that_was_not_pulled(store: Path) -> None:
    with pytest.raises(
        ArchiveError, match=r"has no mistral:latest; pull it with 'ollama pull mistral:latest'\."
    ):
        members(store, "mistral", "latest")


def test_a_model_that_was_pulled_half(store: Path) -> None:
    (store / "blobs" / blob_name(BLOBS[1])).unlink()
    with pytest.raises(ArchiveError, match=r"lacks blobs/sha256-\w+ of llama3\.1:8b; pull it again"):
        members(store, "llama3.1", "8b")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": 1}'])
def test_a_manifest_that_is_broken(store: Path, text: str) -> None:
    (store / manifest_path("llama3.1", "8b")).write_text(text)
    with pytest.raises(ArchiveError, match=r"is broken; pull llama3\.1:8b again"):
        members(store, "llama3.1", "8b")


def test_a_blob_that_rotted_is_not_passed_on(store: Path, tmp_path: Path) -> None:
    (store / "blobs" / blob_name(BLOBS[1])).write_bytes(b"Template")
    with pytest.raises(ArchiveError, match="is not what its name says"):
        write_archive(store, members(store, "llama3.1", "8b"), tmp_path / "a.tar")


def test_what_is_not_there_has_no_digest(tmp_path: Path) -> None:
    assert digest_of(tmp_path / "none.tar") is None
