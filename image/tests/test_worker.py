# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker as a process, against the emulator and a fake engine."""

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


FACT = " The password is swordfish-7731. "
#: Inputs larger than the context of 1,024 tokens, each with the fact in one place only. No part of one is like
#: another, so that each has one place in it.
LONG = {
    "beginning.md": FACT + "\n\n".join(f"## Part {n}\n\n" + "lorem ipsum dolor " * 20 for n in range(60)),
    "middle.csv": "".join(f"row {n},{n * 7},{FACT if n == 700 else 'nothing'}\n" for n in range(1400)),
    "end.txt": "".join(f"one line without a break {n} " for n in range(1400)) + FACT,
    "middle.srt": "".join(
        f"{n}\n00:{n // 60:02}:{n % 60:02},000 --> x\nÜber {FACT if n == 350 else 'das Wetter'}\n\n"
        for n in range(700)
    ),
    "end.json": json.dumps(
        [{"番号": n, "文": "これは長い文書です。"} for n in range(400)] + [FACT], ensure_ascii=False
    ),
}


def test_five_inputs_larger_than_the_context_are_sent_byte_for_byte(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path
) -> None:
    cloud.define(
        inputs=["text/plain", "text/markdown", "text/csv", "application/x-subrip", "application/json"]
    )
    # An engine that knows only what it was told: it hands on the fact when a question holds it.
    ollama.answer = lambda body: "swordfish-7731" if "swordfish" in body["messages"][-1]["content"] else "no."
    for key, text in LONG.items():
        cloud.put(key, text)
    settings = cloud.settings(
        OLLAMA_HOST=ollama.url,
        PASTURE_NUM_CTX="1024",
        PASTURE_SLOTS="2",
        PASTURE_PROMPT="{{ key }}: {{ document }}",
        PASTURE_COMBINE_PROMPT="COMBINE",
    )
    with Worker(settings, tmp_path) as worker:
        wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    for key, text in LONG.items():
        usage = cloud.provenance(f"summarize/{key}.txt")["usage"]
        parts = [p.removeprefix(f"{key}: ") for p in ollama.prompts() if p.startswith(f"{key}: ")]
        assert usage["parts"] == len(parts) > 5
        assert usage["characters_sent"] == usage["characters"] == len(text)
        # Parts are asked about side by side, so they are put into the order of the document again.
        assert "".join(sorted(parts, key=text.index)).encode() == text.encode()
        assert cloud.result(f"summarize/{key}.txt") == "swordfish-7731"


def test_what_is_logged_is_json_and_its_metrics_are_cloudwatchs(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path
) -> None:
    cloud.put("a.txt", "text")
    cloud.put("empty.txt", b"")
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url), tmp_path) as worker:
        wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    lines = [json.loads(line) for line in worker.text().splitlines()]
    assert all({"time", "level", "message"} <= set(line) for line in lines)
    seen: dict[str, float] = {}
    for line in lines:
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
            assert directive["Namespace"] == "Pasture"
            assert directive["Dimensions"] == [["Stack", "Processor"]]
            assert (line["Stack"], line["Processor"]) == ("test", "summarize")
            # What the specification asks for: a target for each name, and a number in it.
            seen |= {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]}
    assert all(isinstance(value, int | float) for value in seen.values())
    assert seen["DocumentsSucceeded"] == seen["DocumentsFailed"] == 1
    assert {"TokensIn", "TokensOut", "QueueWait", "EngineWait", "InferTime"} <= set(seen)
    # The phases of a cold start, each counted from the start of the process, and in their order.
    phases = ["ContainerStartTime", "ReadyTime", "FirstDocumentTime"]
    assert [seen[name] for name in phases] == sorted(seen[name] for name in phases)
    assert {"EngineUpTime", "ModelFoundTime", "ModelLoadTime"} <= set(seen)
    ended = [line for line in lines if line["message"] in ("document processed", "document failed")]
    assert all(line["chain_id"] for line in ended)
    (failed,) = [line for line in lines if line["message"] == "document failed"]
    assert failed["error"] == "The document is empty: it has 0 bytes."
    # A traceback is for surprises.
    assert not any("traceback" in line for line in lines)


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
        # Without its bytes: looking at the result is all that it costs.
        cloud.s3.delete_object(Bucket=cloud.source, Key="a.txt")
        cloud.send(json.dumps(event))
        wait_for(lambda: "document repeated" in worker.text() and cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    assert len(ollama.chats) == 1
    first, second = (entry["detail"] for entry in cloud.announced())
    assert first["id"] == second["id"]
