# SPDX-License-Identifier: GPL-3.0-or-later
"""An account in which things go wrong, and the playbooks of the collection on it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import account
import boto3
import marked

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
REGION = "eu-west-1"
STACK = "trial"
# Two processors, one of which reads the other, with everything that a stack has but for a build of the image.
VARIABLES: dict[str, Any] = {
    "pasture_stack": STACK,
    "pasture_region": REGION,
    "pasture_delete_data": True,
    "pasture_image": {"uri": f"123456789012.dkr.ecr.{REGION}.amazonaws.com/pasture@sha256:{'0' * 64}"},
    "pasture_processors": [
        {
            "name": "summarize",
            "model": "llama3.1:8b",
            "prompt": "Summarise the document.",
            "infrastructure": {"instance_type": "g5.xlarge", "gpus": 1, "max_memory": 14336},
        },
        {
            "name": "translate",
            "source": "summarize",
            "model": "mistral-nemo",
            "prompt": "Translate the document into French.",
            "infrastructure": {"instance_type": "g5.xlarge", "gpus": 1, "max_memory": 14336},
        },
    ],
}
# After how many tasks, and then again, a deploy is interrupted. With 1 all is tried that tests of trouble have.
EVERY = int(os.environ.get("PASTURE_INTERRUPT_EVERY", "12"))
# Far more than any of them takes, also on a machine that does other things.
DEADLINE = 900.0  # seconds


@dataclass
class Run:
    """One playbook that was started, and what became of it."""

    process: subprocess.Popen[str]
    log: Path
    mark: marked.Mark

    def wait(self) -> Run:
        """Return when it has ended."""
        self.process.wait(DEADLINE)
        return self

    def kill(self) -> Run:
        """End it with all that it has started, at once."""
        self.mark.kill()
        return self.wait()

    @property
    def text(self) -> str:
        """What it has printed."""
        return self.log.read_text(encoding="utf-8")

    @property
    def changes(self) -> list[dict[str, Any]]:
        """The tasks that changed something, or would: ``task`` and, of a run with ``--diff``, ``diff``."""
        path = self.log.with_suffix(".changes")
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def stopped(self) -> bool:
        """Whether it was killed."""
        return self.process.returncode == -signal.SIGKILL

    @property
    def well(self) -> bool:
        """Whether it has reached its end without a failed task."""
        return self.process.returncode == 0

    @property
    def changed(self) -> int:
        """The number of tasks that changed something."""
        found = re.search(r"changed=(\d+)", self.text)
        assert found, self.text
        return int(found.group(1))

    @property
    def failure(self) -> str:
        """What the failed task said, on one line."""
        found = re.search(
            r"^\[ERROR\]: Task failed: (.*?)(?=^(?:Origin|\d+ |fatal|\n))",
            self.text,
            re.MULTILINE | re.DOTALL,
        )
        fatal = re.search(r'^fatal: .*?"msg": "(.*?)(?<!\\)"', self.text, re.MULTILINE | re.DOTALL)
        said = fatal or found
        assert said, self.text
        return " ".join(said.group(1).replace("\\n", "\n").replace('\\"', '"').split())


@dataclass
class Account:
    """An emulator, with its state, and what is run on it."""

    url: str
    folder: Path
    pid: int
    process: subprocess.Popen[str] | None = None
    _runs: list[Run] = field(default_factory=list)
    _copies: list[Account] = field(default_factory=list)
    _ended: bool = False

    @classmethod
    def fresh(cls, folder: Path, *, record: Path | None = None, latency: float = 0.0) -> Account:
        """Start an empty account, whose calls take so many seconds longer; see ``emulator.log``."""
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(Path(__file__).with_name("trial_cloud.py")), "--latency", str(latency)]
        with (folder / "emulator.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [*command, *(["--record", str(record)] if record else [])],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert process.stdout
        return cls(process.stdout.readline().strip(), folder, process.pid, process)

    def copy(self) -> Account:
        """A second account with the same state."""
        made = self._ask("/trial/copy", "POST")
        folder = self.folder / f"copy-{made['pid']}"
        folder.mkdir()
        self._copies.append(Account(made["url"], folder, made["pid"]))
        return self._copies[-1]

    def end(self) -> None:
        """End the emulator, what still runs on it, and its copies; again is of no effect."""
        for copy in self._copies:
            copy.end()
        for run in self._runs:
            run.kill()
        if not self._ended:
            os.kill(self.pid, signal.SIGTERM)
            self._ended = True
        if self.process:
            self.process.wait(120)

    def faults(self, *faults: dict[str, Any]) -> None:
        """Say what is to go wrong from now on; nothing of what was said before."""
        self._ask("/trial/faults", "PUT", faults)

    def wait_until_held(self, run: Run) -> bool:
        """Return when a call was done and its answer held back; false when the run ends before."""
        while not self._ask("/trial/held"):
            if run.process.poll() is not None:
                return False
            time.sleep(0.1)
        return True

    def start(self, playbook: str | Path, *options: str, stop_after: int = 0, **variables: Any) -> Run:
        """Start one of the collection's playbooks, or another one by its path, with options of ansible-playbook's."""
        mark = marked.Mark()
        log = self.folder / f"{len(self._runs):02}-{Path(playbook).stem}.log"
        theirs = ("AWS_", "PASTURE_", "ANSIBLE_")
        environment = {key: value for key, value in mark.environment().items() if not key.startswith(theirs)}
        environment |= {
            marked.VARIABLE: mark.environment()[marked.VARIABLE],
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).with_name("callback_plugins")),
            "ANSIBLE_CALLBACKS_ENABLED": "stop_after,changes",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "dev"),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_MAX_ATTEMPTS": "2",
            "LC_ALL": "C.UTF-8",
            "PASTURE_CHANGES": str(log.with_suffix(".changes")),
            "PASTURE_STOP_AFTER": str(stop_after),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                [
                    str(BIN / "ansible-playbook"),
                    str(playbook) if isinstance(playbook, Path) else f"pasture.ollama.{playbook}",
                    "-e",
                    json.dumps({**VARIABLES, **variables}),
                    *options,
                ],
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self._runs.append(Run(process, log, mark))
        return self._runs[-1]

    def deploy(self, *, stop_after: int = 0, **variables: Any) -> Run:
        """Deploy, to the end or until so many tasks are done."""
        return self.start("deploy", stop_after=stop_after, **variables).wait()

    def destroy(self, *, stop_after: int = 0) -> Run:
        """Destroy, to the end or until so many tasks are done."""
        return self.start("destroy", stop_after=stop_after).wait()

    def left(self) -> list[str]:
        """What there is of the stack."""
        session = boto3.Session("testing", "testing", region_name=REGION)
        return account.of_stack(
            lambda service: session.client(service, endpoint_url=self.url), f"pasture-{STACK}"
        )

    def _ask(self, path: str, method: str = "GET", body: Any = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, method=method)  # noqa: S310 (loopback)
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (loopback)
            return json.load(answer)
