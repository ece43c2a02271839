# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of one embedded cloud: its lock, its state file, its logs and its file systems."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

#: What the emulator is spoken to with. It checks no signatures; the SDKs insist on having some. They occur in no
#: other value, because Ansible blanks out credentials wherever they appear in what a module returns.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAEMBEDDEDCLOUD000",
    "AWS_SECRET_ACCESS_KEY": "the-embedded-cloud-checks-no-signature",
}
DEFAULT_REGION = "eu-west-1"


@dataclass(frozen=True)
class State:
    """What a running cloud tells about itself (``state.json``)."""

    pid: int  # of the supervisor
    endpoint_url: str
    region: str
    control_url: str  # credentials, metadata and functions
    speed: float  # virtual seconds that pass in one
    pids: dict[str, int]

    def environment(self) -> dict[str, str]:
        """What an AWS SDK or Ansible needs to talk to it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            **CREDENTIALS,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            # A missing action is answered with status 500, which SDKs would try again five times.
            "AWS_MAX_ATTEMPTS": "2",
            # No metadata service is asked for what is given here.
            "AWS_EC2_METADATA_DISABLED": "true",
        }


class Home:
    """``$PASTURE_LOCAL_HOME``, or ``.pasture`` in the current folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Home:
        return cls(Path(environment.get("PASTURE_LOCAL_HOME") or ".pasture"))

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def efs(self) -> Path:
        return self.path / "efs"

    @property
    def tasks(self) -> Path:
        return self.path / "tasks"

    @property
    def functions(self) -> Path:
        return self.path / "functions"

    @property
    def bin(self) -> Path:
        return self.path / "bin"

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    def make(self) -> None:
        """Make the folders."""
        for folder in (self.logs, self.efs, self.tasks, self.functions, self.bin):
            folder.mkdir(parents=True, exist_ok=True)
        # Nothing in here is worth a commit, wherever it stands.
        (self.path / ".gitignore").write_text("*\n")

    def lock(self) -> IO[str] | None:
        """Take the lock that a supervisor holds for life; None when another one does.

        Unlike a process id in a file, it cannot outlive its owner.
        """
        file = (self.path / "lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        return file

    def is_running(self) -> bool:
        """Whether a supervisor lives here."""
        if not (self.path / "lock").exists():
            return False
        held = self.lock()
        if held is None:
            return True
        held.close()
        return False

    def read_state(self) -> State | None:
        """The state of the cloud that runs here, or None when none does or it is still starting."""
        if not self.is_running():
            return None
        try:
            return State(**json.loads(self.state_file.read_text()))
        except FileNotFoundError:
            return None

    def write_state(self, state: State) -> None:
        """Write the state file in one step: readers never see a half of it."""
        draft = self.state_file.with_suffix(".new")
        draft.write_text(json.dumps(asdict(state), indent=2) + "\n")
        os.replace(draft, self.state_file)  # noqa: PTH105 - atomic by documentation
