# SPDX-License-Identifier: GPL-3.0-or-later
"""A vulnerability fails the scan, a network that is away does not."""

from __future__ import annotations

import audit


def test_nothing_known_is_good() -> None:
    assert audit.verdict(0, "No known vulnerabilities found")[0] == 0


def test_a_known_vulnerability_fails_and_is_shown() -> None:
    output = "Found 1 known vulnerability in 1 package\nName Version ID\npillow 1.0 PYSEC-1"
    assert audit.verdict(1, output) == (1, output)


def test_a_database_out_of_reach_is_told_and_does_not_fail() -> None:
    status, line = audit.verdict(1, "Traceback\nConnectionError: name resolution failed\n")
    assert status == 0
    assert "were not checked: ConnectionError" in line
