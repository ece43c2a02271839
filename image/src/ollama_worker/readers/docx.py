# SPDX-License-Identifier: GPL-3.0-or-later
"""Word documents: paragraphs, headings, lists and tables in their order, then notes, headers and footers.

The library opens the file and knows its styles. The text is read from the XML itself: the library's own view
leaves out what stands in content controls, text boxes, tracked insertions and notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import docx
from lxml import etree

from ollama_worker.content import Content
from ollama_worker.readers.archive import open_zip, parse_xml
from ollama_worker.readers.request import Request

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_LETTERS = frozenset({_W + "t", "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"})
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
# What was deleted, what tells how something looks, and second forms of what stands before them.
_SILENT = frozenset(
    {_FALLBACK, *(_W + name for name in ("del", "moveFrom", "pPr", "rPr", "tblPr", "sectPr", "instrText"))}
)
_CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "softHyphen": ""}
_NOTES = {"footnoteReference": "footnote", "endnoteReference": "endnote"}
# Separators between text and notes are kept as notes with these numbers.
_NO_NOTES = frozenset({"-1", "0"})
_HEADING = re.compile(r"^heading (\d)$", re.IGNORECASE)
_MAX_NESTING = 40


def read(request: Request) -> Content:
    """The text of a docx file."""
    open_zip(request.path, request.limits).close()
    with request.path.open("rb") as stream:
        document = docx.Document(stream)
    walk = _Walk({style.style_id: style.name or "" for style in document.styles})
    blocks = [*walk.blocks(document.element.body), *_around(document.part.rels.values(), walk)]
    title = document.core_properties.title
    return Content("\n\n".join(blocks), attributes={"title": title} if title else {})


def _around(relations: Iterator[object], walk: _Walk) -> Iterator[str]:
    """What stands in other parts of the file: notes, then headers and footers, each once."""
    edges: dict[str, None] = {}
    for relation in relations:
        kind = str(getattr(relation, "reltype", "")).rpartition("/")[2]
        if kind not in ("footnotes", "endnotes", "header", "footer"):
            continue
        root = parse_xml(relation.target_part.blob)  # type: ignore[attr-defined]
        if kind in ("header", "footer"):
            edges |= dict.fromkeys(walk.blocks(root))
            continue
        for note in root:
            number = note.get(_W + "id") or ""
            text = " ".join(walk.blocks(note))
            if text and number not in _NO_NOTES:
                yield f"[{kind[:-1]} {number}]: {text}"
    yield from edges


@dataclass(slots=True)
class _Walk:
    """Reads blocks of text.

    :ivar styles: names of styles by their ids.
    """

    styles: Mapping[str, str]
    _boxes: list[etree._Element] = field(default_factory=list)

    def blocks(self, container: etree._Element, depth: int = 0) -> Iterator[str]:
        """The paragraphs and tables in an element, in their order, however they are wrapped."""
        if depth > _MAX_NESTING:
            return
        for child in container:
            if child.tag in _SILENT or not isinstance(child.tag, str):
                continue
            if child.tag == _W + "p":
                yield from self._paragraph(child, depth)
            elif child.tag == _W + "tbl":
                rows = [row for row in child.iter(_W + "tr") if self._owner(row) is child]
                yield "\n".join(self._row(row, depth) for row in rows)
            else:
                yield from self.blocks(child, depth + 1)

    def _paragraph(self, element: etree._Element, depth: int) -> Iterator[str]:
        """Its text, and that of the boxes that hang on it."""
        outer, self._boxes = self._boxes, []
        text = "".join(self._pieces(element, 0)).strip()
        boxes, self._boxes = self._boxes, outer
        if text:
            yield self._prefix(element) + text
        for box in boxes:
            yield from self.blocks(box, depth + 1)

    def _pieces(self, element: etree._Element, depth: int) -> Iterator[str]:
        if depth > _MAX_NESTING:
            return
        for child in element:
            if child.tag in _SILENT or not isinstance(child.tag, str):
                continue
            name = child.tag.removeprefix(_W)
            if child.tag in _LETTERS:
                yield child.text or ""
            elif name in _CHARACTERS:
                yield _CHARACTERS[name]
            elif name in _NOTES:
                yield f"[{_NOTES[name]} {child.get(_W + 'id')}]"
            elif name == "txbxContent":
                self._boxes.append(child)
            else:
                yield from self._pieces(child, depth + 1)

    def _row(self, row: etree._Element, depth: int) -> str:
        cells = [cell for cell in row.iter(_W + "tc") if self._owner(cell) is row]
        return " | ".join(" ".join(" ".join(self.blocks(cell, depth + 1)).split()) for cell in cells)

    @staticmethod
    def _owner(element: etree._Element) -> etree._Element | None:
        """The table of a row, or the row of a cell: nearest of its kind above."""
        wanted = _W + ("tbl" if element.tag == _W + "tr" else "tr")
        return next(element.iterancestors(wanted), None)

    def _prefix(self, paragraph: etree._Element) -> str:
        style = paragraph.find(f"{_W}pPr/{_W}pStyle")
        name = self.styles.get(style.get(_W + "val") or "", "") if style is not None else ""
        match = _HEADING.match(name)
        if match:
            return "#" * min(6, int(match.group(1))) + " "
        if name == "Title":
            return "# "
        return "- " if name.startswith("List") else ""
