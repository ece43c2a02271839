# SPDX-License-Identifier: GPL-3.0-or-later
"""Word documents: paragraphs, headings, lists and tables in their order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import docx
from docx.table import Table
from docx.text.paragraph import Paragraph

from ollama_worker.content import Content
from ollama_worker.readers.archive import open_zip
from ollama_worker.readers.request import Request

_HEADING = re.compile(r"^heading (\d)$", re.IGNORECASE)
_MAX_NESTING = 20


def read(request: Request) -> Content:
    """The text of a docx file."""
    open_zip(request.path, request.limits).close()
    with request.path.open("rb") as stream:
        document = docx.Document(stream)
    text = "\n\n".join(_blocks(document, 0))
    title = document.core_properties.title
    return Content(text, attributes={"title": title} if title else {})


def _blocks(container: Any, depth: int) -> Iterator[str]:
    if depth > _MAX_NESTING:
        return
    for block in container.iter_inner_content():
        if isinstance(block, Paragraph):
            text = block.text.strip()
            if text:
                yield _prefix(block) + text
        elif isinstance(block, Table):
            yield "\n".join(_rows(block, depth))


def _rows(table: Table, depth: int) -> Iterator[str]:
    for row in table.rows:
        # A merged cell is listed once for each column that it spans.
        cells = dict.fromkeys(row.cells)
        texts = (" ".join(" ".join(_blocks(cell, depth + 1)).split()) for cell in cells)
        yield " | ".join(texts)


def _prefix(paragraph: Paragraph) -> str:
    name = (paragraph.style.name or "") if paragraph.style is not None else ""
    match = _HEADING.match(name)
    if match:
        return "#" * min(6, int(match.group(1))) + " "
    if name == "Title":
        return "# "
    return "- " if name.startswith("List") else ""
