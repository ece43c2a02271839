# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks of the worker share: AWS, the worker as a process, and what it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.config
import botocore.session

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "image" / "tests"))

import worker_aws  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
REGION = "eu-west-1"


@dataclass
class Aws:
    """The light AWS of `worker_aws`, and clients for it."""

    url: str

    def __post_init__(self) -> None:
        session = botocore.session.get_session()
        where: dict[str, Any] = {
            "region_name": REGION,
            "endpoint_url": self.url,
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
            "config": botocore.config.Config(max_pool_connections=50),
        }
        self.s3: Any = session.create_client("s3", **where)
        self.sqs: Any = session.create_client("sqs", **where)
        self.events: Any = session.create_client("events", **where)
        self.queue = self.url + worker_aws.QUEUE

    def outstanding(self) -> int:
        """Messages that are not deleted."""
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])
        return sum(map(int, answer["Attributes"].values()))

    def environment(self, **settings: str) -> dict[str, str]:
        """The worker's environment."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "PASTURE_STACK": "bench",
            "PASTURE_PROCESSOR": "summarize",
            "PASTURE_QUEUE_URL": self.queue,
            "PASTURE_RESULTS_BUCKET": worker_aws.RESULTS,
            "PASTURE_EVENT_BUS": worker_aws.BUS,
            "PASTURE_MODEL_PARAMETER": worker_aws.PARAMETER,
            "PASTURE_PROMPT": "Summarize.",
            **settings,
        }


@contextmanager
def aws(*arguments: str) -> Iterator[Aws]:
    """An AWS of its own, as a process; see `worker_aws.main` for the arguments."""
    process = subprocess.Popen(
        [sys.executable, worker_aws.__file__, *arguments], stdout=subprocess.PIPE, text=True
    )
    if process.stdout is None:
        raise RuntimeError("no pipe")
    try:
        yield Aws(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def cpu(pid: int) -> float:
    """Seconds of processor time that a process and its children that ended have taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def peak_rss(pid: int) -> float:
    """MiB that were resident at the most."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def load() -> float:
    """How busy the machine was in the last minute, in processors."""
    return os.getloadavg()[0]


def save(path: Path | None, rows: list[dict[str, Any]]) -> None:
    """Write figures as JSON, when a path was given."""
    if path is not None:
        path.write_text(json.dumps(rows, indent=2) + "\n")


def wait_until_drained(aws: Aws, every: float = 0.2) -> None:
    """Until no message is left."""
    while aws.outstanding():
        time.sleep(every)
