# SPDX-License-Identifier: GPL-3.0-or-later
"""From the bytes of a document to text and images that a model reads."""

from __future__ import annotations

from pathlib import Path

from ollama_worker.errors import PermanentError
from ollama_worker.extract.content import Content
from ollama_worker.extract.text import decode
from ollama_worker.settings import Limits
from ollama_worker.source import LoadedDocument

__all__ = ["Content", "extract"]

_PLAIN = frozenset({"text/plain", "text/markdown"})


def extract(loaded: LoadedDocument, kind: str, limits: Limits, *, work_dir: Path, vision: bool) -> Content:
    """What a model reads of a document.

    :param kind: the document's mime-type.
    :raises PermanentError: when there is nothing to be had from it.
    """
    if kind in _PLAIN and loaded.data is not None:
        text, charset = decode(loaded.data)
        return Content(text, attributes={"charset": charset})
    raise PermanentError(f"Documents of type {kind} cannot be read.", slug="unsupported-type")
