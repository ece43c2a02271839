# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mime-types and the suffixes of the keys that carry them: the one table of this collection.

The worker has the same table (C(image/src/ollama_worker)); a unit test keeps the two equal.

For internal use of this collection only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_TEXT: dict[str, tuple[str, ...]] = {
    "text/plain": (".txt", ".text", ".log"),
    "text/markdown": (".md", ".markdown"),
    "text/csv": (".csv",),
    "text/tab-separated-values": (".tsv",),
    "text/html": (".html", ".htm"),
    "text/vtt": (".vtt",),
    "text/x-rst": (".rst",),
    "application/x-subrip": (".srt",),
    "application/json": (".json",),
    "application/x-ndjson": (".jsonl", ".ndjson"),
    "application/yaml": (".yaml", ".yml"),
    "application/xml": (".xml",),
    "application/xhtml+xml": (".xhtml",),
    "application/rtf": (".rtf",),
    "application/pdf": (".pdf",),
    "application/epub+zip": (".epub",),
    "application/vnd.oasis.opendocument.text": (".odt",),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": (".docx",),
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": (".pptx",),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": (".xlsx",),
    "message/rfc822": (".eml",),
}

_IMAGE: dict[str, tuple[str, ...]] = {
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg"),
    "image/webp": (".webp",),
}

# Read by no processor out of the box, but known: a key that ends so needs no sniffing, and a model
# definition of the user's own may name the type.
_OTHER: dict[str, tuple[str, ...]] = {
    "application/gzip": (".gz", ".tgz"),
    "application/msword": (".doc",),
    "application/vnd.ms-excel": (".xls",),
    "application/vnd.ms-outlook": (".msg",),
    "application/vnd.ms-powerpoint": (".ppt",),
    "application/vnd.oasis.opendocument.presentation": (".odp",),
    "application/vnd.oasis.opendocument.spreadsheet": (".ods",),
    "application/x-7z-compressed": (".7z",),
    "application/x-tar": (".tar",),
    "application/zip": (".zip",),
    "audio/flac": (".flac",),
    "audio/mpeg": (".mp3",),
    "audio/ogg": (".ogg",),
    "audio/wav": (".wav",),
    "image/avif": (".avif",),
    "image/bmp": (".bmp",),
    "image/gif": (".gif",),
    "image/heic": (".heic",),
    "image/svg+xml": (".svg",),
    "image/tiff": (".tif", ".tiff"),
    "video/mp4": (".mp4",),
    "video/quicktime": (".mov",),
    "video/webm": (".webm",),
}

#: What the worker makes text of, for every model that reads text.
TEXT_INPUTS: tuple[str, ...] = tuple(_TEXT)

#: What a vision model is given as it is.
IMAGE_INPUTS: tuple[str, ...] = tuple(_IMAGE)

#: Mime-type to the suffixes of its keys, in lower case; the first is the one results are written with.
SUFFIXES: dict[str, tuple[str, ...]] = {**_TEXT, **_IMAGE, **_OTHER}

#: Other names of the same thing, as browsers, S3 clients and older registries write them.
ALIASES: dict[str, str] = {
    "application/csv": "text/csv",
    "application/x-json": "application/json",
    "application/jsonl": "application/x-ndjson",
    "application/jsonlines": "application/x-ndjson",
    "application/x-pdf": "application/pdf",
    "application/x-yaml": "application/yaml",
    "image/jpg": "image/jpeg",
    "image/x-png": "image/png",
    "text/json": "application/json",
    "text/rtf": "application/rtf",
    "text/srt": "application/x-subrip",
    "text/x-markdown": "text/markdown",
    "text/x-yaml": "application/yaml",
    "text/xml": "application/xml",
    "text/yaml": "application/yaml",
}

_BY_SUFFIX: dict[str, str] = {
    suffix: mime_type for mime_type, suffixes in SUFFIXES.items() for suffix in suffixes
}

# RFC 6838, section 4.2: restricted names of at most 127 characters; the subtype may be "*".
_NAME = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"
_MIME_TYPE = re.compile(rf"^({_NAME})/({_NAME}|\*)$")


def check_mime_type(text: str) -> str:
    """Fold a mime-type or range (C(image/*)) to lower case and to the name used here.

    :raises ValueError: with a sentence, when it is malformed.
    """
    folded = text.strip().lower()
    if ";" in folded:
        raise ValueError(
            f"'{text}' has a parameter, which nothing is matched by; write '{folded.split(';')[0].strip()}'."
        )
    if folded.startswith("*"):
        raise ValueError(
            f"'{text}' would match every document; name a type, such as 'text/plain' or 'image/*'."
        )
    if not _MIME_TYPE.match(folded):
        raise ValueError(f"'{text}' is not a mime-type; it should look like 'text/plain' or 'image/*'.")
    return ALIASES.get(folded, folded)


def matches(accepted: str, mime_type: str) -> bool:
    """Whether C(accepted), a type or a range, takes C(mime_type); both as C(check_mime_type) returns them.

    Two ranges match when one contains the other.
    """
    if accepted == mime_type:
        return True
    if accepted.endswith("/*"):
        return mime_type.startswith(accepted[:-1])
    return mime_type.endswith("/*") and accepted.startswith(mime_type[:-1])


def accepts(inputs: Iterable[str], mime_type: str) -> bool:
    """Whether any of C(inputs) takes C(mime_type)."""
    return any(matches(accepted, mime_type) for accepted in inputs)


def type_of_key(key: str) -> str | None:
    """The mime-type that an object's key tells by its suffix, in any case; None when it tells none."""
    name = key.rsplit("/", 1)[-1].lower()
    stem, dot, extension = name.rpartition(".")
    return _BY_SUFFIX.get(dot + extension) if dot and (stem or extension) else None


def suffixes_of(inputs: Iterable[str]) -> list[str]:
    """The suffixes of all keys whose type one of C(inputs) takes, sorted."""
    wanted = list(inputs)
    return sorted(suffix for suffix, mime_type in _BY_SUFFIX.items() if accepts(wanted, mime_type))


def known_suffixes() -> list[str]:
    """Every suffix in the table, sorted."""
    return sorted(_BY_SUFFIX)
