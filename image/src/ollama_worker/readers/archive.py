# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents that are zip archives, and the XML inside: opened with limits."""

from __future__ import annotations

import zipfile
from pathlib import Path

from lxml import etree

from ollama_worker.errors import PermanentError
from ollama_worker.settings import Limits

_MAX_ENTRIES = 20_000
_ENCRYPTED = 0x1


def open_zip(path: Path, limits: Limits) -> zipfile.ZipFile:
    """The archive, when it promises to unpack to no more than is allowed.

    A promise that is a lie ends in an error of zipfile, which reads no more than was promised.

    :raises PermanentError: for a broken, encrypted or too large archive.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        with path.open("rb") as stream:
            if stream.read(8) == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
                # Office wraps an encrypted document into the old container format.
                raise PermanentError(
                    "The document is encrypted, or of Office's old binary format.", slug="encrypted-document"
                ) from None
        raise PermanentError(
            f"The document is no intact zip archive: {error}", slug="unreadable-document"
        ) from None
    entries = archive.infolist()
    size = sum(entry.file_size for entry in entries)
    if len(entries) > _MAX_ENTRIES or size > limits.max_unpacked_bytes:
        raise PermanentError(
            f"The document would unpack to {size} bytes in {len(entries)} files; {limits.max_unpacked_bytes} "
            "bytes are allowed (PASTURE_MAX_UNPACKED_BYTES).",
            slug="document-too-large",
        )
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise PermanentError("The document is encrypted.", slug="encrypted-document")
    return archive


def parse_xml(data: bytes) -> etree._Element:
    """XML without entities of its own, external references or network."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True
    )
    root = etree.fromstring(data, parser)
    if root.getroottree().docinfo.internalDTD is not None and b"<!ENTITY" in data:
        raise PermanentError(
            "The document declares XML entities, which none needs.", slug="unreadable-document"
        )
    return root
