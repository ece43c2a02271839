# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployed stack under a burst of documents, watched through AWS's own interfaces from zero to zero.

Everything is what a user deploys: rules, function, alarms, policies and the worker. Only the model is not
asked, and the clock runs faster: the engine answers at once, so that 500 documents take a minute.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demonstration import BIN, DEADLINE, Demonstration, client_of
from fake_ollama import FakeOllama

STACK, PROCESSOR = "docs", "summarize"
NAME = f"pasture-{STACK}-{PROCESSOR}"
DOCUMENTS = 500
# Virtual seconds in a real one: a minute of CloudWatch takes three seconds.
SPEED = 20.0
# The defaults of the collection: at most 5 instances, 2 documents for a task, idle for 5 minutes.
PROCESSORS = [
    {
        "name": PROCESSOR,
        "model": "smollm2:135m",
        "prompt": "Summarise the document.",
        "num_ctx": 2048,
        "slots": 1,
        "infrastructure": {"instance_type": "m6i.large", "gpus": 0, "max_memory": 4096},
    }
]
MAX_INSTANCES, DOCUMENTS_PER_TASK, IDLE_MINUTES = 5, 2, 5
_LOOK_SECONDS = 0.2
_ACTIVITY = re.compile(
    r"alarms\.loop: (?P<target>\S+): (?P<before>\d+) -> (?P<after>\d+) \(value (?P<value>\S+)\)"
)


@dataclass(frozen=True)
class Sample:
    """One look at the service and its group."""

    second: float  # of time.monotonic()
    desired: int
    running: int
    wanted_instances: int
    instances: int


@dataclass
class Burst:
    """The stack, and what was seen of it."""

    demonstration: Demonstration
    engine: FakeOllama
    state: dict[str, Any] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    first_put: float = 0.0  # the moment at which the put of the first object had returned
    last_done: float = 0.0
    _watching: threading.Event = field(default_factory=threading.Event)

    def client(self, service: str) -> Any:
        """Return a client of the embedded cloud."""
        return client_of(self.state, service)

    def command(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a user would, with nothing of the user's AWS; its answer is the engine of all tasks."""
        return subprocess.run(
            command,
            env=self.demonstration.environment() | {"OLLAMA_HOST": self.engine.url},
            cwd=self.demonstration.home.parent,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def deploy(self) -> None:
        """Deploy the stack with the collection's own playbook."""
        given = self.demonstration.home.parent / "given.json"
        given.write_text(
            json.dumps(
                {
                    "pasture_stack": STACK,
                    "pasture_processors": PROCESSORS,
                    # The engine has the model already.
                    "pasture_seed": False,
                    "local_speed": SPEED,
                }
            )
        )
        playbook = str(BIN / "ansible-playbook")
        run = self.command(
            playbook, "pasture.ollama.local", "-i", "localhost,", "-c", "local", "-e", f"@{given}"
        )
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr
        self.state = json.loads((self.demonstration.home / "state.json").read_text())

    def run(self) -> None:
        """One document, the others of the burst right behind it, and the way back to zero."""
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        s3 = self.client("s3")
        bucket = self.bucket("source")

        def put(number: int) -> None:
            body = f"Document {number}. " + "It is a small one. " * 5
            s3.put_object(Bucket=bucket, Key=f"{number:03}.txt", Body=body.encode())

        put(0)
        self.first_put = time.monotonic()
        self.wait(lambda: self.samples[-1].desired > 0, 60, "the service is awake")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(put, range(1, DOCUMENTS)))
        self.wait(lambda: not self.outstanding(), DEADLINE, "the documents are done")
        self.last_done = time.monotonic()
        self.wait(self._at_rest, DEADLINE, "everything is back at zero")
        # Whatever would wake it again had time to.
        time.sleep(self.real(4 * 60))
        self._watching.set()
        watcher.join()

    def bucket(self, kind: str) -> str:
        """Return the name of the ``source`` or ``results`` bucket."""
        names: list[str] = [bucket["Name"] for bucket in self.client("s3").list_buckets()["Buckets"]]
        return next(name for name in names if name.endswith(f"-{kind}"))

    def results(self) -> list[str]:
        """Return the keys of all results."""
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket("results"))
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return [key for key in keys if not key.endswith(".provenance.json")]

    def outstanding(self) -> int:
        """Return how many documents wait or are worked on."""
        sqs = self.client("sqs")
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        url = sqs.get_queue_url(QueueName=NAME)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def activities(self, target: str) -> list[tuple[float, int, int]]:
        """Return what the alarms made of a target: their value, its capacity before and after."""
        log = (self.demonstration.home / "logs" / "control.log").read_text()
        return [
            (float(found["value"]), int(found["before"]), int(found["after"]))
            for found in _ACTIVITY.finditer(log)
            if found["target"] == target
        ]

    def log(self, group: str) -> list[dict[str, Any]]:
        """Return the lines of JSON of a log group."""
        pages = self.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        messages = [event["message"] for page in pages for event in page["events"]]
        return [json.loads(message) for message in messages if message.startswith("{")]

    def function_log(self) -> str:
        """Return what the wake-up function printed."""
        return Path(self.demonstration.home / "logs" / f"function-pasture-{STACK}-wakeup.log").read_text()

    def real(self, virtual_seconds: float) -> float:
        """Return how many real seconds that many of the cloud's take."""
        return virtual_seconds / SPEED

    def wait(self, condition: Any, seconds: float, what: str) -> None:
        """Return when it has come true."""
        deadline = time.monotonic() + seconds
        while not (self.samples and condition()):
            assert time.monotonic() < deadline, f"not in {seconds:.0f} s: {what}; {self.samples[-3:]}"
            time.sleep(0.1)

    def _at_rest(self) -> bool:
        last = self.samples[-1]
        return not (last.desired or last.running or last.wanted_instances or last.instances)

    def _watch(self) -> None:
        ecs, groups = self.client("ecs"), self.client("autoscaling")
        while not self._watching.is_set():
            [service] = ecs.describe_services(cluster=f"pasture-{STACK}", services=[NAME])["services"]
            [group] = groups.describe_auto_scaling_groups(AutoScalingGroupNames=[NAME])["AutoScalingGroups"]
            self.samples.append(
                Sample(
                    time.monotonic(),
                    service["desiredCount"],
                    service["runningCount"],
                    group["DesiredCapacity"],
                    len(group["Instances"]),
                )
            )
            self._watching.wait(_LOOK_SECONDS)
