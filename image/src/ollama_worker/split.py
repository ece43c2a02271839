# SPDX-License-Identifier: GPL-3.0-or-later
"""Splitting a text on its own structure.

The parts, put together, are the text: nothing is dropped, repeated or changed.
"""

from __future__ import annotations

import re
from bisect import bisect_right

# From the coarsest to the finest: a part ends where the coarsest of these that fits ends.
_BOUNDARIES = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"\f",  # pages, slides, sheets
        r"(?=^\#{1,2} )",  # chapters of Markdown, and of what the extractors write
        r"(?=^\#{3,6} )",  # sections
        r"\n[ \t]*\r?\n+",  # paragraphs, cues of subtitles
        r"\n",  # rows of tables, lines
        r"(?<=[.!?\u2026])[\"'\u201d\u2019)\]]*\s+|(?<=[\u3002\uff01\uff1f])",  # sentences
        r"\s+",  # words
    )
)

# A character that is shown together with the one before it: parts do not begin with one.
_JOINS = re.compile(r"[\u0300-\u036f\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\n]")


def split(text: str, limit: int) -> list[str]:
    """Split a text into parts of at most `limit` characters.

    :param limit: at least 1.
    :returns: the parts in order; none is empty; an empty text has none.
    """
    if limit < 1:
        raise ValueError("a part needs at least one character")
    return [text[start:end] for start, end in spans(text, limit)]


def spans(text: str, limit: int) -> list[tuple[int, int]]:
    """The parts of `split` as offsets into the text."""
    result: list[tuple[int, int]] = []
    _spans(text, 0, len(text), limit, 0, result)
    return result


def _spans(text: str, start: int, end: int, limit: int, level: int, result: list[tuple[int, int]]) -> None:
    """Append the parts of ``text[start:end]``, with boundaries of `level` and finer."""
    while end - start > limit:
        if level == len(_BOUNDARIES):
            cut = _hard_cut(text, start, start + limit)
            result.append((start, cut))
            start = cut
            continue
        cuts = [m.end() for m in _BOUNDARIES[level].finditer(text, start, end) if start < m.end() < end]
        if not cuts:
            level += 1
            continue
        start = _pack(text, start, end, limit, level, cuts, result)
        # What is left is the last piece at this level; it may still be too long.
        level += 1
    if start < end:
        result.append((start, end))


def _pack(
    text: str, start: int, end: int, limit: int, level: int, cuts: list[int], result: list[tuple[int, int]]
) -> int:
    """Fill parts with as many whole pieces as fit; returns where the last, unfinished part begins."""
    while end - start > limit:
        index = bisect_right(cuts, start + limit)
        best = cuts[index - 1] if index else start
        if best > start:
            result.append((start, best))
            start = best
            continue
        if index == len(cuts):
            return start
        # One piece alone is too long: split it finer, and go on with what is left of it.
        _spans(text, start, cuts[index], limit, level + 1, result)
        start = cuts[index]
    return start


def _hard_cut(text: str, start: int, cut: int) -> int:
    """A place at or before `cut` that does not tear a visible character apart, if there is one near."""
    for candidate in range(cut, max(start, cut - 16), -1):
        if not _JOINS.match(text, candidate):
            return candidate
    return cut
