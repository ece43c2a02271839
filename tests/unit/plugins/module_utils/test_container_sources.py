# SPDX-License-Identifier: GPL-3.0-or-later
"""The tag of an image is the same exactly when what it is made from is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._container_sources import (
    content_tag,
    context_files,
    ignored,
)

PLATFORM = "linux/amd64"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src" / "package").mkdir(parents=True)
    (tmp_path / "Containerfile").write_text("FROM scratch\n")
    (tmp_path / "src" / "package" / "code.py").write_text("print()\n")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "patterns", "expected"),
    [
        ("README.md", [], False),
        ("README.md", ["*.md"], True),
        ("docs/README.md", ["*.md"], False),
        ("docs/README.md", ["**/*.md"], True),
        ("docs/README.md", ["docs"], True),
        ("docs/README.md", ["/docs/"], True),
        ("src/a.py", ["*", "!src"], False),
        ("src/a/__pycache__/b.pyc", ["*", "!src", "**/__pycache__"], True),
        ("src/a.py", ["!src", "*"], True),
        ("a1.txt", ["a?.txt"], True),
        ("ab/c", ["a*"], True),
    ],
)
def test_the_last_pattern_that_matches_decides(path: str, patterns: list[str], expected: bool) -> None:
    assert ignored(path, patterns) is expected


def test_what_the_build_does_not_see_does_not_count(folder: Path) -> None:
    (folder / ".dockerignore").write_text("# all but this\n*\n!Containerfile\n!src\n**/__pycache__\n")
    before = content_tag(folder, {}, PLATFORM)
    (folder / "notes.txt").write_text("to myself")
    (folder / "src" / "__pycache__").mkdir()
    (folder / "src" / "__pycache__" / "code.pyc").write_text("compiled")
    assert [path.name for path in context_files(folder)] == ["Containerfile", "code.py"]
    assert content_tag(folder, {}, PLATFORM) == before


def test_every_ingredient_counts(folder: Path) -> None:
    tags = {content_tag(folder, {}, PLATFORM), content_tag(folder, {}, "linux/arm64")}
    tags.add(content_tag(folder, {"VARIANT": "cpu"}, PLATFORM))
    code = folder / "src" / "package" / "code.py"
    code.chmod(0o755)
    tags.add(content_tag(folder, {}, PLATFORM))
    code.write_text("print(1)\n")
    tags.add(content_tag(folder, {}, PLATFORM))
    code.rename(code.with_name("other.py"))
    tags.add(content_tag(folder, {}, PLATFORM))
    assert len(tags) == 6


def test_a_name_cannot_pass_for_content(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for place in (one, other):
        place.mkdir()
    (one / "a").write_text("bc")
    (other / "ab").write_text("c")
    assert content_tag(one, {}, PLATFORM) != content_tag(other, {}, PLATFORM)


def test_a_tag_is_one_that_registries_take(folder: Path) -> None:
    tag = content_tag(folder, {}, PLATFORM)
    assert len(tag) == 16
    assert set(tag) <= set("0123456789abcdef")
