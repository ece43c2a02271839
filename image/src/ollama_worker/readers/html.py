# SPDX-License-Identifier: GPL-3.0-or-later
"""HTML as text: headings, lists and tables as Markdown writes them; nothing is fetched or run."""

from __future__ import annotations

import re

from lxml import etree, html

from ollama_worker.charset import decode
from ollama_worker.content import Content
from ollama_worker.readers.request import Request

_SILENT = frozenset({"script", "style", "template", "noscript", "svg", "math", "head", "iframe", "object"})
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "legend",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "ul",
    ]
)
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPACE = re.compile(r"[ \t\r\n\f]+")


def read(request: Request) -> Content:
    """The text of an HTML file."""
    text, charset = _decode(request.path.read_bytes())
    body, title = to_text(text)
    attributes = {"charset": charset, **({"title": title} if title else {})}
    return Content(body, attributes=attributes)


def to_text(source: str) -> tuple[str, str]:
    """The text of an HTML source, and its title."""
    source = _NOT_XML.sub(" ", _DECLARATION.sub("", source))
    if not source.strip():
        return "", ""
    parser = html.HTMLParser(no_network=True, remove_comments=True, remove_pis=True, recover=True)
    try:
        root = html.document_fromstring(source, parser=parser)
    except etree.ParserError:
        return "", ""
    title = _SPACE.sub(" ", root.findtext(".//title") or "").strip()
    return _Writer().write(root), title


class _Writer:
    """Walks a tree without recursion, however deep it is."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._silent = 0
        self._preformatted = 0
        self._lists: list[int | None] = []
        self._cells = 0

    def write(self, root: etree._Element) -> str:
        for event, element in etree.iterwalk(root, events=("start", "end")):
            tag = element.tag if isinstance(element.tag, str) else ""
            if event == "start":
                self._start(tag, element)
                self._text(element.text)
            else:
                self._end(tag)
                self._text(element.tail)
        lines = (line.rstrip() for line in "".join(self._out).split("\n"))
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()

    def _start(self, tag: str, element: etree._Element) -> None:
        if tag in _SILENT or not tag:
            self._silent += 1
        elif tag in _HEADINGS:
            self._break(2)
            self._out.append(_HEADINGS[tag])
        elif tag == "li":
            self._break(1)
            self._out.append("  " * (len(self._lists) - 1) + self._bullet())
        elif tag == "tr":
            self._break(1)
            self._cells = 0
        elif tag in ("td", "th"):
            self._out.append(" | " if self._cells else "")
            self._cells += 1
        elif tag == "br":
            self._out.append("\n")
        elif tag == "img":
            self._text(element.get("alt"))
        elif tag in _BLOCKS:
            self._break(1 if self._lists or self._cells else 2)
            if tag in ("ul", "ol"):
                self._lists.append(0 if tag == "ol" else None)
            elif tag == "pre":
                self._preformatted += 1

    def _end(self, tag: str) -> None:
        if tag in _SILENT or not tag:
            self._silent -= 1
        elif tag in _HEADINGS:
            self._break(2)
        elif tag in ("ul", "ol") and self._lists:
            self._lists.pop()
            self._break(1 if self._lists else 2)
        elif tag == "pre":
            self._preformatted -= 1
            self._break(2)
        elif tag == "tr":
            self._cells = 0
            self._break(1)
        elif tag in _BLOCKS:
            self._break(1 if self._lists or self._cells else 2)

    def _bullet(self) -> str:
        number = self._lists[-1] if self._lists else None
        if number is None:
            return "- "
        self._lists[-1] = number + 1
        return f"{number + 1}. "

    def _text(self, text: str | None) -> None:
        if not text or self._silent:
            return
        if not self._preformatted:
            text = _SPACE.sub(" ", text)
            if not self._out or self._out[-1].endswith(("\n", " ")):
                text = text.lstrip(" ")
        if text:
            self._out.append(text)

    def _break(self, lines: int) -> None:
        if self._silent or not self._out:
            return
        present = 0
        for piece in reversed(self._out[-3:]):
            stripped = piece.rstrip("\n")
            present += len(piece) - len(stripped)
            if stripped:
                break
        self._out.append("\n" * max(0, lines - present))


def _decode(data: bytes) -> tuple[str, str]:
    match = _CHARSET.search(data[:4096])
    if match is not None:
        try:
            name = match.group(1).decode("ascii")
            return data.decode(name), name.lower()
        except (UnicodeDecodeError, LookupError):
            pass
    return decode(data)
