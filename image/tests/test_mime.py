# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of mime-types is the collection's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ollama_worker import mime

THEIRS = Path(__file__).parents[2] / "plugins" / "module_utils" / "_mime_types.py"


def test_worker_and_collection_have_the_same_table() -> None:
    spec = importlib.util.spec_from_file_location("collection_mime_types", THEIRS)
    assert spec is not None
    assert spec.loader is not None
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    for name in ("SUFFIXES", "ALIASES", "TEXT_INPUTS", "IMAGE_INPUTS"):
        assert getattr(theirs, name) == getattr(mime, name)


@pytest.mark.parametrize("kind", mime.TEXT_INPUTS + mime.IMAGE_INPUTS)
def test_every_input_has_a_reader(kind: str) -> None:
    from ollama_worker.readers.__main__ import READERS  # noqa: PLC0415

    assert kind in mime.PLAIN_TEXT or kind in READERS
