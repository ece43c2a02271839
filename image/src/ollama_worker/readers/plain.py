# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that is too large to be decoded inside the worker."""

from __future__ import annotations

from ollama_worker.charset import decode
from ollama_worker.content import Content
from ollama_worker.errors import PermanentError
from ollama_worker.readers.request import Request

# No character set needs more bytes for a character.
_MAX_BYTES_PER_CHARACTER = 4


def read(request: Request) -> Content:
    """The text of a file."""
    size = request.path.stat().st_size
    if size > request.limits.max_text_characters * _MAX_BYTES_PER_CHARACTER:
        raise PermanentError(
            f"The text has {size} bytes, certainly more than {request.limits.max_text_characters} characters "
            "(PASTURE_MAX_TEXT_CHARACTERS).",
            slug="document-too-large",
        )
    text, charset = decode(request.path.read_bytes())
    return Content(text, attributes={"charset": charset})
