# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of the suites, read once."""

from __future__ import annotations

import pytest
from records import SUITES, Record


@pytest.fixture(scope="session")
def records() -> list[Record]:
    """The records of all suites."""
    return [Record.read(suite) for suite in SUITES]
