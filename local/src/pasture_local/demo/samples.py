# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of the demonstration: its own, or the user's."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pasture_local.demo.errors import DemoError

# S3 takes 5 GiB in one piece; a document for a small model on two cores is far smaller.
_MOST_BYTES = 20 * 1024 * 1024
# A picture of one pixel under the name of a text: what it is shows only when it is opened.
_PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


@dataclass(frozen=True)
class Document:
    """A document to be dropped into the source bucket."""

    key: str
    content: bytes
    about: str
    rejected: bool = False  # whether that is how it should end


def own() -> list[Document]:
    """The samples: short, Markdown, several times larger than the context, and one that has to be refused."""
    folder = resources.files("pasture_local.demo") / "samples"

    def read(name: str, about: str) -> Document:
        return Document(name, (folder / name).read_bytes(), about)

    return [
        read("lighthouse.txt", "a short text"),
        read("market-minutes.md", "Markdown with a table"),
        read("seed-library.md", "several times larger than the model's context"),
        Document(
            "holiday.txt", base64.b64decode(_PICTURE), "a picture that says it is a text", rejected=True
        ),
    ]


def given(path: Path) -> Document:
    """A document of the user's. Raises DemoError when it cannot be one."""
    if path.is_dir():
        raise DemoError(f"{path} is a folder: name a document in it.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DemoError(f"The document {path} cannot be read: {error.strerror}.") from error
    if len(content) > _MOST_BYTES:
        raise DemoError(
            f"The document {path} is larger than {_MOST_BYTES // 2**20} MiB: take a smaller one here."
        )
    return Document(path.name, content, "your document")
