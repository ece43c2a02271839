# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection is built again when, and only when, something that goes into it has changed."""

from __future__ import annotations

from pathlib import Path

import collection
import pytest

PATTERNS = [".venv", "*.egg-info", "tests/output"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a small repository."""
    for name in (
        "README.md",
        "plugins/modules/one.py",
        ".venv/bin/python",
        "tests/output/log",
        "a.egg-info/PKG",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_takes_what_the_build_takes(root: Path) -> None:
    found = [path.relative_to(root).as_posix() for path in collection.sources(root, PATTERNS)]
    assert found == ["README.md", "plugins/modules/one.py"]


@pytest.mark.parametrize("name", ["README.md", "plugins/modules/one.py"])
def test_sees_a_change_of_content(root: Path, name: str) -> None:
    before = collection.digest(root, PATTERNS)
    (root / name).write_text("changed")
    assert collection.digest(root, PATTERNS) != before


def test_sees_a_renamed_file(root: Path) -> None:
    before = collection.digest(root, PATTERNS)
    (root / "README.md").rename(root / "OTHER.md")
    assert collection.digest(root, PATTERNS) != before


def test_does_not_see_what_is_left_out(root: Path) -> None:
    before = collection.digest(root, PATTERNS)
    (root / "tests/output/log").write_text("changed")
    (root / ".venv/more").write_text("changed")
    assert collection.digest(root, PATTERNS) == before


def test_links_the_sources_and_the_aws_collections_and_mends_a_wrong_link(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "ROOT", root)
    monkeypatch.setattr(collection, "BUILD", root / ".build")
    tree = collection.dev()
    place = tree / "ansible_collections/pasture/ollama"
    assert place.resolve() == root
    place.unlink()
    place.symlink_to(root / "plugins")
    collection.dev()
    assert place.resolve() == root
    assert (tree / "ansible_collections/amazon/aws/galaxy.yml").exists() or (
        tree / "ansible_collections/amazon/aws/MANIFEST.json"
    ).exists()
