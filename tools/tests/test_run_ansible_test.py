# SPDX-License-Identifier: GPL-3.0-or-later
"""What is handed to ansible-test before it runs."""

from __future__ import annotations

from importlib.resources import files

import pytest
import run_ansible_test


def test_reads_the_wanted_pip_from_the_installed_ansible_test() -> None:
    source = files("ansible_test").joinpath("_internal/python_requirements.py").read_text()
    version = run_ansible_test.pip_version(source)
    assert all(part.isdigit() for part in version.split("."))


def test_says_so_when_it_cannot() -> None:
    with pytest.raises(SystemExit, match="does not find which pip"):
        run_ansible_test.pip_version("nothing")


def test_takes_the_settings_of_pip_with_the_environment_over_the_files() -> None:
    listing = [
        "global.index-url='https://one.example/simple'",
        ":env:.index-url='https://two.example/simple'",
    ]
    assert run_ansible_test.pip_settings(listing) == {"index-url": "https://two.example/simple"}
