# SPDX-License-Identifier: GPL-3.0-or-later
"""``--check --diff`` foretells exactly what the run after it changes, for every kind of edit that a user makes.

Each step is foretold on a copy of the account, and done, side by side, on the account itself. Where a step
has two edits they concern different things, so that every change is one edit's or the other's.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from trial import REGION, VARIABLES, Account

pytestmark = [pytest.mark.integration, pytest.mark.slow]

#: What stands in check mode for what AWS will say (module_utils/_unknown.py).
UNKNOWN = "(known after deploy: "
OTHER_IMAGE = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/pasture@sha256:{'1' * 64}"
#: Resources as the diff names them.
Names = set[str]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    made = Account.fresh(tmp_path_factory.mktemp("account"))
    yield made
    made.end()


@pytest.fixture(scope="module")
def variables() -> dict[str, Any]:
    """What the user has written, which each step edits."""
    return copy.deepcopy(VARIABLES)


def diffs(task: dict[str, Any]) -> list[dict[str, Any]]:
    """The changed resources of a task."""
    found = task["diff"]
    return [found] if isinstance(found, dict) else list(found or [])


def resources(changes: list[dict[str, Any]]) -> Names:
    """What has changed, by kind and name."""
    return {diff["after_header"] for task in changes for diff in diffs(task)}


def may_become(foretold: str, done: str) -> bool:
    """Whether a text with placeholders in it may be that of a plan for another."""
    parts = re.split(re.escape(UNKNOWN) + r"[^)]*\)", foretold)
    return re.fullmatch(".*".join(map(re.escape, parts)), done) is not None


def untruths(foretold: Any, done: Any, where: str, *, whole: bool = True) -> list[str]:
    """Where the two differ, but for what nobody could know beforehand.

    :param whole: whether all that became so must have been foretold.
    """
    # A placeholder may also stand for a number.
    if isinstance(foretold, str) and may_become(foretold, str(done)):
        return []
    if isinstance(foretold, dict) and isinstance(done, dict):
        surprises = done.keys() - foretold.keys() if whole else set()
        return [f"{where}.{key} became {done[key]!r}" for key in surprises] + [
            untruth
            for key, value in foretold.items()
            for untruth in untruths(value, done.get(key, "nothing"), f"{where}.{key}", whole=whole)
        ]
    if isinstance(foretold, list) and isinstance(done, list) and len(foretold) == len(done):
        return [
            untruth
            for index, pair in enumerate(zip(foretold, done, strict=True))
            for untruth in untruths(*pair, f"{where}[{index}]", whole=whole)
        ]
    return [] if foretold == done else [f"{where} was to be {foretold!r}, and became {done!r}"]


def untruths_of(foretold: dict[str, Any], done: dict[str, Any]) -> list[str]:
    """What a task's plan said of its resources that did not come true.

    AWS fills in what is not asked for when it makes something, which a plan does not know. Of a change it
    does know everything.
    """
    task, plans, deeds = foretold["task"], diffs(foretold), diffs(done)
    names = [[diff["after_header"] for diff in one] for one in (plans, deeds)]
    if len(plans) != len(deeds) or not all(map(may_become, *names)):
        return [f"{task} was to change {names[0]}, and changed {names[1]}"]
    return [
        untruth
        for plan, deed in zip(plans, deeds, strict=True)
        for untruth in untruths(plan, deed, f"{task}: {plan['after_header']}", whole=bool(plan["before"]))
    ]


def foretell_and_do(account: Account, variables: dict[str, Any]) -> Names:
    """Run both; what changed.

    :raises AssertionError: when a word of the plan did not come true.
    """
    mirror = account.copy()
    plan = mirror.start("deploy", "--check", "--diff", **variables)
    deed = account.start("deploy", "--diff", **variables)
    for run in (plan, deed):
        assert run.wait().well, run.text
    mirror.end()
    assert [task["task"] for task in plan.changes] == [task["task"] for task in deed.changes]
    pairs = zip(plan.changes, deed.changes, strict=True)
    assert [untruth for foretold, done in pairs for untruth in untruths_of(foretold, done)] == []
    return resources(deed.changes)


def processor(variables: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in variables["pasture_processors"] if one["name"] == name)
    return found


def of(processor: str, *kinds: str) -> Names:
    """Resources of one processor."""
    return {f"{kind} pasture-trial-{processor}" for kind in kinds}


def new_revision(processor: str) -> Names:
    """What every change of a worker's settings changes."""
    return of(processor, "ECS task definition", "ECS service")


def new_maximum(processor: str) -> Names:
    """What every change of a processor's maximum changes."""
    # The rule tells the wake-up function how far it may go.
    return of(processor, "Auto Scaling group", "ECS capacity provider") | {
        f"event rule pasture-trial-{processor}-0",
        f"scalable target service/pasture-trial/pasture-trial-{processor}",
    }


def all_of(processor: str) -> Names:
    """Everything that there is because of one processor."""
    return {
        f"log group /pasture/trial/{processor}",
        f"scalable target service/pasture-trial/pasture-trial-{processor}",
        f"SQS queue pasture-trial-{processor}-dlq",
        f"IAM role pasture-trial-{processor}-task",
        f"event rule pasture-trial-{processor}-0",
        *(
            f"alarm pasture-trial-{processor}-{name}"
            for name in ("outstanding", "idle", "dlq", "age", "stalled")
        ),
        *of(processor, "EC2 launch template", "Auto Scaling group", "ECS capacity provider", "SQS queue"),
        *new_revision(processor),
    }


#: What knows all processors of a stack.
SHARED = {
    "ECS cluster pasture-trial",
    "IAM role pasture-trial-wakeup",
    "Lambda function pasture-trial-wakeup",
    "event rule pasture-trial-keep-metrics",
    "dashboard pasture-trial",
}
WAY_OUT = {
    "Internet gateway pasture-trial",
    "NAT gateway pasture-trial-nat",
    "elastic IP address pasture-trial-nat",
    "route table pasture-trial-public",
    "subnet pasture-trial-public-1",
    "subnet pasture-trial-public-2",
}
#: What changes, and is made, when the way out is closed.
CLOSED = {
    "route table pasture-trial-private",
    "rules of security group pasture-trial-cluster",
    *(
        f"VPC endpoint pasture-trial-{service}"
        for service in (
            *("s3", "ecr.api", "ecr.dkr", "logs", "sqs", "events", "ssm", "ssmmessages", "sts", "kms"),
            *("ecs", "ecs-agent", "ecs-telemetry", "elasticfilesystem", "monitoring"),
        )
    ),
}


def test_an_empty_account(account: Account, variables: dict[str, Any]) -> None:
    assert len(foretell_and_do(account, variables)) > 50


def test_a_prompt_and_a_maximum(account: Account, variables: dict[str, Any]) -> None:
    processor(variables, "summarize")["prompt"] = "Summarise the document in one sentence."
    processor(variables, "translate")["max_instances"] = 7
    assert foretell_and_do(account, variables) == new_revision("summarize") | new_maximum("translate")


def test_a_models_tag_and_a_containers_memory(account: Account, variables: dict[str, Any]) -> None:
    processor(variables, "summarize")["model"] = "llama3.1:latest"
    processor(variables, "translate")["infrastructure"]["max_memory"] = 12288
    models = {"model definition llama3.1:8b", "model definition llama3.1:latest", "models in the cache"}
    role = {"IAM role pasture-trial-summarize-task"}
    workers = new_revision("summarize") | new_revision("translate")
    assert foretell_and_do(account, variables) == models | role | workers


def test_an_instance_type_and_the_retention_of_logs(account: Account, variables: dict[str, Any]) -> None:
    processor(variables, "translate")["infrastructure"]["instance_type"] = "g6.xlarge"
    variables["pasture_log_retention_days"] = 90
    groups = {
        f"log group /pasture/trial/{name}" for name in ("summarize", "translate", "seed", "scaling/wakeup")
    }
    assert foretell_and_do(account, variables) == of("translate", "EC2 launch template") | groups


def test_the_digest_of_the_image(account: Account, variables: dict[str, Any]) -> None:
    variables["pasture_image"] = {"uri": OTHER_IMAGE}
    seeding = {"ECS task definition pasture-trial-seed"}
    workers = new_revision("summarize") | new_revision("translate")
    assert foretell_and_do(account, variables) == workers | seeding


def test_a_tag(account: Account, variables: dict[str, Any]) -> None:
    variables["pasture_tags"] = {"team": "records"}
    assert len(foretell_and_do(account, variables)) > 50


def test_egress_and_an_added_processor(account: Account, variables: dict[str, Any]) -> None:
    variables["pasture_network"] = {"egress": "none"}
    added = {**processor(variables, "translate"), "name": "shorten", "prompt": "Shorten the document."}
    variables["pasture_processors"].append(added)
    policy = {"Auto Scaling policy pasture-trial-shorten-idle"}
    made = all_of("shorten") | policy
    assert foretell_and_do(account, variables) == WAY_OUT | CLOSED | made | SHARED


def test_a_removed_processor_and_a_prompt_and_maximum_of_those_that_stay(
    account: Account, variables: dict[str, Any]
) -> None:
    # What goes is removed by tasks of its own, which must not tell of the others' changes a second time.
    variables["pasture_processors"].pop()
    processor(variables, "summarize")["prompt"] = "Summarise the document in three sentences."
    processor(variables, "translate")["max_instances"] = 6
    edits = new_revision("summarize") | new_maximum("translate")
    assert foretell_and_do(account, variables) == all_of("shorten") | SHARED | edits


def test_after_all_of_them_nothing_is_left_to_do(account: Account, variables: dict[str, Any]) -> None:
    assert account.deploy(**variables).changed == 0
