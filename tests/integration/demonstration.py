# SPDX-License-Identifier: GPL-3.0-or-later
"""A demonstration as a user starts it, in a folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import marked

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
INSTALLED = ROOT / ".build" / "collections"
# Ten times what a demonstration takes on a machine with nothing else to do, and less than anybody waits.
DEADLINE = 900.0  # seconds


def client_of(state: dict[str, Any], service: str) -> Any:
    """Return a client of the embedded cloud whose state is given."""
    return boto3.client(
        service,
        endpoint_url=state["endpoint_url"],
        region_name=state["region"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@dataclass
class Demonstration:
    """``pasture-local`` in a folder of its own, with every process that it starts in sight."""

    home: Path
    mark: marked.Mark = field(default_factory=marked.Mark)

    def environment(self) -> dict[str, str]:
        """Return what the commands run with: the installed collection, and nothing of the user's AWS."""
        theirs = (
            "AWS_",
            "MAKE",
            "MFLAGS",
            "PASTURE_LOCAL",
        )  # the user's account, and the make that runs this
        inherited = {
            name: value for name, value in self.mark.environment().items() if not name.startswith(theirs)
        }
        return inherited | {
            "PASTURE_LOCAL_HOME": str(self.home),
            "ANSIBLE_COLLECTIONS_PATH": str(INSTALLED),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``pasture-local`` to its end; return its status with both outputs."""
        command = [str(BIN / "pasture-local"), *arguments]
        return subprocess.run(
            command,
            env=self.environment(),
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in the repository, in a process group of its own, as a terminal does."""
        # What a shell runs in the background inherits that Ctrl-C is ignored, and hands that on; a terminal does not.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with self.log.open("w") as output:
            return subprocess.Popen(
                command,
                env=self.environment(),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                process_group=0,
            )

    @property
    def log(self) -> Path:
        """The file with both outputs of what was started."""
        return self.home.parent / "output.txt"

    def kill(self) -> None:
        """End whatever is left, for the sake of the next test."""
        self.mark.kill()

    def left(self, seconds: float = 60.0) -> list[str]:
        """Return the commands of the processes that are still there after so many seconds at the most."""
        deadline = time.monotonic() + seconds
        while (processes := self.mark.look()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return [process.command for process in processes]
