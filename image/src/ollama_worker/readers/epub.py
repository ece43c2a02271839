# SPDX-License-Identifier: GPL-3.0-or-later
"""EPUB: the chapters in reading order."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

from ollama_worker.charset import decode
from ollama_worker.content import Content
from ollama_worker.errors import PermanentError
from ollama_worker.readers.archive import open_zip, parse_xml
from ollama_worker.readers.html import to_text
from ollama_worker.readers.request import Request

_CONTAINER = "META-INF/container.xml"
_NS = {
    "c": "urn:oasis:names:tc:opendocument:xmlns:container",
    "o": "http://www.idpf.org/2007/opf",
    "dc": "http://purl.org/dc/elements/1.1/",
}


def read(request: Request) -> Content:
    """The text of an epub file, a form feed between chapters.

    :raises PermanentError: when it is broken or protected.
    """
    with open_zip(request.path, request.limits) as archive:
        names = set(archive.namelist())
        if _CONTAINER not in names:
            raise PermanentError(
                f"The document has no {_CONTAINER}: it is no EPUB.", slug="unreadable-document"
            )
        if "META-INF/rights.xml" in names:
            raise PermanentError("The book is protected by DRM.", slug="encrypted-document")
        rootfile = parse_xml(archive.read(_CONTAINER)).find(".//c:rootfile", _NS)
        package = (rootfile.get("full-path") if rootfile is not None else None) or ""
        if package not in names:
            raise PermanentError("The book's package document is missing.", slug="unreadable-document")
        root = parse_xml(archive.read(package))
        folder = posixpath.dirname(package)
        items = {item.get("id"): item.get("href") or "" for item in root.findall(".//o:manifest/o:item", _NS)}
        chapters = []
        for reference in root.findall(".//o:spine/o:itemref", _NS):
            name = posixpath.normpath(posixpath.join(folder, unquote(items.get(reference.get("idref"), ""))))
            if name in names:
                text, _title = to_text(decode(archive.read(name))[0])
                chapters += [text] if text else []
        title = root.findtext(".//dc:title", namespaces=_NS)
    attributes = {"pages": len(chapters), **({"title": title} if title else {})}
    return Content("\f".join(chapters), attributes=attributes)
