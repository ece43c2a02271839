# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills at every stage, duplicates, failing services: in the end one result for each document."""

from __future__ import annotations

import hashlib
import json
import random
import time
from pathlib import Path

import pytest
from fake_ollama import FakeOllama
from fault_worker import FAULTS, STAGES
from worker_cloud import Cloud, Worker, wait_for

SCRIPT = str(Path(__file__).with_name("fault_worker.py"))


def expected(text: str) -> str:
    question = json.dumps([f"Summarize.\n\n{text}"], ensure_ascii=False)
    return "answer " + hashlib.sha256(question.encode()).hexdigest()[:16]


def submit(cloud: Cloud, first: int, count: int, dice: random.Random) -> dict[str, str | None]:
    """Documents by key, with what is to become of each; None is a failure. Some events come twice."""
    documents: dict[str, str | None] = {}
    for number in range(first, first + count):
        key = f"folder {number % 7}/ü-{number}.txt"
        text = "" if number % 10 == 7 else f"Document {number}. " + "Text. " * dice.randrange(1, 60)
        event = cloud.put(key, text)
        documents[key] = expected(text) if text else None
        if number % 10 == 3:
            cloud.send(json.dumps(event))
    return documents


def check(cloud: Cloud, documents: dict[str, str | None]) -> None:
    good = {f"summarize/{key}.txt": text for key, text in documents.items() if text is not None}
    assert sorted(cloud.result_keys()) == sorted(good)
    for key, text in good.items():
        assert cloud.result(key) == text
        head = cloud.s3.head_object(Bucket=cloud.results, Key=key)
        assert cloud.provenance(key)["fingerprint"] == head["Metadata"]["pasture-fingerprint"]
    events = [event["detail"] for event in cloud.announced()]
    created = {e["data"]["document"]["url"]: e["id"] for e in events if e["type"] == "document-created"}
    failed = {e["data"]["document"]["url"] for e in events if e["type"] == "document-failed"}
    assert len(created) == len(good)
    assert len(failed) == len(documents) - len(good)
    # However often it was announced, it was the same event.
    assert len({e["id"] for e in events}) == len(documents)
    assert cloud.outstanding() == 0


@pytest.mark.slow
def test_kills_at_every_stage_lose_and_double_nothing(
    endpoint: str, ollama: FakeOllama, tmp_path: Path
) -> None:
    _run(endpoint, ollama, tmp_path, documents=40, lives=len(STAGES), seconds=150)


@pytest.mark.slow
def test_three_hundred_documents_survive_kills_duplicates_and_failing_services(
    endpoint: str, ollama: FakeOllama, tmp_path: Path
) -> None:
    rates = {"s3": 0.08, "sqs": 0.1, "events": 0.2, "ssm": 0.5}
    _run(endpoint, ollama, tmp_path, documents=300, lives=3 * len(STAGES), rates=rates, seconds=400)
    injected = set((tmp_path / "faults").read_text().splitlines())
    wanted = {f"{service} {fault}" for service in rates for fault in FAULTS if fault != "half done"}
    assert injected >= wanted | {"s3 half done", "events half done"}


def _run(
    endpoint: str,
    ollama: FakeOllama,
    folder: Path,
    *,
    documents: int,
    lives: int,
    seconds: float,
    rates: dict[str, float] | None = None,
) -> None:
    dice = random.Random(7)  # noqa: S311 - the same faults each time
    cloud = Cloud(endpoint, max_receives=1000)
    # Every version of a result that is ever written is kept, so that two of one document would show.
    cloud.s3.put_bucket_versioning(Bucket=cloud.results, VersioningConfiguration={"Status": "Enabled"})
    wanted = submit(cloud, 0, documents, dice)
    stages = list(STAGES) * (lives // len(STAGES))
    dice.shuffle(stages)
    workers: list[Worker] = []
    killed = 0
    deadline = time.monotonic() + seconds

    def start(stage: str) -> None:
        """A worker that is killed at a stage, or at none."""
        often = stage not in ("bury", "announce-failure", "receive")
        faults = {
            "FAULT_STAGE": stage,
            "FAULT_COUNT": str(dice.randrange(1, 6) if often else 1),
            "FAULT_RATES": json.dumps(rates or {}),
            "FAULT_SEED": str(dice.randrange(10**6)),
            "FAULT_LOG": str(folder / "faults"),
            # Botocore tries nothing again, so every fault is the worker's to deal with.
            "AWS_MAX_ATTEMPTS": "1",
        }
        environment = cloud.settings(
            OLLAMA_HOST=ollama.url, PASTURE_VISIBILITY_SECONDS="6", PASTURE_SLOTS="2", **faults
        )
        workers.append(Worker(environment, folder / f"w{len(stages)}-{killed}", SCRIPT))

    try:
        while cloud.outstanding() or killed < lives:
            assert time.monotonic() < deadline, f"{cloud.outstanding()} left; " + workers[-1].text()[-2000:]
            for worker in [w for w in workers if w.process.poll() is not None]:
                assert worker.process.returncode == -9, worker.text()[-3000:]
                killed += 1
                workers.remove(worker)
                worker.__exit__()
            while stages and len(workers) < 3:
                start(stages.pop())
            # Whoever is to be killed gets documents until it is; who finishes the rest comes after them.
            if killed < lives and cloud.outstanding() < 10:
                wanted |= submit(cloud, len(wanted), 10, dice)
            elif killed == lives and not workers:
                start("")
            time.sleep(0.2)
        for worker in workers:
            worker.stop()
    finally:
        for worker in workers:
            worker.__exit__()
    assert killed == lives
    check(cloud, wanted)
    versions = cloud.s3.get_paginator("list_object_versions").paginate(Bucket=cloud.results)
    names = [
        v["Key"] for page in versions for v in page.get("Versions") or [] if "provenance" not in v["Key"]
    ]
    assert len(names) == len(set(names)), "a result was written twice"


def test_two_workers_with_the_same_message_write_one_result(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path
) -> None:
    cloud.s3.put_bucket_versioning(Bucket=cloud.results, VersioningConfiguration={"Status": "Enabled"})
    # Both infer at the same time, and the answers differ, as those of a model do.
    ollama.seconds = 3.0
    numbers = iter(range(100))
    ollama.answer = lambda body: f"answer {next(numbers)}"
    event = cloud.put("a.txt", "text")
    other = cloud.sqs.create_queue(QueueName=f"other-{cloud.id}")["QueueUrl"]
    cloud.sqs.send_message(QueueUrl=other, MessageBody=json.dumps(event))
    settings = cloud.settings(OLLAMA_HOST=ollama.url)
    with (
        Worker(settings, tmp_path / "one") as one,
        Worker({**settings, "PASTURE_QUEUE_URL": other}, tmp_path / "two") as two,
    ):
        wait_for(lambda: len(ollama.chats) == 2, worker=one)
        wait_for(
            lambda: all(
                "DocumentsSucceeded" in w.text() or "DocumentsRepeated" in w.text() for w in (one, two)
            ),
            30,
        )
        assert one.stop() == 0
        assert two.stop() == 0
    assert len(ollama.chats) == 2
    versions = cloud.s3.list_object_versions(Bucket=cloud.results)["Versions"]
    assert [version["Key"] for version in versions].count("summarize/a.txt.txt") == 1
    assert len({entry["detail"]["id"] for entry in cloud.announced()}) == 1


def test_a_document_that_comes_twice_at_once_is_inferred_once(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path
) -> None:
    ollama.seconds = 1.0
    event = cloud.put("a.txt", "text")
    cloud.send(json.dumps(event))
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url, PASTURE_SLOTS="2"), tmp_path) as worker:
        wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    assert len(ollama.chats) == 1
    assert len(cloud.announced()) == 2


def test_a_changed_prompt_is_a_new_result(cloud: Cloud, ollama: FakeOllama, tmp_path: Path) -> None:
    event = cloud.put("a.txt", "text", event=False)
    for prompt in ("Summarize.", "Translate."):
        cloud.send(json.dumps(event))
        with Worker(cloud.settings(OLLAMA_HOST=ollama.url, PASTURE_PROMPT=prompt), tmp_path) as worker:
            wait_for(lambda: cloud.outstanding() == 0, worker=worker)
            assert worker.stop() == 0
    assert len(ollama.chats) == 2
    assert len({entry["detail"]["id"] for entry in cloud.announced()}) == 2


def test_a_late_event_does_not_replace_the_result_of_a_later_version(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path
) -> None:
    first = cloud.put("a.txt", "first", event=False)
    second = cloud.put("a.txt", "second", event=False)
    first["detail"]["object"]["sequencer"], second["detail"]["object"]["sequencer"] = "0A1", "0A2"
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url), tmp_path) as worker:
        for event in (second, first):
            cloud.send(json.dumps(event))
            wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    assert ollama.prompts() == ["Summarize.\n\nsecond"]
