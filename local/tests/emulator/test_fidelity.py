# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/fidelity.md tells of every patch, in the words of its source."""

from __future__ import annotations

from pathlib import Path

from pasture_local.emulator.patches import PATCHES
from pasture_local.emulator.patches.__main__ import with_table

DOCUMENT = Path(__file__).parents[3] / "docs" / "fidelity.md"


def test_every_patch_says_why_it_is_there() -> None:
    silent = [patch.name for patch in PATCHES if hasattr(patch, "function") and not patch.function.__doc__]
    assert silent == []


def test_the_document_has_the_table_of_patches() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == with_table(text), (
        "write the table anew: python -m pasture_local.emulator.patches docs/fidelity.md"
    )
