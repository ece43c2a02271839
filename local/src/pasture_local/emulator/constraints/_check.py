# SPDX-License-Identifier: GPL-3.0-or-later
"""One value against one constraint."""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

# What Java's regular expressions, in which the models are written, spell differently from Python's.
_JAVA = (
    # All that is beyond the first plane, as surrogates.
    (r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"),
    # POSIX's classes are of ASCII: https://docs.oracle.com/javase/8/docs/api/java/util/regex/Pattern.html
    (r"\p{Print}", r"[\x20-\x7E]"),
    # A hyphen after a class is a hyphen.
    (r"[\w-", r"[\w\-"),
)
# Enough of a value to find it by.
_LONGEST = 200
_CATEGORY = re.compile(r"\\p\{([A-Z][a-z]?)\}")


@functools.cache
def _ranges(category: str) -> str:
    """The characters of a Unicode category (``L``, ``Zs``), as ranges for a class of ``re``."""
    found: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)).startswith(category):
            if found and found[-1][1] == code - 1:
                found[-1][1] = code
            else:
                found.append([code, code])
    return "".join(f"\\U{first:08X}-\\U{last:08X}" for first, last in found)


@functools.cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of a service model for Python.

    :raises re.error: for one that is not understood.
    """
    for java, python in _JAVA:
        pattern = pattern.replace(java, python)
    return re.compile(_CATEGORY.sub(lambda match: _ranges(match[1]), pattern))


def broken(value: Any, constraint: Mapping[str, Any]) -> Iterator[str]:
    """The constraints of ``pattern``, ``enum``, ``min`` and ``max`` that a value does not meet, in AWS's words.

    ``min`` and ``max`` are of the number for numbers, of the length for all else. A pattern has to match
    the whole text: most are written without anchors, and AWS matches all of them so.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    size = value if number else len(value) if hasattr(value, "__len__") else None
    if size is not None:
        what = "value" if number else "length"
        if size < constraint.get("min", size):
            yield f"Member must have {what} greater than or equal to {constraint['min']}"
        if size > constraint.get("max", size):
            yield f"Member must have {what} less than or equal to {constraint['max']}"
    if isinstance(value, str):
        if constraint.get("enum") and value not in constraint["enum"]:
            yield f"Member must satisfy enum value set: [{', '.join(constraint['enum'])}]"
        if "pattern" in constraint and not compiled(constraint["pattern"]).fullmatch(value):
            yield f"Member must satisfy regular expression pattern: {constraint['pattern']}"


def sentence(path: str, value: Any, constraint: str) -> str:
    """A violation as AWS words it."""
    shown = repr(value)
    if len(shown) > _LONGEST:
        shown = f"{shown[:_LONGEST]}..."
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"
