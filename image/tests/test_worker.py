# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker as a process, against moto and a fake engine."""

from __future__ import annotations

import json
from pathlib import Path

from fake_ollama import FakeOllama
from worker_cloud import Cloud, Worker, wait_for


def test_a_document_becomes_a_result_with_provenance_and_an_event(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path
) -> None:
    ollama.answer = lambda body: "A short summary."
    cloud.put("folder/a report+ü.txt", "The quick brown fox.")
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url), tmp_path) as worker:
        wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    key = "summarize/folder/a report+ü.txt.txt"
    assert cloud.result(key) == "A short summary."
    provenance = cloud.provenance(key)
    assert provenance["usage"]["parts"] == 1
    assert provenance["usage"]["characters_dropped"] == 0
    assert provenance["model"]["digest"] == ollama.digest
    # The first step's source is the document itself, in the provenance as in the event.
    assert provenance["source"]["url"] == provenance["document"]["url"]
    (event,) = cloud.announced()
    assert event["source"] == "/pasture/test/summarize"
    assert event["detail-type"] == "document-created"
    data = event["detail"]["data"]
    assert data["document"]["url"] == f"s3://{cloud.results}/summarize/folder/a%20report%2B%C3%BC.txt.txt"
    assert data["document"]["type"] == "text/plain"
    assert data["source"]["url"] == f"s3://{cloud.source}/folder/a%20report%2B%C3%BC.txt"
    assert data["callStack"] == ["summarize", "s3"]
    (chat,) = ollama.chats
    assert chat["messages"][-1]["content"] == "Summarize.\n\nThe quick brown fox."
    assert chat["truncate"] is False
    assert chat["shift"] is False
    assert chat["options"]["num_ctx"] == 8192


def test_a_long_document_is_sent_in_full_and_combined(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path
) -> None:
    text = "\n\n".join(f"Paragraph {n}. " + "lorem ipsum dolor sit amet " * 12 for n in range(60))
    cloud.put("long.md", text)
    settings = cloud.settings(OLLAMA_HOST=ollama.url, PASTURE_NUM_CTX="1024")
    with Worker(settings, tmp_path) as worker:
        wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    usage = cloud.provenance("summarize/long.md.txt")["usage"]
    assert usage["parts"] > 5
    assert usage["characters_sent"] == usage["characters"] == len(text)
    prefix = "Summarize.\n\n"
    parts = [p.removeprefix(prefix) for p in ollama.prompts() if p.startswith(prefix)]
    assert "".join(parts) == text


def test_a_permanent_failure_is_announced_and_buried_with_its_reason(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path
) -> None:
    cloud.put("bad.txt", b"\x00\x01\x02\xff\xfe\x00" * 50)
    cloud.put("empty.txt", b"")
    cloud.send("no json")
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url), tmp_path) as worker:
        wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    buried = cloud.messages(cloud.dlq)
    slugs = sorted(message["MessageAttributes"]["ErrorType"]["StringValue"] for message in buried)
    assert slugs == ["empty-document", "malformed-event", "undecodable-text"]
    assert all(message["MessageAttributes"]["Reason"]["StringValue"] for message in buried)
    events = cloud.announced()
    assert sorted(event["detail"]["data"]["error"]["type"] for event in events) == [
        "empty-document",
        "undecodable-text",
    ]
    assert {event["detail-type"] for event in events} == {"document-failed"}
    assert ollama.chats == []


def test_a_redelivered_document_is_announced_again_and_not_inferred(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path
) -> None:
    event = cloud.put("a.txt", "text")
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url), tmp_path) as worker:
        wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        cloud.send(json.dumps(event))
        wait_for(lambda: "document repeated" in worker.text() and cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    assert len(ollama.chats) == 1
    first, second = (entry["detail"] for entry in cloud.announced())
    assert first["id"] == second["id"]
