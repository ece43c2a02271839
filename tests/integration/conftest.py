# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders for demonstrations, from which nothing stays behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from demonstration import Demonstration
from trial import Account


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """Yield the folder that the tests of one file share."""
    result = Demonstration(tmp_path_factory.mktemp("demo") / "home")
    yield result
    result.kill()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Demonstration]:
    """Yield a folder for one test."""
    result = Demonstration(tmp_path / "home")
    yield result
    result.kill()


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    """Yield an empty account, in which no request may be made that AWS would not take."""
    result = Account.fresh(tmp_path / "account")
    yield result
    result.end()
    assert "was refused" not in (tmp_path / "account" / "emulator.log").read_text(encoding="utf-8")
