# SPDX-License-Identifier: GPL-3.0-or-later
"""The image at work: documents in, results out, and a stop that loses nothing."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import machine
import pytest
from worker_cloud import Cloud, wait_for

MODEL = "smollm2:135m"
NOTE = (
    "The library opens at nine in the morning and closes at six in the evening. On Sundays it is closed. "
    "Members may borrow five books for three weeks."
)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that stands for the file system of the models, as its access point makes it."""
    folder = tmp_path_factory.mktemp("store")
    os.chown(folder, 1000, 1000)
    return folder


class Running:
    """A container of the image, in the background."""

    def __init__(self, image: str, cloud: Cloud, store: Path) -> None:
        self.name = f"pasture-test-{uuid.uuid4().hex[:8]}"
        name, tag = MODEL.split(":")
        cloud.define(name=name, tag=tag, context_length=2048)
        settings = cloud.settings(
            PASTURE_NUM_CTX="1024",
            PASTURE_PROMPT="Summarize the document in one sentence.",
            PASTURE_OPTIONS=json.dumps({"num_predict": 40, "seed": 1, "temperature": 0, "num_thread": 1}),
            PASTURE_ON_LENGTH="accept",
        )
        environment = [option for key, value in settings.items() for option in ("--env", f"{key}={value}")]
        machine.podman(
            *(*machine.RUN, "--detach", "--name", self.name, *machine.HARDENED),
            *("--volume", f"{store}:/mnt/models", *environment, image),
        )

    def log(self) -> str:
        result = subprocess.run(
            ["podman", "logs", self.name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return result.stdout[-6000:]

    def running(self) -> bool:
        state = machine.podman("inspect", "--format", "{{.State.Running}}", self.name)
        return state.stdout.strip() == "true"

    def stop(self, seconds: int = 60) -> int:
        """Send SIGTERM, as ECS does, and wait for the exit status."""
        machine.podman("stop", "--time", str(seconds), self.name)
        return int(machine.podman("inspect", "--format", "{{.State.ExitCode}}", self.name).stdout)

    def health(self) -> int:
        return machine.podman("exec", self.name, "ollama-worker", "health", check=False).returncode


@contextmanager
def running(image: str, cloud: Cloud, store: Path) -> Iterator[Running]:
    container = Running(image, cloud, store)
    try:
        yield container
    finally:
        print(container.log())
        machine.podman("rm", "--force", "--time", "0", container.name)


def test_documents_are_processed_and_a_stop_ends_it_well(image: str, cloud: Cloud, store: Path) -> None:
    cloud.put("note.txt", NOTE)
    cloud.put("broken.txt", b"\x00\x01\xff\xfe" * 64)
    with running(image, cloud, store) as container:
        wait_for(lambda: cloud.outstanding() == 0 or not container.running(), 240)
        assert cloud.result_keys() == ["summarize/note.txt.txt"], container.log()
        assert container.health() == 0
        assert container.stop() == 0
    assert cloud.result("summarize/note.txt.txt").strip()
    provenance = cloud.provenance("summarize/note.txt.txt")
    assert provenance["model"]["name"] == "smollm2"
    assert provenance["usage"]["characters_dropped"] == 0
    assert {event["detail-type"] for event in cloud.announced()} == {"document-created", "document-failed"}
    (dead,) = cloud.messages(cloud.dlq)
    assert dead["MessageAttributes"]["Reason"]["StringValue"]


def test_a_stop_in_the_middle_hands_back_what_was_not_done(image: str, cloud: Cloud, store: Path) -> None:
    keys = [f"note-{n}.txt" for n in range(12)]
    for n, key in enumerate(keys):
        cloud.put(key, f"Note {n}. {NOTE}")
    with running(image, cloud, store) as container:
        wait_for(lambda: cloud.result_keys() or not container.running(), 240)
        began = time.monotonic()
        assert container.stop() == 0, container.log()
        assert time.monotonic() - began < 60
    done = {key.removeprefix("summarize/").removesuffix(".txt") for key in cloud.result_keys()}
    assert done
    assert len(done) < len(keys), "all were done before the stop, which shows nothing"
    waiting = []
    deadline = time.monotonic() + 30
    # What was handed back becomes visible after the delay that it was given.
    while len(waiting) < len(keys) - len(done) and time.monotonic() < deadline:
        waiting += cloud.messages(cloud.queue)
        time.sleep(0.2)
    returned = {json.loads(message["Body"])["detail"]["object"]["key"] for message in waiting}
    assert returned == set(keys) - done
    assert not cloud.messages(cloud.dlq)
