# SPDX-License-Identifier: GPL-3.0-or-later
"""PDF: the text layer, page by page; pictures of pages that have none, for models that see."""

from __future__ import annotations

import io
from typing import Any

import pypdfium2  # type: ignore[import-untyped]

from ollama_worker.content import Content
from ollama_worker.errors import PermanentError
from ollama_worker.readers.request import Request

# Dots per inch that small print is still read at; a PDF's own unit is 1/72 inch.
_DPI = 150
_MAX_PICTURES = 200


def read(request: Request) -> Content:
    """The text of a PDF, a form feed between pages.

    :raises PermanentError: when it is encrypted, broken or too long, or has neither text nor a use for pictures.
    """
    try:
        document = pypdfium2.PdfDocument(request.path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise PermanentError("The PDF is encrypted with a password.", slug="encrypted-document") from None
        raise PermanentError(f"The PDF cannot be read: {error}", slug="unreadable-document") from None
    pages = len(document)
    if pages > request.limits.max_pages:
        raise PermanentError(
            f"The PDF has {pages} pages; {request.limits.max_pages} are allowed (PASTURE_MAX_PAGES).",
            slug="document-too-large",
        )
    texts: list[str] = []
    images: list[bytes] = []
    empty: list[int] = []
    characters = 0
    for number in range(pages):
        try:
            page = document[number]
            text = page.get_textpage().get_text_bounded().replace("\r\n", "\n").replace("\f", "\n")
        except pypdfium2.PdfiumError:
            texts.append("")
            empty.append(number + 1)
            continue
        characters += len(text)
        if characters > request.limits.max_text_characters:
            raise PermanentError(
                f"The PDF has more than {request.limits.max_text_characters} characters "
                "(PASTURE_MAX_TEXT_CHARACTERS).",
                slug="document-too-large",
            )
        texts.append(text)
        if not text.strip():
            empty.append(number + 1)
            if request.vision and len(images) < _MAX_PICTURES:
                images.append(_picture(page, request.limits.max_image_side))
        page.close()
    if not characters and not images:
        raise PermanentError(
            f"The PDF has no text layer on its {pages} pages (it is scanned?): a vision model can read it.",
            slug="no-text",
        )
    if request.vision and len(empty) > _MAX_PICTURES:
        raise PermanentError(
            f"The PDF has {len(empty)} pages without text; {_MAX_PICTURES} can be read as pictures.",
            slug="document-too-large",
        )
    attributes: dict[str, Any] = {"pages": pages, "pages_without_text": empty[:1000]}
    title = document.get_metadata_dict(skip_empty=True).get("Title")
    if title:
        attributes["title"] = title
    return Content("\f".join(texts) if characters else "", tuple(images), attributes)


def _picture(page: pypdfium2.PdfPage, max_side: int) -> bytes:
    width, height = page.get_size()
    scale = min(_DPI / 72, max_side / max(width, height, 1))
    picture = page.render(scale=scale).to_pil().convert("RGB")
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
