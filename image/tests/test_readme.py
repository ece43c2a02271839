# SPDX-License-Identifier: GPL-3.0-or-later
"""The README names every setting and every kind of permanent error."""

from __future__ import annotations

import re
from pathlib import Path

from ollama_worker.settings import Limits

IMAGE = Path(__file__).parents[1]
SOURCES = "".join(path.read_text() for path in (IMAGE / "src").rglob("*.py"))
README = (IMAGE / "README.md").read_text()


def test_every_variable_is_named() -> None:
    variables = set(re.findall(r'"(PASTURE_[A-Z_]+)"', SOURCES)) | {
        f"PASTURE_{name.upper()}" for name in Limits.__slots__
    }
    assert sorted(name for name in variables if name not in README) == []


def test_every_permanent_error_is_named() -> None:
    raised = re.findall(r'PermanentError\((?:[^()]|\([^()]*\))*?slug="([a-z-]+)"', SOURCES)
    assert len(raised) > 15
    assert sorted({slug for slug in raised if f"`{slug}`" not in README}) == []
