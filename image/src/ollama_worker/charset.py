# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain text: which characters the bytes are."""

from __future__ import annotations

import codecs

from ollama_worker.errors import PermanentError

# The longest first: UTF-32's mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# Enough to recognise an encoding by; detection takes milliseconds per kilobyte.
_SAMPLE_BYTES = 64 * 1024


def decode(data: bytes) -> tuple[str, str]:
    """The text of a document and the name of its character set.

    UTF-8 is what it is taken for when it can be; then a byte order mark decides, then detection.

    :raises PermanentError: when it is not text in any character set.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _strict(data, name)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _with_surrogates(data) or _detect(data)
    if "\0" in text:
        return _detect(data)
    return text, "utf-8"


def _strict(data: bytes, name: str) -> tuple[str, str]:
    try:
        return data.decode(name), name.removesuffix("-sig")
    except UnicodeDecodeError as error:
        raise PermanentError(
            f"The document begins as {name} but is not: {error.reason} at byte {error.start}.",
            slug="undecodable-text",
        ) from None


def _with_surrogates(data: bytes) -> tuple[str, str] | None:
    """UTF-8 but for encoded surrogates, as Java and old databases write it: pairs are joined, halves replaced."""
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), "utf-8 with surrogates"


def _detect(data: bytes) -> tuple[str, str]:
    # Imported here because it takes a tenth of a second, and most documents are UTF-8.
    from charset_normalizer import from_bytes  # noqa: PLC0415

    # A sample that ends in the middle of a character would rule its encoding out: try a few ends.
    match = from_bytes(data[:_SAMPLE_BYTES]).best()
    if match is not None:
        name = match.encoding
        try:
            text = data.decode(name)
        except (UnicodeDecodeError, LookupError):
            text = ""
        # A NUL is no character of a text: this is binary data that some code page happens to allow.
        if text and "\0" not in text:
            return text, name
    raise PermanentError(
        "The document is not text: it is not UTF-8, and no other character set fits it.",
        slug="undecodable-text",
    )
