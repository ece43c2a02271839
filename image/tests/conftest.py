# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers on loopback: the embedded cloud's emulator as AWS, a small fake of Ollama as the engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_ollama import FakeOllama
from worker_cloud import Cloud, emulator


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than ten seconds (deselect with -m 'not slow')")


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """The URL of an emulator in a process of its own."""
    with emulator() as url:
        yield url


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the developer's own surroundings."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "PASTURE_", "OLLAMA_", "LLAMA_", "ECS_")):
            monkeypatch.delenv(name)


@pytest.fixture
def cloud(endpoint: str) -> Cloud:
    """An account's worth of resources for one test, with names of its own."""
    return Cloud(endpoint)


@pytest.fixture
def ollama() -> Iterator[FakeOllama]:
    """A fake engine."""
    with FakeOllama() as fake:
        yield fake
