# SPDX-License-Identifier: GPL-3.0-or-later
"""What the first bytes of a document say it is."""

from __future__ import annotations

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"{\\rtf", "application/rtf"),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x7fELF", "application/x-executable"),
    (b"MZ\x90\0", "application/x-executable"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
)

# The names that stand first in a zip of each kind.
_ZIP_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"mimetypeapplication/epub+zip", "application/epub+zip"),
    (b"mimetypeapplication/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"),
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
)

#: Types that a file of a family may be told as: every office document is a zip, for one.
_ZIPPED = frozenset(
    {
        "application/epub+zip",
        "application/vnd.oasis.opendocument.presentation",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.oasis.opendocument.text",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    }
)


def sniff(head: bytes) -> str | None:
    """The type that the bytes show beyond doubt; None for text and for what is not recognised.

    :param head: the first bytes, 4096 serve well.
    """
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return _zip_kind(head) if kind == "application/zip" else kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return "image/avif" if head[8:12] in (b"avif", b"avis") else "video/mp4"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "text/html"
    return None


def compatible(told: str, found: str) -> bool:
    """Whether bytes that look like `found` may well be a document of the type `told`."""
    if told == found:
        return True
    if found == "application/zip":
        # A zip whose first entries do not tell what it is; the extractor will see.
        return told in _ZIPPED
    if found == "text/html":
        # Text that begins with a tag is still text: markdown, an e-mail, xhtml.
        return told.startswith("text/") or told in (
            "application/xhtml+xml",
            "application/xml",
            "message/rfc822",
        )
    if found.startswith("image/") and told.startswith("image/"):
        # Cameras and browsers mix these up; the image library reads what it is.
        return True
    return found == "audio/mpeg" and told.startswith("text/")


def _zip_kind(head: bytes) -> str:
    for name, kind in _ZIP_KINDS:
        if name in head:
            return kind
    return "application/zip"
