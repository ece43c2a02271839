# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of ``make test``: every suite is run, and its last lines say what failed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import suites

# A suite that prints, and ends with what its name says.
SUITE = """
import sys
name = sys.argv[1]
print("\\x1b[31mFAILED tests/a.py::b\\x1b[0m" if name == "bad" else "fine")
print(f"=== 3 of {name} ===")
sys.exit(name == "bad")
"""
COMMAND = [sys.executable, "-c", SUITE]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(suites, "ROOT", tmp_path)
    monkeypatch.setattr(suites, "LOGS", tmp_path / "suites")


def test_all_are_run_and_each_has_its_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ended = [suites.run(name, COMMAND, aloud) for name, aloud in (("a", True), ("b", False))]
    assert capsys.readouterr().out == "fine\n=== 3 of a ===\nfine\n=== 3 of b ===\n"
    assert (tmp_path / "suites" / "b.log").read_text(encoding="utf-8") == "fine\n=== 3 of b ===\n"
    told = suites.summary(ended)
    assert "  b                passed" in told
    assert "3 of b" in told
    assert told.endswith("All suites passed: a b.")


def test_what_failed_is_told_again_at_the_end() -> None:
    told = suites.summary([suites.run(name, COMMAND, True) for name in ("good", "bad")])
    assert "FAILED (1)" in told
    assert "bad failed (all of it: suites/bad.log):\n  FAILED tests/a.py::b\n" in told
    assert told.endswith("Suites that failed: bad.")


@pytest.mark.parametrize(
    ("names", "status"), [(("a", "b", "c"), 0), (("bad", "b", "c"), 1), (("a", "bad", "c"), 1)]
)
def test_one_failure_is_enough_and_stops_nothing(
    names: tuple[str, str, str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def ended(suite: str, _command: object, aloud: bool) -> suites.Ended:
        seen.append(suite)
        return suites.Ended(suite, int(suite == "bad"), 1.0, [])

    monkeypatch.setattr(suites, "run", ended)
    assert suites.main(["--first", names[0], "--beside", names[1], "--last", names[2]]) == status
    assert seen == list(names)
