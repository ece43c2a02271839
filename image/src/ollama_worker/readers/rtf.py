# SPDX-License-Identifier: GPL-3.0-or-later
"""Rich text format."""

from __future__ import annotations

from striprtf.striprtf import rtf_to_text

from ollama_worker.content import Content
from ollama_worker.errors import PermanentError
from ollama_worker.readers.request import Request


def read(request: Request) -> Content:
    """The text of an rtf file.

    :raises PermanentError: when it is none.
    """
    # RTF is ASCII; other characters are escapes, which the library resolves by the declared code page.
    source = request.path.read_bytes().decode("latin-1")
    if not source.lstrip().startswith("{\\rtf"):
        raise PermanentError("The document does not begin as RTF does.", slug="unreadable-document")
    return Content(str(rtf_to_text(source, errors="replace")).strip())  # type: ignore[no-untyped-call]
