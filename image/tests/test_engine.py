# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as a child: what is read back from it, and when it is given up."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import least_settings
import pytest
from fake_ollama import FakeOllama
from worker_cloud import wait_for

from ollama_worker import log
from ollama_worker.engine.manager import EngineManager
from ollama_worker.engine.process import EngineProcess
from ollama_worker.errors import EngineError
from ollama_worker.model import ModelDefinition
from ollama_worker.settings import Settings, from_environment

NEEDED = {**least_settings.NEEDED, "PASTURE_SLOTS": "4"}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes an ``ollama`` on the PATH of a shell script."""

    def make(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "ollama").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "ollama").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return make


Manager = Callable[[Settings], EngineManager]


def settings(**variables: str) -> Settings:
    return from_environment({**NEEDED, **variables})


@pytest.fixture
def manager() -> Iterator[Manager]:
    """Makes managers, and closes them."""
    made: list[EngineManager] = []

    def make(settings: Settings) -> EngineManager:
        model = ModelDefinition("tiny", "latest")
        made.append(EngineManager(settings, model, log.Metrics("t", "p"), lambda: False))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_the_parallelism_of_the_runner_is_read_from_its_command_line(
    program: Callable[[str], None], tmp_path: Path
) -> None:
    # A shell under another name: it ignores the words that llama-server would understand.
    runner = tmp_path / "llama-server"
    shutil.copy("/bin/sh", runner)
    program(f"{runner} -c 'sleep 60; :' --model m -np 3 & sleep 60")
    engine = EngineProcess(tmp_path, {})
    try:
        wait_for(lambda: engine.parallel() == 3, 10)
    finally:
        engine.stop()
    assert engine.parallel() is None


@pytest.mark.parametrize(
    ("family", "capabilities", "task", "slots"),
    [
        ("llama", ["completion"], "generate", 4),
        ("nemotron_h_moe", ["completion"], "generate", 1),
        ("bert", ["embedding"], "embed", 1),
        ("qwen3", ["completion", "embedding"], "embed", 4),
    ],
)
def test_slots_are_what_the_engine_runs_side_by_side(
    ollama: FakeOllama, manager: Manager, family: str, capabilities: list[str], task: str, slots: int
) -> None:
    ollama.family, ollama.capabilities = family, capabilities
    engine = manager(settings(OLLAMA_HOST=ollama.url, PASTURE_TASK=task))
    engine.start()
    assert engine.wait_ready(20)
    assert engine.facts.slots == slots


def test_an_engine_that_cannot_be_started_ends_the_task(
    program: Callable[[str], None], manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("echo no GPU driver; exit 3")
    engine = manager(settings())
    # The pauses between the attempts, which grow to half a minute, are not what is shown.
    monkeypatch.setattr(engine._closed, "wait", lambda seconds: False)
    engine.start()
    with pytest.raises(EngineError, match="failed 8 times within 600 s"):
        engine.wait_ready(60)
