# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads: in memory, or one after the other to the place for large ones."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from worker_cloud import Cloud, wait_for

from ollama_worker.errors import PermanentError, RetryableError, StoppingError
from ollama_worker.events import Document
from ollama_worker.source import LoadedDocument, Spool, SupersededError, load

LARGE = os.urandom(3000)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path, max_memory_bytes=1000)


def document(cloud: Cloud, key: str, data: bytes, *, size: int | None = None) -> Document:
    cloud.put(key, data, event=False)
    return Document(cloud.source, key, size=size)


@pytest.mark.parametrize("told", [True, False], ids=["size told", "size not told"])
def test_large_documents_lie_on_disk_one_at_a_time(
    cloud: Cloud, spool: Spool, tmp_path: Path, told: bool
) -> None:
    size = len(LARGE) if told else None
    documents = [document(cloud, f"{n}.bin", LARGE, size=size) for n in range(3)]
    first = load(cloud.s3, documents[0], max_bytes=5000, spool=spool)
    assert first.data is None
    assert first.path is not None
    assert first.path.read_bytes() == LARGE
    rest: list[LoadedDocument] = []

    def load_next() -> None:
        rest.extend(load(cloud.s3, one, max_bytes=5000, spool=spool) for one in documents[1:])

    thread = threading.Thread(target=load_next)
    thread.start()
    small = load(cloud.s3, document(cloud, "small.txt", b"small"), max_bytes=5000, spool=spool)
    assert small.data == b"small"
    thread.join(0.5)
    assert rest == []
    assert len(list(tmp_path.iterdir())) == 1
    first.discard()
    wait_for(lambda: len(rest) == 1, 10)
    rest[0].discard()
    # Once only: a second place would let two in.
    rest[0].discard()
    thread.join(10)
    assert len(rest) == 2
    assert len(list(tmp_path.iterdir())) == 1
    rest[1].discard()
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_fails_leaves_the_place_and_nothing_behind(
    cloud: Cloud, spool: Spool, tmp_path: Path
) -> None:
    good = document(cloud, "good.bin", LARGE, size=len(LARGE))

    class Broken:
        def get_object(self, **arguments: Any) -> Any:
            answer = cloud.s3.get_object(**arguments)
            answer["Body"].iter_chunks = self.chunks
            return answer

        def chunks(self, _size: int) -> Any:
            yield LARGE[:1000]
            raise ConnectionResetError("injected")

    with pytest.raises(RetryableError):
        load(Broken(), good, max_bytes=5000, spool=spool)
    with pytest.raises(PermanentError, match="NoSuchKey"):
        load(cloud.s3, Document(cloud.source, "gone", size=3000), max_bytes=5000, spool=spool)
    with pytest.raises(SupersededError):
        load(
            cloud.s3, Document(cloud.source, "good.bin", etag="other", size=3000), max_bytes=5000, spool=spool
        )
    with pytest.raises(PermanentError, match="are allowed"):
        load(cloud.s3, Document(cloud.source, "good.bin"), max_bytes=2000, spool=spool)
    assert list(tmp_path.iterdir()) == []
    load(cloud.s3, good, max_bytes=5000, spool=spool).discard()


def test_nobody_waits_for_the_place_when_the_worker_stops(tmp_path: Path) -> None:
    stopping = threading.Event()
    spool = Spool(tmp_path, 1000, stopping.is_set)
    spool.take()
    stopping.set()
    with pytest.raises(StoppingError):
        spool.take()
