# SPDX-License-Identifier: GPL-3.0-or-later
"""What extraction makes of a document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Content:
    """A document as the model reads it.

    :ivar text: the text; form feeds stand between pages, headings are written as in Markdown.
    :ivar images: pictures (PNG or JPEG) in the order of the document: an image document has one, a PDF
        one for each page without text.
    :ivar attributes: what is known of it: ``charset``, ``pages``, ``pages_without_text``, ``title`` ...
    """

    text: str = ""
    images: tuple[bytes, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
