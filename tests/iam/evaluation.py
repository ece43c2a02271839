# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded calls as requests to a policy evaluator, and its answers."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from policy_simulator import FOLDER, NODE

Policy = dict[str, Any]


@dataclass(frozen=True)
class Policies:
    """What decides about a principal: its policies and those that bound it, by name."""

    identity: dict[str, Policy]
    boundary: dict[str, Policy] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As the evaluator reads it."""
        return {"identity": self.identity, "boundary": self.boundary}


@dataclass(frozen=True)
class Request:
    """One action of one principal on some resources.

    :ivar context: condition keys and their values, but for the tags of resources.
    :ivar tags: the tags of those resources that have some, by ARN.
    :ivar resource_policies: the policies of those resources that have one, by ARN.
    """

    principal: str
    account: str
    region: str
    action: str
    resources: tuple[str, ...]
    policies: Policies
    context: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    resource_policies: dict[str, Policy] = field(default_factory=dict)

    def as_json(self, digest: str) -> dict[str, Any]:
        """As the evaluator reads it."""
        return {**vars(self), "policies": digest}


@dataclass(frozen=True)
class Decision:
    """What was decided for one resource.

    :ivar by: name of the policy and Sid of each statement that allows it.
    """

    request: Request
    resource: str
    result: str
    by: tuple[tuple[str, str], ...]

    @property
    def allowed(self) -> bool:
        """Whether AWS would have done it."""
        return self.result == "Allowed"

    def __str__(self) -> str:
        who = (
            self.request.principal.partition(":assumed-role/")[2].partition("/")[0] or self.request.principal
        )
        names = ", ".join(sorted(self.request.policies.identity))
        return f"{self.result}: {who} {self.request.action} on {self.resource} by {names}"


def evaluate(requests: Iterable[Request]) -> list[Decision]:
    """Ask the evaluator; the same request is asked once."""
    policies: dict[str, Any] = {}
    digests: dict[str, str] = {}
    distinct: dict[str, tuple[Request, dict[str, Any]]] = {}
    for request in requests:
        text = json.dumps(request.policies.as_json(), sort_keys=True)
        digest = digests.setdefault(text, str(len(digests)))
        policies[digest] = request.policies.as_json()
        asked = request.as_json(digest)
        distinct.setdefault(json.dumps(asked, sort_keys=True, default=str), (request, asked))
    # Node looks for what a program imports beside the program.
    program = shutil.copy(Path(__file__).with_name("evaluate.mjs"), FOLDER)
    ran = subprocess.run(
        [NODE, program],
        input=json.dumps({"policies": policies, "requests": [asked for _, asked in distinct.values()]}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return [
        Decision(request, one["resource"], one["result"], tuple((policy, sid) for policy, sid in one["by"]))
        for (request, _), answer in zip(distinct.values(), json.loads(ran.stdout), strict=True)
        for one in answer
    ]


def statements(name: str, policy: Policy) -> Iterator[tuple[str, str]]:
    """Name and Sid of each statement that allows something."""
    for index, statement in enumerate(policy["Statement"], start=1):
        if statement["Effect"] == "Allow":
            yield name, statement.get("Sid", str(index))
