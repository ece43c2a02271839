# SPDX-License-Identifier: GPL-3.0-or-later
"""Make who deploys each scenario: a user for each stack, with the policies of docs/iam and nothing else.

So what was recorded of the scenarios tells whether these suffice.

- ``python deployers.py FOLDER`` makes the users, and writes the access key of each to ``FOLDER/<stack>.json``.
- ``python deployers.py FOLDER SCENARIO PREPARED`` gives the user of a scenario its ``deployer.json``: what docs/iam.md
  says is needed besides when the account has something already. PREPARED has the texts that fill its placeholders.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import yaml

HERE = Path(__file__).resolve().parent
POLICIES = HERE.parents[1] / "docs" / "iam"
#: What the ten roles of ``deploy`` and ``destroy`` need.
DEPLOY = (
    "preflight",
    "network",
    "storage",
    "cache",
    "image",
    "cluster",
    "models",
    "processor",
    "scaling",
    "observability",
)


def documents(names: tuple[str, ...], stack: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return policies of docs/iam by name, for one stack: ``stack``, ``account``, ``region`` and ``partition``."""
    return {name: document(POLICIES / f"{name}.json", stack) for name in names}


def document(path: Path, values: Mapping[str, str]) -> dict[str, Any]:
    """Return a policy with its placeholders filled in, as docs/iam.md says it is done."""
    text = path.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    policy: dict[str, Any] = json.loads(text)
    return policy


def make_user(iam: Any, name: str, policies: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Make a user with managed policies, and return the environment with its access key."""
    iam.create_user(UserName=name)
    for policy, text in policies.items():
        made = iam.create_policy(PolicyName=f"{name}-{policy}", PolicyDocument=json.dumps(text))
        iam.attach_user_policy(UserName=name, PolicyArn=made["Policy"]["Arn"])
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def values_of(scenario: Path, account: str) -> dict[str, str]:
    """Return what fills the placeholders for a scenario; nothing when it deploys nothing."""
    variables = yaml.safe_load((scenario / "vars.yml").read_text(encoding="utf-8")) or {}
    if "pasture_stack" not in variables:
        return {}
    region = variables["pasture_region"]
    return {"stack": variables["pasture_stack"], "account": account, "region": region, "partition": "aws"}


def main(folder: Path, scenario: Path | None = None, prepared: Path | None = None) -> None:
    iam = boto3.client("iam")
    account = boto3.client("sts").get_caller_identity()["Account"]
    if scenario and prepared:
        texts: dict[str, str] = {}
        for key, given in json.loads(prepared.read_text()).items():
            # The members of a list by their number: ${subnet_ids_0}.
            texts |= (
                {f"{key}_{n}": one for n, one in enumerate(given)}
                if isinstance(given, list)
                else {key: given}
            )
        values = values_of(scenario, account) | texts
        text = json.dumps(document(scenario / "deployer.json", values))
        iam.put_user_policy(UserName=f"deployer-{values['stack']}", PolicyName="given", PolicyDocument=text)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for found in sorted(HERE.glob("*/vars.yml")):
        if values := values_of(found.parent, account):
            key = make_user(iam, f"deployer-{values['stack']}", documents(DEPLOY, values))
            (folder / f"{values['stack']}.json").write_text(json.dumps(key))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
