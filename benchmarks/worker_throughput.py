# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the worker's throughput with an engine of known speed, beside one document at a time.

    python benchmarks/worker_throughput.py                    # P = 1, 4 and 16 slots, 400 documents each
    python benchmarks/worker_throughput.py --slots 4 --documents 100
    python benchmarks/worker_throughput.py --backlog 10000    # memory with a long queue

The engine answers after a fixed time and runs P requests side by side, so P/s documents a second is what
could be had. The baseline is the source system's way: a loop that receives one message, loads, asks, stores,
announces and deletes before it takes the next. Time is counted from the first question that reaches the
engine to the last deletion. Everything is on this machine and on loopback: AWS is moto's server.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "image" / "tests"))

from fake_ollama import FakeOllama  # noqa: E402
from worker_cloud import Cloud, Worker, start_moto  # noqa: E402

# Seconds of one answer: such that moto, which serves some 100 calls a second, is not what is measured.
SECONDS = {1: 0.5, 4: 1.0, 16: 4.0}
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Outcome:
    """What one run measured."""

    who: str
    slots: int
    seconds_per_answer: float
    documents: int
    elapsed: float
    per_second: float
    share_of_possible: float
    cpu_ms_per_document: float
    peak_rss_mib: float


class OneAtATime(threading.Thread):
    """The baseline: nothing overlaps."""

    def __init__(self, cloud: Cloud, engine: FakeOllama, documents: int) -> None:
        super().__init__()
        self.cloud, self.engine, self.documents = cloud, engine, documents

    def run(self) -> None:
        import httpx  # noqa: PLC0415

        cloud = self.cloud
        done = 0
        with httpx.Client(base_url=self.engine.url, timeout=60, trust_env=False) as http:
            while done < self.documents:
                answer = cloud.sqs.receive_message(
                    QueueUrl=cloud.queue, MaxNumberOfMessages=1, WaitTimeSeconds=5
                )
                for message in answer.get("Messages", []):
                    entry = json.loads(message["Body"])["detail"]
                    key = entry["object"]["key"]
                    body = (
                        cloud.s3.get_object(Bucket=entry["bucket"]["name"], Key=key)["Body"].read().decode()
                    )
                    question = {"model": "tiny:latest", "messages": [{"role": "user", "content": body}]}
                    text = http.post("/api/chat", json={**question, "options": {"num_ctx": 8192}}).text
                    cloud.s3.put_object(Bucket=cloud.results, Key=f"baseline/{key}", Body=text.encode())
                    detail = json.dumps({"key": key})
                    cloud.events.put_events(
                        Entries=[
                            {"Source": "x", "DetailType": "y", "Detail": detail, "EventBusName": cloud.bus}
                        ]
                    )
                    cloud.sqs.delete_message(QueueUrl=cloud.queue, ReceiptHandle=message["ReceiptHandle"])
                    done += 1


def fill(cloud: Cloud, documents: int) -> None:
    for number in range(documents):
        cloud.put(f"{number:05}.txt", f"Document {number}. " + "It is a small one. " * 20)


def measure_worker(endpoint: str, slots: int, seconds: float, documents: int, folder: Path) -> Outcome:
    cloud = Cloud(endpoint)
    fill(cloud, documents)
    with FakeOllama(parallel=slots, seconds=seconds) as engine:
        settings = cloud.settings(OLLAMA_HOST=engine.url, PASTURE_SLOTS=str(slots), PASTURE_LOG_LEVEL="INFO")
        with Worker(settings, folder) as worker:
            return _observe(engine, cloud, worker, slots, seconds, documents)


def _observe(
    engine: FakeOllama, cloud: Cloud, worker: Worker, slots: int, seconds: float, documents: int
) -> Outcome:
    pid = worker.process.pid
    while not engine.busy:
        time.sleep(0.005)
    begun, cpu = time.monotonic(), _cpu(pid)
    while len(engine.chats) < documents:
        time.sleep(0.05)
    while cloud.outstanding():
        time.sleep(0.05)
    elapsed = time.monotonic() - begun
    used = _cpu(pid) - cpu
    peak = _peak(pid)
    worker.stop()
    return _outcome("worker", slots, seconds, documents, elapsed, used, peak)


def measure_baseline(endpoint: str, slots: int, seconds: float, documents: int) -> Outcome:
    cloud = Cloud(endpoint)
    fill(cloud, documents)
    with FakeOllama(parallel=slots, seconds=seconds) as engine:
        baseline = OneAtATime(cloud, engine, documents)
        begun, cpu = time.monotonic(), _self_cpu()
        baseline.start()
        baseline.join()
        elapsed = time.monotonic() - begun
        used = _self_cpu() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return _outcome("one at a time", slots, seconds, documents, elapsed, used, peak)


def _outcome(
    who: str, slots: int, seconds: float, documents: int, elapsed: float, cpu: float, peak: float
) -> Outcome:
    # The last wave of answers may be smaller than P: what could be had is whole waves.
    possible = -(-documents // slots) * seconds
    return Outcome(
        who,
        slots,
        seconds,
        documents,
        round(elapsed, 2),
        round(documents / elapsed, 3),
        round(possible / elapsed, 4),
        round(1000 * cpu / documents, 2),
        round(peak, 1),
    )


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def _self_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def measure_backlog(endpoint: str, messages: int, folder: Path) -> Outcome:
    """Resident memory while a long queue waits: 200 documents, and their events again and again."""
    cloud = Cloud(endpoint)
    events = [cloud.put(f"{n:05}.txt", f"Document {n}. " * 40, event=False) for n in range(200)]
    for start in range(0, messages, 10):
        bodies = [json.dumps(events[number % len(events)]) for number in range(start, start + 10)]
        entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
        cloud.sqs.send_message_batch(QueueUrl=cloud.queue, Entries=entries)
    with FakeOllama(parallel=4, seconds=0.2) as engine:
        settings = cloud.settings(OLLAMA_HOST=engine.url, PASTURE_SLOTS="4")
        with Worker(settings, folder) as worker:
            while not engine.busy:
                time.sleep(0.05)
            begun, cpu = time.monotonic(), _cpu(worker.process.pid)
            time.sleep(30)
            elapsed = time.monotonic() - begun
            used = _cpu(worker.process.pid) - cpu
            ended = worker.text().count('"document processed"') + worker.text().count('"document repeated"')
            peak = _peak(worker.process.pid)
            worker.process.kill()
    return _outcome(f"{messages} waiting", 4, 0.2, max(1, ended), elapsed, used, peak)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--slots", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--baseline-documents", type=int, default=40)
    parser.add_argument("--backlog", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    process, endpoint = start_moto()
    outcomes = []
    try:
        with tempfile.TemporaryDirectory(prefix="worker-throughput-") as name:
            folder = Path(name)
            for slots in options.slots if not options.backlog else []:
                seconds = SECONDS.get(slots, max(0.5, slots / 4))
                for outcome in (
                    measure_worker(endpoint, slots, seconds, options.documents, folder),
                    measure_baseline(endpoint, slots, seconds, options.baseline_documents),
                ):
                    outcomes.append(outcome)
                    _print(outcome)
            if options.backlog:
                outcomes.append(measure_backlog(endpoint, options.backlog, folder))
                _print(outcomes[-1])
    finally:
        process.terminate()
        process.wait(10)
    if options.json:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=2) + "\n")
    return 0


def _print(outcome: Outcome) -> None:
    print(
        f"{outcome.who:>16}  P={outcome.slots:<3} s={outcome.seconds_per_answer:<5} "
        f"{outcome.documents:>5} documents in {outcome.elapsed:8.2f} s  {outcome.per_second:7.3f}/s  "
        f"{outcome.share_of_possible:7.1%} of P/s  {outcome.cpu_ms_per_document:6.2f} ms CPU each  "
        f"{outcome.peak_rss_mib:6.1f} MiB",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
