# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what is left of an engine's own speed when the worker stands before it.

    python benchmarks/worker_direct.py                    # the embedded engine and its model
    python benchmarks/worker_direct.py --documents 40 --slots 2

The same prompts, with the same options, go to the engine twice: directly, from as many threads as it has slots,
and through the worker, which receives, loads, stores, announces and deletes around each. The engine is started
anew for each run, since it remembers the beginnings of prompts. It computes on one thread for each slot: more
than there are processors would measure how they wait for each other.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import worker_aws
from worker_harness import aws, load, save, wait_until_drained

from ollama_worker.engine.client import Call, OllamaClient, Profile
from ollama_worker.engine.pull import Progress

from worker_cloud import Worker, free_port, wait_for  # isort: skip (worker_harness puts its folder on the path)

MODEL = "smollm2:135m"
NUM_CTX = 2048


@dataclass
class Outcome:
    """What one run measured."""

    who: str
    slots: int
    documents: int
    elapsed: float
    per_second: float


@contextmanager
def engine(store: Path, slots: int) -> Iterator[str]:
    """``pasture-engine serve`` with its model; yields its URL."""
    program = shutil.which("pasture-engine")
    if program is None:
        raise SystemExit(
            "There is no pasture-engine on the PATH: run it in the environment that `make demo` makes."
        )
    host = f"127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "OLLAMA_HOST": host,
        "OLLAMA_MODELS": str(store),
        "OLLAMA_NUM_PARALLEL": str(slots),
        "OLLAMA_KEEP_ALIVE": "-1",
    }
    command = [program, "serve"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet)
    try:
        client = OllamaClient(f"http://{host}", silence_seconds=60)
        wait_for(lambda: answers(client), 60)
        client.pull(MODEL, Progress(MODEL))
        client.close()
        yield f"http://{host}"
    finally:
        process.terminate()
        process.wait(10)


def answers(client: OllamaClient) -> bool:
    """Whether the engine is up."""
    try:
        return bool(client.version())
    except Exception:
        return False


def options(num_predict: int) -> dict[str, object]:
    """Of every call, the worker's and the direct ones."""
    return {"num_predict": num_predict, "num_thread": 1, "temperature": 0, "seed": 1}


def measure_direct(store: Path, slots: int, documents: int, num_predict: int) -> Outcome:
    with engine(store, slots) as url:
        client = OllamaClient(url, silence_seconds=600, connections=slots)
        profile = Profile(MODEL, {**options(num_predict), "num_ctx": NUM_CTX})
        client.preload(profile, embedding=False, timeout=120)
        calls = [Call(f"Summarize.\n\n{worker_aws.document(number)}") for number in range(documents)]
        with ThreadPoolExecutor(slots) as pool:
            begun = time.monotonic()
            for reply in pool.map(lambda call: client.chat(profile, call), calls):
                if not reply.text:
                    raise RuntimeError("an empty answer")
            elapsed = time.monotonic() - begun
        client.close()
    return Outcome("direct", slots, documents, round(elapsed, 2), round(documents / elapsed, 3))


def measure_worker(
    store: Path, slots: int, documents: int, num_predict: int, latency: float, folder: Path
) -> Outcome:
    model = json.dumps({"name": "smollm2", "tag": "135m"})
    sizes = ("--documents", str(documents), "--messages", str(documents), "--latency", str(latency))
    with engine(store, slots) as url, aws(*sizes, "--model", model) as cloud:
        settings = cloud.environment(
            OLLAMA_HOST=url,
            PASTURE_SLOTS=str(slots),
            PASTURE_NUM_CTX=str(NUM_CTX),
            PASTURE_OPTIONS=json.dumps(options(num_predict)),
            PASTURE_ON_LENGTH="accept",
        )
        with Worker(settings, folder) as worker:
            # Loading the model is not what is compared: the direct run had it loaded, too.
            wait_for(lambda: "model loaded" in worker.text(), 120, worker=worker)
            begun = time.monotonic()
            wait_until_drained(cloud, 0.1)
            elapsed = time.monotonic() - begun
            text = worker.text()
            worker.stop()
        done = text.count('"document processed"')
        if done != documents:
            raise RuntimeError(f"{done} of {documents} documents were processed: {text[-2000:]}")
    return Outcome("worker", slots, documents, round(elapsed, 2), round(documents / elapsed, 3))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--num-predict", type=int, default=32, help="tokens of an answer at most")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds of one call of AWS")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each kind, in turn")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows: list[Outcome] = []
    print(f"load before: {load():.2f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="worker-direct-") as name:
        folder = Path(name)
        store = folder / "models"
        for _ in range(given.rounds):
            rows.append(measure_direct(store, given.slots, given.documents, given.num_predict))
            report(rows[-1])
            rows.append(
                measure_worker(store, given.slots, given.documents, given.num_predict, given.latency, folder)
            )
            report(rows[-1])
    share = total("direct", rows) / total("worker", rows)
    print(f"The worker does {share:.1%} of what the engine does when it is fed directly.")
    save(given.json, [asdict(row) for row in rows])
    return 0


def total(who: str, rows: list[Outcome]) -> float:
    """Seconds of all runs of a kind."""
    return sum(row.elapsed for row in rows if row.who == who)


def report(row: Outcome) -> None:
    print(
        f"{row.who:>8}  P={row.slots}  {row.documents} documents in {row.elapsed:7.2f} s  {row.per_second:7.3f}/s",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
