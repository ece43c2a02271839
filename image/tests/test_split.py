# SPDX-License-Identifier: GPL-3.0-or-later
"""Splitting: nothing is lost, nothing is too long, structure is kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_worker.split import split

pieces = st.sampled_from(
    ["word ", "Sentence. ", "\n\n", "\n", "# Head\n", "## Sub\n", "\f", "x" * 40, "日本。", "é", "👩‍👧"]
)
texts = st.lists(pieces, max_size=80).map("".join) | st.text(max_size=300)


@settings(max_examples=500, deadline=None)
@given(text=texts, limit=st.integers(1, 120))
def test_the_parts_are_the_text_and_none_is_too_long(text: str, limit: int) -> None:
    parts = split(text, limit)
    assert "".join(parts) == text
    assert all(0 < len(part) <= limit for part in parts)


def test_a_text_that_fits_is_one_part() -> None:
    assert split("a\n\nb", 4) == ["a\n\nb"]


@pytest.mark.parametrize(
    ("text", "limit", "parts"),
    [
        ("page one\fpage two\fpage three", 18, ["page one\fpage two\f", "page three"]),
        ("# A\naaa\n# B\nbbb\n", 9, ["# A\naaa\n", "# B\nbbb\n"]),
        ("one one\n\ntwo two\n\nthree", 12, ["one one\n\n", "two two\n\n", "three"]),
        ("First one. Second one. Third.", 23, ["First one. Second one. ", "Third."]),
        ("a,b\nc,d\ne,f\n", 8, ["a,b\nc,d\n", "e,f\n"]),
    ],
)
def test_parts_end_where_the_structure_ends(text: str, limit: int, parts: list[str]) -> None:
    assert split(text, limit) == parts


def test_a_very_long_text_is_split_in_linear_time() -> None:
    text = "lorem ipsum dolor. " * 200_000
    assert "".join(split(text, 20_000)) == text
