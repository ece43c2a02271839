# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenDocument text."""

from __future__ import annotations

from lxml import etree

from ollama_worker.content import Content
from ollama_worker.errors import PermanentError
from ollama_worker.readers.archive import open_zip, parse_xml
from ollama_worker.readers.request import Request

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_SILENT = frozenset({_TEXT + "tracked-changes", _OFFICE + "annotation", _TEXT + "note-citation"})
_MAX_SPACES = 1000


def read(request: Request) -> Content:
    """The text of an odt file: paragraphs, headings, tables.

    :raises PermanentError: when it is broken or encrypted.
    """
    with open_zip(request.path, request.limits) as archive:
        names = set(archive.namelist())
        if "content.xml" not in names:
            raise PermanentError(
                "The document has no content.xml: it is no OpenDocument.", slug="unreadable-document"
            )
        if "META-INF/manifest.xml" in names and b"encryption-data" in archive.read("META-INF/manifest.xml"):
            raise PermanentError("The document is encrypted.", slug="encrypted-document")
        root = parse_xml(archive.read("content.xml"))
        title = parse_xml(archive.read("meta.xml")).findtext(f".//{_TITLE}") if "meta.xml" in names else None
    return Content(_text(root), attributes={"title": title} if title else {})


def _text(root: etree._Element) -> str:
    out: list[str] = []
    silent = 0
    in_row = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag
        if tag in _SILENT:
            silent += 1 if event == "start" else -1
        elif event == "start" and not silent:
            in_row += tag == _TABLE + "table-row"
            out.append(_opening(element, in_row))
            out.append(element.text or "")
        elif event == "end" and not silent:
            if tag in (_TEXT + "p", _TEXT + "h"):
                out.append(" " if in_row else "\n\n")
            elif tag == _TABLE + "table-cell":
                out.append("| ")
            elif tag == _TABLE + "table-row":
                in_row -= 1
                out.append("\n" if not in_row else " ")
        if event == "end" and not silent:
            out.append(element.tail or "")
    return "".join(out).strip()


def _opening(element: etree._Element, in_row: int) -> str:
    if element.tag == _TEXT + "h" and not in_row:
        level = element.get(_TEXT + "outline-level") or "1"
        return "#" * min(6, int(level) if level.isdigit() else 1) + " "
    if element.tag == _TEXT + "s":
        count = element.get(_TEXT + "c") or "1"
        return " " * min(_MAX_SPACES, int(count) if count.isdigit() else 1)
    return {_TEXT + "tab": "\t", _TEXT + "line-break": "\n"}.get(str(element.tag), "")
