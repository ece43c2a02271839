# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The package of a function is the same bytes for the same files."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._package import package, package_sha256


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_it_does_not_depend_on_dates_order_or_leftovers(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"b.py": "B", "a/c.py": "C"})
    two = write(tmp_path / "two", {"a/c.py": "C", "b.py": "B", "__pycache__/b.py": "X", "README.md": "X"})
    os.utime(two / "b.py", (0, 0))
    (two / "b.py").chmod(0o600)
    assert package(one) == package(two)


def test_it_holds_the_files_readable_for_all(tmp_path: Path) -> None:
    content = package(write(tmp_path, {"b.py": "B", "a/c.py": "C"}))
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.namelist() == ["a/c.py", "b.py"]
    assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o644}
    assert archive.read("b.py") == b"B"


def test_changed_code_has_another_digest(tmp_path: Path) -> None:
    before = package_sha256(package(write(tmp_path, {"a.py": "1"})))
    assert package_sha256(package(write(tmp_path, {"a.py": "2"}))) != before


def test_a_folder_without_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no Python files"):
        package(tmp_path)
