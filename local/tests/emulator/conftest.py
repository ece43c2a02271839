# SPDX-License-Identifier: GPL-3.0-or-later
"""Two emulators, with and without the patches.

A test marked ``mends("name", ...)`` is run against both: it has to pass on the patched one and to fail on moto
as it is, so that a patch which a newer moto no longer needs is noticed.
"""

from __future__ import annotations

import http.server
import json
import queue
import re
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

REGION = "eu-west-1"
ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Cloud:
    """A running emulator."""

    url: str

    def client(self, service: str, **credentials: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            config=Config(
                retries={"total_max_attempts": 1}, read_timeout=20, s3={"addressing_style": "path"}
            ),
            **(credentials or {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}),
        )


class Functions:
    """What was POSTed for Lambda functions."""

    def __init__(self) -> None:
        received: queue.Queue[dict[str, Any]] = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self.received = received
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def functions() -> Iterator[Functions]:
    functions = Functions()
    yield functions
    functions.stop()


def _emulator(*options: str) -> Iterator[Cloud]:
    command = [sys.executable, "-m", "pasture_local.emulator", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        match = re.search(r"http://\S+", process.stdout.readline())
        assert match, "the emulator did not start"
        yield Cloud(match[0])
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file to which the patched emulator records its calls."""
    return tmp_path_factory.mktemp("recorded") / "calls.jsonl"


@pytest.fixture(scope="session")
def patched(functions: Functions, recorded: Path) -> Iterator[Cloud]:
    yield from _emulator("--functions-url", functions.url, "--record", str(recorded))


@pytest.fixture(scope="session")
def unpatched() -> Iterator[Cloud]:
    yield from _emulator("--unpatched")


@pytest.fixture
def cloud(request: pytest.FixtureRequest) -> Cloud:
    cloud: Cloud = request.getfixturevalue(getattr(request, "param", "patched"))
    return cloud


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"pasture-{uuid.uuid4().hex[:8]}"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "mends(*names): the patches without which the test fails")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cloud" in metafunc.fixturenames and metafunc.definition.get_closest_marker("mends"):
        without = pytest.param(
            "unpatched", marks=pytest.mark.xfail(strict=True, reason="what the patch mends")
        )
        metafunc.parametrize("cloud", ["patched", without], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "cloud" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.integration)
