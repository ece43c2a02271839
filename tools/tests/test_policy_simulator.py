# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing the evaluator of policies."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import policy_simulator
import pytest


def test_what_is_there_in_the_locked_versions_is_not_installed_again(tmp_path: Path) -> None:
    (tmp_path / ".pasture").write_text(policy_simulator._fingerprint())
    assert policy_simulator.installed(tmp_path)
    assert policy_simulator.install(tmp_path) == ""
    (tmp_path / ".pasture").write_text("of another lock file")
    assert not policy_simulator.installed(tmp_path)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("npm error code ENOTFOUND", policy_simulator.UNREACHABLE),
        ("npm error code EINTEGRITY", 1),
    ],
)
def test_only_a_registry_that_does_not_answer_is_forgiven(
    said: str, status: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", said)

    monkeypatch.setattr(policy_simulator, "installed", lambda _folder: False)
    monkeypatch.setattr(subprocess, "run", fail)
    assert policy_simulator.main() == status
    assert ("NOT CHECKED" in capfd.readouterr().out) == (status == policy_simulator.UNREACHABLE)
