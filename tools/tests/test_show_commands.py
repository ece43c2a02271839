# SPDX-License-Identifier: GPL-3.0-or-later
"""What documents say that commands print is what they print."""

from __future__ import annotations

import pytest
import show_commands

DOCUMENTS = sorted(
    path for path in (show_commands.ROOT / "docs").glob("*.md") if show_commands.MARK in path.read_text()
)


def test_there_are_documents_with_commands() -> None:
    assert {path.name for path in DOCUMENTS} >= {"cost.md", "scale.md", "simulator.md"}


@pytest.mark.slow
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_figures_of_a_document_are_those_of_its_commands(path) -> None:  # type: ignore[no-untyped-def]
    text = path.read_text(encoding="utf-8")
    assert text.count(show_commands.MARK) == text.count("```console\n$ pasture-local simulate")
    assert text == show_commands.shown(text), (
        f"write them anew: python tools/show_commands.py docs/{path.name}"
    )


def test_a_command_that_fails_is_named() -> None:
    with pytest.raises(show_commands.CommandError, match="'pasture-local simulate flood:1' ended with 2"):
        show_commands.printed("pasture-local simulate flood:1")


def test_only_our_own_commands_are_run() -> None:
    with pytest.raises(show_commands.CommandError, match="does not begin with"):
        show_commands.printed("rm -r docs")
