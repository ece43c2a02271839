# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The package of a Lambda function. For internal use of this collection only."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from pathlib import Path

# The earliest date that a zip file can carry.
_DATE = (1980, 1, 1, 0, 0, 0)


def package(folder: str | Path) -> bytes:
    """A zip file of the Python files under C(folder), the same bytes for the same files.

    Nothing is compressed: what zlib makes of the same input differs between its versions.

    :raises FileNotFoundError: when there are none.
    """
    root = Path(folder)
    files = sorted(path for path in root.rglob("*.py") if "__pycache__" not in path.parts)
    if not files:
        raise FileNotFoundError(f"There are no Python files in {root}.")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), _DATE)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix, wherever it is made
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def package_sha256(content: bytes) -> str:
    """The digest by which Lambda knows a package."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()
