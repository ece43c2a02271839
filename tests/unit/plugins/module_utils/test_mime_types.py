# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._mime_types import (
    ALIASES,
    IMAGE_INPUTS,
    SUFFIXES,
    TEXT_INPUTS,
    check_mime_type,
    matches,
    suffixes_of,
    type_of_key,
)


@pytest.mark.parametrize(
    ("key", "mime_type"),
    [
        ("report.txt", "text/plain"),
        ("a/b/README.MD", "text/markdown"),
        ("film.srt", "application/x-subrip"),
        ("film.VTT", "text/vtt"),
        ("photo.JPeG", "image/jpeg"),
        ("photo.webp", "image/webp"),
        ("config.yaml", "application/yaml"),
        ("archive.tar.gz", "application/gzip"),
        (".txt", "text/plain"),
        ("v1.2/README", None),
        ("README", None),
        ("folder.txt/", None),
        ("trailing.", None),
        ("data.parquet", None),
    ],
)
def test_a_key_tells_its_type_by_its_suffix_in_any_case(key: str, mime_type: str | None) -> None:
    assert type_of_key(key) == mime_type


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Text/Plain", "text/plain"),
        (" image/* ", "image/*"),
        ("image/jpg", "image/jpeg"),
        ("text/x-markdown", "text/markdown"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document",) * 2,
    ],
)
def test_mime_types_are_folded(text: str, folded: str) -> None:
    assert check_mime_type(text) == folded


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("text", "'text' is not a mime-type; it should look like 'text/plain' or 'image/*'."),
        ("text/", "not a mime-type"),
        ("text/plain/more", "not a mime-type"),
        ("te xt/plain", "not a mime-type"),
        ("text/pl*", "not a mime-type"),
        ("*/*", "would match every document; name a type"),
        ("text/plain; charset=utf-8", "has a parameter, which nothing is matched by; write 'text/plain'."),
    ],
)
def test_malformed_mime_types_are_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="text") as caught:
        check_mime_type(text)
    assert sentence in str(caught.value)


def test_ranges_take_the_types_inside_them() -> None:
    assert matches("image/*", "image/png")
    assert matches("image/png", "image/*")
    assert not matches("image/*", "text/plain")
    assert not matches("image/png", "image/jpeg")


def test_the_table_is_in_the_form_that_everything_relies_on() -> None:
    suffixes = [suffix for row in SUFFIXES.values() for suffix in row]
    assert len(suffixes) == len(set(suffixes)), "a suffix has one type"
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)
    assert all(check_mime_type(mime_type) == mime_type for mime_type in SUFFIXES)
    assert set(ALIASES.values()) <= set(SUFFIXES)
    assert not set(ALIASES) & set(SUFFIXES)
    assert set(TEXT_INPUTS + IMAGE_INPUTS) <= set(SUFFIXES)


def test_each_suffix_leads_back_to_its_type() -> None:
    for mime_type, suffixes in SUFFIXES.items():
        assert sorted(suffixes) == suffixes_of([mime_type])
        assert {type_of_key(f"x{suffix.upper()}") for suffix in suffixes} == {mime_type}
