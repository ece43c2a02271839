# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the worker's throughput with an engine of known speed, beside one document at a time.

    python benchmarks/worker_throughput.py                    # P = 1, 4 and 16 slots, 400 documents each
    python benchmarks/worker_throughput.py --slots 4 --documents 100
    python benchmarks/worker_throughput.py --seconds 0.05     # answers as short as embeddings
    python benchmarks/worker_throughput.py --backlog 10000    # memory with a long queue

The engine answers after `--seconds` and runs P requests side by side, so P/s documents a second is what could be
had. The baseline is the source system's way: a loop that receives one message, loads, asks, stores, announces
and deletes before it takes the next. Time is counted from the first question that reaches the engine to
the last deletion. AWS is `worker_aws.py`, on this machine, with a round trip of its own for each call.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from worker_harness import Aws, aws, cpu, load, peak_rss, save, wait_until_drained

from fake_ollama import FakeOllama  # isort: skip (worker_harness puts its folder on the path)
from worker_cloud import Worker  # isort: skip


@dataclass
class Outcome:
    """What one run measured. `share_of_possible` is of P/s, which is what the engine could do."""

    who: str
    slots: int
    seconds_per_answer: float
    documents: int
    elapsed: float
    per_second: float
    share_of_possible: float
    cpu_ms_per_document: float | None
    peak_rss_mib: float | None


def one_at_a_time(cloud: Aws, engine: FakeOllama, documents: int) -> None:
    """The baseline: nothing overlaps."""
    import httpx  # noqa: PLC0415 - the worker does not need it here

    with httpx.Client(base_url=engine.url, timeout=60, trust_env=False) as http:
        for _ in range(documents):
            (message,) = cloud.sqs.receive_message(QueueUrl=cloud.queue, WaitTimeSeconds=5)["Messages"]
            entry = json.loads(message["Body"])["detail"]
            key = entry["object"]["key"]
            body = cloud.s3.get_object(Bucket=entry["bucket"]["name"], Key=key)["Body"].read().decode()
            question = {"model": "tiny:latest", "messages": [{"role": "user", "content": body}]}
            text = http.post("/api/chat", json={**question, "options": {"num_ctx": 8192}}).text
            cloud.s3.put_object(Bucket="results", Key=f"baseline/{key}", Body=text.encode())
            detail = json.dumps({"key": key})
            cloud.events.put_events(Entries=[{"Source": "x", "DetailType": "y", "Detail": detail}])
            cloud.sqs.delete_message(QueueUrl=cloud.queue, ReceiptHandle=message["ReceiptHandle"])


def measure_worker(slots: int, seconds: float, documents: int, latency: float, folder: Path) -> Outcome:
    sizes = ("--documents", str(documents), "--messages", str(documents), "--latency", str(latency))
    with aws(*sizes) as cloud, FakeOllama(parallel=slots, seconds=seconds) as engine:
        settings = cloud.environment(OLLAMA_HOST=engine.url, PASTURE_SLOTS=str(slots))
        with Worker(settings, folder) as worker:
            pid = worker.process.pid
            while not engine.busy:
                time.sleep(0.002)
            begun, used = time.monotonic(), cpu(pid)
            while len(engine.chats) < documents:
                time.sleep(0.02)
            wait_until_drained(cloud, 0.02)
            elapsed, used = time.monotonic() - begun, cpu(pid) - used
            rss = peak_rss(pid)
            worker.stop()
    return outcome("worker", slots, seconds, documents, elapsed, used, rss)


def measure_baseline(slots: int, seconds: float, documents: int, latency: float) -> Outcome:
    sizes = ("--documents", str(documents), "--messages", str(documents), "--latency", str(latency))
    with aws(*sizes) as cloud, FakeOllama(parallel=slots, seconds=seconds) as engine:
        begun = time.monotonic()
        one_at_a_time(cloud, engine, documents)
        elapsed = time.monotonic() - begun
    return outcome("one at a time", slots, seconds, documents, elapsed)


def measure_backlog(messages: int, seconds: float, latency: float, folder: Path) -> Outcome:
    """Resident memory while a long queue waits: it is worked on for `seconds`."""
    slots, answer = 16, 1.0
    sizes = ("--documents", str(messages), "--messages", str(messages), "--latency", str(latency))
    with aws(*sizes) as cloud, FakeOllama(parallel=slots, seconds=answer) as engine:
        settings = cloud.environment(OLLAMA_HOST=engine.url, PASTURE_SLOTS=str(slots))
        with Worker(settings, folder) as worker:
            while not engine.busy:
                time.sleep(0.05)
            begun, used = time.monotonic(), cpu(worker.process.pid)
            before = len(engine.chats)
            time.sleep(seconds)
            done = len(engine.chats) - before
            elapsed, used = time.monotonic() - begun, cpu(worker.process.pid) - used
            rss = peak_rss(worker.process.pid)
            if cloud.outstanding() < messages / 2:
                raise RuntimeError("the queue was not long any more")
    return outcome(f"{messages} waiting", slots, answer, done, elapsed, used, rss)


def outcome(
    who: str,
    slots: int,
    seconds: float,
    documents: int,
    elapsed: float,
    used: float | None = None,
    rss: float | None = None,
) -> Outcome:
    rate = documents / elapsed
    return Outcome(
        who,
        slots,
        seconds,
        documents,
        round(elapsed, 2),
        round(rate, 3),
        round(rate * seconds / slots, 4),
        None if used is None else round(1000 * used / documents, 2),
        None if rss is None else round(rss, 1),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--slots", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=1.0, help="of one answer")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds of one call of AWS")
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--baseline-documents", type=int, default=40)
    parser.add_argument("--backlog", type=int, default=0, help="measure this instead, with so many messages")
    parser.add_argument("--backlog-seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"load before: {load():.2f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="worker-throughput-") as name:
        folder = Path(name)
        if options.backlog:
            rows.append(measure_backlog(options.backlog, options.backlog_seconds, options.latency, folder))
            report(rows[-1])
        for slots in options.slots if not options.backlog else []:
            rows.append(measure_worker(slots, options.seconds, options.documents, options.latency, folder))
            report(rows[-1])
            rows.append(measure_baseline(slots, options.seconds, options.baseline_documents, options.latency))
            report(rows[-1])
    save(options.json, [asdict(row) for row in rows])
    return 0


def report(row: Outcome) -> None:
    own = "" if row.cpu_ms_per_document is None else f"{row.cpu_ms_per_document:6.2f} ms CPU each  "
    own += "" if row.peak_rss_mib is None else f"{row.peak_rss_mib:6.1f} MiB"
    print(
        f"{row.who:>16}  P={row.slots:<3} s={row.seconds_per_answer:<5} {row.documents:>5} documents in "
        f"{row.elapsed:8.2f} s  {row.per_second:7.3f}/s  {row.share_of_possible:7.1%} of P/s  {own}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
