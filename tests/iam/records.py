# SPDX-License-Identifier: GPL-3.0-or-later
"""What the suites have recorded of their calls (see ``pasture_local.emulator.recording``)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation import Policies, Policy, Request

FOLDER = Path(__file__).resolve().parents[2] / ".build" / "records"
#: The record of each suite, and the suite.
SUITES = {"molecule": "make molecule", "main-job": "make integration", "own-models": "make integration"}
_ROLE = re.compile(r":role/pasture/(?P<stack>[^/]+)/pasture-(?P=stack)-(?P<name>.+)$")


@dataclass(frozen=True)
class Role:
    """A deployed role: its stack, its name without the stack's, and its policies."""

    arn: str
    policies: Policies

    @property
    def stack(self) -> str:
        """The stack that it belongs to."""
        return self._parts["stack"]

    @property
    def kind(self) -> str:
        """Whose role it is: ``task`` for those of all processors."""
        name = self._parts["name"]
        return "task" if name.endswith("-task") else name

    @property
    def _parts(self) -> re.Match[str]:
        found = _ROLE.search(self.arn)
        assert found, self.arn
        return found

    @property
    def account(self) -> str:
        """The account's number."""
        return self.arn.split(":")[4]


@dataclass(frozen=True)
class Record:
    """All lines of a suite."""

    suite: str
    calls: list[dict[str, Any]]
    policies: dict[str, Any]

    @classmethod
    def read(cls, suite: str) -> Record:
        """Read it from the folder where the suites leave them."""
        path = FOLDER / f"{suite}.jsonl"
        assert path.exists(), f"{path} is missing: run '{SUITES[suite]}' first."
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return cls(
            suite,
            [line for line in lines if "digest" not in line],
            {line["digest"]: line["policies"] for line in lines if "digest" in line},
        )

    def requests(self) -> Iterator[Request]:
        """What those asked for whose policies are known: deployed roles, and users that the suite has made."""
        for call in self.calls:
            if call["policies"] is None:
                continue
            known = self.policies[call["policies"]]
            arn = call["principal"]["arn"]
            for permission in call["permissions"]:
                resources = tuple(permission["resources"])
                yield Request(
                    arn,
                    arn.split(":")[4],
                    call["region"],
                    permission["action"],
                    resources,
                    Policies(known["identity"], known["boundary"]),
                    permission["context"],
                    {one: call["tags"][one] for one in resources if one in call["tags"]},
                    {
                        one: self.policies[call["resource_policies"][one]]
                        for one in resources
                        if one in call["resource_policies"]
                    },
                )

    def roles(self) -> Iterator[Role]:
        """The deployed roles with the policies that were put, whether they called anything or not."""
        made: dict[str, str] = {}
        put: dict[str, dict[str, Policy]] = {}
        for call in self.calls:
            parameters = call["parameters"]
            if call["operation"] == "CreateRole" and str(parameters.get("Path", "")).startswith("/pasture/"):
                account = call["permissions"][0]["resources"][0].split(":")[4]
                name = parameters["RoleName"]
                made[name] = f"arn:aws:iam::{account}:role{parameters['Path']}{name}"
            elif call["operation"] == "PutRolePolicy":
                documents = put.setdefault(parameters["RoleName"], {})
                documents[parameters["PolicyName"]] = json.loads(parameters["PolicyDocument"])
        for name, arn in made.items():
            yield Role(arn, Policies(put.get(name, {})))
