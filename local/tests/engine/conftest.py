# SPDX-License-Identifier: GPL-3.0-or-later
"""A running engine with the packaged model in its store."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

MODEL = "smollm2:135m"


@dataclass(frozen=True)
class Engine:
    """Where an engine listens, and its process."""

    port: int
    models: Path
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    def json(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, text = self.request(method, path, body)
        return status, json.loads(text)

    def post(self, path: str, **body: Any) -> tuple[int, Any]:
        """A request without a stream."""
        return self.json("POST", path, {"model": MODEL, "stream": False, **body})

    def lines(self, path: str, **body: Any) -> list[Any]:
        """The parts of a stream."""
        status, text = self.request("POST", path, {"model": MODEL, **body})
        assert status == 200, text
        return [json.loads(line) for line in text.splitlines()]

    def loaded(self, model: str = MODEL) -> list[Any]:
        """What /api/ps says of a model; another test may have loaded others."""
        return [one for one in self.json("GET", "/api/ps")[1]["models"] if one["name"] == model]

    def command(self, *args: str) -> subprocess.CompletedProcess[str]:
        """A run of the command-line interface against this server."""
        return subprocess.run(
            [sys.executable, "-m", "pasture_local.engine.cli", *args],
            env={**os.environ, "OLLAMA_HOST": f"127.0.0.1:{self.port}"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@contextmanager
def running(models: Path, **environment: str) -> Iterator[Engine]:
    """An engine on a free port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pasture_local.engine.cli", "serve"],
        env={**os.environ, "OLLAMA_HOST": "127.0.0.1:0", "OLLAMA_MODELS": str(models), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        match = re.search(r"Listening on \S+:(\d+)", process.stdout.readline())
        assert match, "the engine did not start"
        yield Engine(int(match[1]), models, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running(tmp_path_factory.mktemp("models"), OLLAMA_NUM_PARALLEL="2", OLLAMA_NOPRUNE="1") as engine:
        assert engine.post("/api/pull") == (200, {"status": "success"})
        yield engine


@pytest.fixture
def start() -> Callable[..., AbstractContextManager[Engine]]:
    """Starts further engines."""
    return running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"engine", "start"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.integration)
