# SPDX-License-Identifier: GPL-3.0-or-later
"""Presentations: slide by slide, with tables and the speaker's notes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pptx

from ollama_worker.content import Content
from ollama_worker.errors import PermanentError
from ollama_worker.readers.archive import open_zip
from ollama_worker.readers.request import Request

_MAX_NESTING = 20


def read(request: Request) -> Content:
    """The text of a pptx file, a form feed between slides."""
    open_zip(request.path, request.limits).close()
    with request.path.open("rb") as stream:
        presentation = pptx.Presentation(stream)
    count = len(presentation.slides)
    if count > request.limits.max_pages:
        raise PermanentError(
            f"The presentation has {count} slides; {request.limits.max_pages} are allowed (PASTURE_MAX_PAGES).",
            slug="document-too-large",
        )
    slides = []
    for number, slide in enumerate(presentation.slides, 1):
        lines = [f"## Slide {number}", *_texts(slide.shapes, 0)]
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            notes = slide.notes_slide.notes_text_frame.text.strip()
            lines += [f"Notes: {notes}"] if notes else []
        slides.append(lines)
    if all(len(lines) == 1 for lines in slides):
        return Content("", attributes={"pages": count})
    title = presentation.core_properties.title
    text = "\f".join("\n\n".join(lines) for lines in slides)
    return Content(text, attributes={"pages": count, **({"title": title} if title else {})})


def _texts(shapes: Any, depth: int) -> Iterator[str]:
    for shape in shapes:
        if hasattr(shape, "shapes"):
            if depth < _MAX_NESTING:
                yield from _texts(shape.shapes, depth + 1)
        elif getattr(shape, "has_table", False):
            rows = (" | ".join(" ".join(cell.text.split()) for cell in row.cells) for row in shape.table.rows)
            yield "\n".join(rows)
        elif shape.has_text_frame and shape.text_frame.text.strip():
            # A soft line break is a vertical tab there.
            yield shape.text_frame.text.replace("\v", "\n").strip()
