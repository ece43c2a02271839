# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be said of the architectures that are not this machine's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import machine
import pytest


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize("locked", ["requirements.txt", "requirements-build.txt"])
def test_every_locked_package_has_a_wheel_for_it(architecture: str, locked: str, tmp_path: Path) -> None:
    containerfile = (machine.SOURCES / "Containerfile").read_text()
    version = re.search(r"^ARG PYTHON_IMAGE=\S+/python:(\d+\.\d+)", containerfile, re.MULTILINE)
    assert version is not None
    result = subprocess.run(
        [
            *(Path(sys.executable).with_name("uv"), "pip", "install", "--dry-run", "--target", tmp_path),
            *("--only-binary", ":all:", "--require-hashes", "--requirement", machine.SOURCES / locked),
            *("--python-platform", f"{architecture}-manylinux_2_28", "--python-version", version[1]),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
