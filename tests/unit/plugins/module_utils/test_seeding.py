# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The seeding task: whether one is needed, what it is told, and what its end means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils import _seeding
from ansible_collections.pasture.ollama.plugins.module_utils._definition import define
from ansible_collections.pasture.ollama.plugins.module_utils._model_registry import seeded_mark
from ansible_collections.pasture.ollama.plugins.module_utils._resource import WaitTimeout
from ansible_collections.pasture.ollama.plugins.module_utils._seeding import SeedingError, Target

ARN = "arn:aws:ecs:eu-west-1:123456789012:task/pasture-docs/0123"
TARGET = Target(
    "pasture-docs",
    "pasture-docs-seed:3",
    ["subnet-1"],
    ["sg-1"],
    "fs-1",
    "worker",
    "/pasture/docs/seed",
    "worker",
)


class Answers:
    """A client that answers each call from a list, and remembers what it was asked."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def call(self, operation: str, /, *, missing: Any = (), **arguments: Any) -> Any:
        self.asked.append((operation, arguments))
        left = self.answers[operation]
        return left.pop(0) if len(left) > 1 else left[0]

    def pages(self, operation: str, key: str, /, **arguments: Any) -> Any:
        return (self.call(operation, **arguments) or {}).get(key, [])


def api(**answers: list[Any]) -> Any:
    return Answers(**answers)


def ended(exit_code: int | None = 0, **task: Any) -> dict[str, Any]:
    return {"lastStatus": "STOPPED", "containers": [{"name": "worker", "exitCode": exit_code}], **task}


def test_a_new_file_system_or_other_weights_are_another_mark() -> None:
    model = define("llama3.1:8b")
    weights = {"name": "llama3.1:8b", "from": "s3://models/a.gguf", "digest": "0" * 64}
    own, recipe = define(weights), define({**weights, "modelfile": "s3://models/Modelfile"})
    marks = {
        seeded_mark(definition, system) for definition in (model, own, recipe) for system in ("fs-1", "fs-2")
    }
    assert len(marks) == 6
    assert seeded_mark(model, "fs-1") == seeded_mark(
        define({"name": "llama3.1:8b", "options": {"seed": 1}}), "fs-1"
    )


@pytest.mark.parametrize(
    ("answer", "seeded"),
    [
        (None, False),
        ({"TagList": []}, False),
        ({"TagList": [{"Key": "pasture:seeded", "Value": "fs-2/x"}]}, False),
        ({"TagList": [{"Key": "pasture:seeded", "Value": "fs-1/x"}]}, True),
    ],
)
def test_a_model_is_seeded_when_its_definition_says_so(answer: Any, seeded: bool) -> None:
    assert (
        _seeding.is_seeded(api(list_tags_for_resource=[answer]), "/pasture/docs/models/a/b", "fs-1/x")
        is seeded
    )


def test_one_task_brings_all_models_without_a_public_address() -> None:
    ecs = api(list_tasks=[{"taskArns": []}], run_task=[{"tasks": [{"taskArn": ARN}]}])
    assert _seeding.start(ecs, TARGET, ["a:1", "b:2"], {"pasture:stack": "docs"}) == ARN
    request = ecs.asked[-1][1]
    assert request["launchType"] == "FARGATE"
    assert request["overrides"] == {
        "containerOverrides": [{"name": "worker", "command": ["seed", "a:1", "b:2"]}]
    }
    assert request["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == "DISABLED"
    assert request["tags"] == [{"key": "pasture:stack", "value": "docs"}]
    assert len(request["startedBy"]) <= 36


def test_a_run_that_was_interrupted_finds_its_task_again() -> None:
    ecs = api(list_tasks=[{"taskArns": [ARN]}])
    assert _seeding.start(ecs, TARGET, ["a:1"], {}) == ARN
    assert [operation for operation, _arguments in ecs.asked] == ["list_tasks"]
    assert ecs.asked[0][1]["startedBy"] == _seeding.started_by(["a:1"]) != _seeding.started_by(["b:1"])


def test_a_task_that_ecs_does_not_start_is_said_so() -> None:
    ecs = api(list_tasks=[{}], run_task=[{"tasks": [], "failures": [{"reason": "Capacity is unavailable"}]}])
    with pytest.raises(SeedingError, match=r"ECS did not start the seeding task: Capacity is unavailable\."):
        _seeding.start(ecs, TARGET, ["a:1"], {})


def test_it_is_waited_for_until_it_has_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_seeding, "_INTERVAL", 0.0)
    ecs = api(
        describe_tasks=[
            {"tasks": [{"lastStatus": "PENDING"}]},
            {"tasks": [{"lastStatus": "RUNNING"}]},
            {"tasks": [ended()]},
        ]
    )
    assert _seeding.wait(ecs, TARGET, ARN, 5) == ended()


def test_a_task_that_goes_on_and_one_that_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_seeding, "_INTERVAL", 0.01)
    with pytest.raises(WaitTimeout):
        _seeding.wait(api(describe_tasks=[{"tasks": [{"lastStatus": "RUNNING"}]}]), TARGET, ARN, 0.05)
    forgotten = _seeding.wait(api(describe_tasks=[{"tasks": []}]), TARGET, ARN, 5)
    assert _seeding.failure(forgotten, TARGET) == "ECS does not know the task any more"


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (ended(), None),
        (
            ended(1, stoppedReason="Essential container in task exited"),
            "exit code 1; Essential container in task exited",
        ),
        (
            ended(None, stoppedReason="CannotPullContainerError: no such image."),
            "CannotPullContainerError: no such image",
        ),
        (
            {
                "containers": [
                    {"name": "worker", "exitCode": 137, "reason": "OutOfMemoryError: Container killed"}
                ]
            },
            "OutOfMemoryError: Container killed; exit code 137",
        ),
        ({"containers": []}, "no reason given"),
    ],
)
def test_the_end_of_a_task_is_a_success_or_has_a_reason(task: dict[str, Any], reason: str | None) -> None:
    assert _seeding.failure(task, TARGET) == reason


def test_the_reason_is_what_the_task_said_itself() -> None:
    lines = [
        "plain text",
        json.dumps({"level": "INFO", "message": "pulling"}),
        json.dumps(
            {
                "level": "ERROR",
                "message": "model could not be brought",
                "model": "a:1",
                "reason": "no such tag.",
            }
        ),
        json.dumps({"level": "error", "message": "the disk is full"}),
    ]
    logs = api(get_log_events=[{"events": [{"message": line} for line in lines]}])
    assert _seeding.log_reasons(logs, TARGET, ARN) == ["a:1: no such tag", "the disk is full"]
    assert logs.asked[0][1]["logStreamName"] == "worker/worker/0123"
    assert _seeding.log_reasons(api(get_log_events=[None]), TARGET, ARN) == []


def test_what_is_under_way_is_found_by_the_family_of_its_definition() -> None:
    ecs = api(list_tasks=[{"taskArns": [ARN]}])
    definition = "arn:aws:ecs:eu-west-1:123456789012:task-definition/pasture-docs-seed:3"
    assert _seeding.under_way(ecs, "pasture-docs", definition) == [ARN]
    assert ecs.asked[0][1]["family"] == "pasture-docs-seed"


def test_what_is_under_way_is_stopped_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    monkeypatch.setattr(_seeding, "_INTERVAL", 0.01)
    tasks = [{"tasks": [{"taskArn": ARN, "lastStatus": status}]} for status in ("DEPROVISIONING", "STOPPED")]
    ecs = api(stop_task=[{}], describe_tasks=tasks)
    _seeding.stop(ecs, "pasture-docs", [ARN], 60)
    assert [asked[0] for asked in ecs.asked] == ["stop_task", "describe_tasks", "describe_tasks"]
