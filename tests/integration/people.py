# SPDX-License-Identifier: GPL-3.0-or-later
"""People who may do no more than docs/iam says, at work with the collection's playbooks.

What they do is recorded, and evaluated by tests/iam.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import deployers
from demonstration import BIN, DEADLINE, Demonstration

RECORDS = Path(__file__).resolve().parents[2] / ".build" / "records"
# Tasks run as processes of this machine: the image is a name and nothing more.
IMAGE = (
    "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ollama-worker"
    f"@sha256:{hashlib.sha256(b'ollama-worker').hexdigest()}"
)


@dataclass(frozen=True)
class People:
    """Users of a cloud that runs."""

    demonstration: Demonstration
    state: dict[str, Any]
    iam: Any
    keys: dict[str, dict[str, str]] = field(default_factory=dict)

    def play(self, playbook: str, stack: str, policies: tuple[str, ...], **variables: Any) -> str:
        """Run a playbook as a user with these policies of docs/iam; return what it said."""
        ran = self.attempt(playbook, stack, policies, **variables)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def attempt(
        self, playbook: str, stack: str, policies: tuple[str, ...], **variables: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook as such a user, which may fail."""
        values = {
            "stack": stack,
            "account": "123456789012",
            "region": self.state["region"],
            "partition": "aws",
        }
        name = f"{playbook}-{stack}"
        if name not in self.keys:
            documents = deployers.documents(policies, values)
            self.keys[name] = deployers.make_user(self.iam, name, documents)
        endpoint = {"AWS_ENDPOINT_URL": self.state["endpoint_url"], "AWS_EC2_METADATA_DISABLED": "true"}
        given = {
            "pasture_stack": stack,
            "pasture_region": self.state["region"],
            "pasture_environment": {**endpoint, **self.keys[name]},
            **variables,
        }
        return subprocess.run(
            [BIN / "ansible-playbook", f"pasture.ollama.{playbook}", "-e", json.dumps(given)],
            env=self.demonstration.environment() | {"ANSIBLE_LOCALHOST_WARNING": "False"},
            cwd=self.demonstration.home.parent,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
