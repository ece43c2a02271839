# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's decisions: which tasks to start and stop, on which instances, and what a definition asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasture_local.agent.capacity import Group, Size, instances_needed, needs, place, wanted_instances
from pasture_local.agent.definition import HealthCheck, container, on_the_host
from pasture_local.agent.health import HEALTHY, UNHEALTHY, UNKNOWN, Health
from pasture_local.agent.scheduler import Backoff, Service, Task, plan

SERVICE = Service("s", desired=2, definition="d:2", minimum_percent=0, maximum_percent=100)


def test_scale_in_takes_old_and_unprotected_tasks_first() -> None:
    tasks = [
        Task("a", "d:2"),
        Task("b", "d:1"),
        Task("c", "d:2", protected=True),
        Task("d", "d:2", running=False),
    ]
    assert plan(SERVICE, tasks).stop == ("b", "d")


@given(
    desired=st.integers(0, 5),
    tasks=st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=8),
)
def test_plans_never_stop_a_protected_task_nor_start_too_many(
    desired: int, tasks: list[tuple[bool, bool, bool]]
) -> None:
    made = [
        Task(str(index), f"d:{1 + new}", stopping=stopping, protected=protected)
        for index, (new, stopping, protected) in enumerate(tasks)
    ]
    decided = plan(Service("s", desired, "d:2", 0, 100), made)
    protected_arns = {task.arn for task in made if task.protected}
    assert not protected_arns & set(decided.stop)
    assert len(made) + decided.start <= max(desired, len(made))
    assert not (decided.start and decided.stop)


def test_deployment_replaces_before_it_adds() -> None:
    old = [Task("a", "d:1"), Task("b", "d:1")]
    assert plan(SERVICE, old).stop == ("a", "b")
    stopping = [Task("a", "d:1", stopping=True), Task("b", "d:1", stopping=True)]
    assert plan(SERVICE, stopping).start == 0
    assert plan(SERVICE, []).start == 2


def test_deployment_waits_for_protected_tasks() -> None:
    assert plan(SERVICE, [Task("a", "d:1", protected=True), Task("b", "d:2")]).start == 0


def test_restarts_are_delayed_more_and_more_until_a_task_lasts() -> None:
    backoff = Backoff()
    delays = []
    for _ in range(8):
        backoff.ended(ran_seconds=1, now=100.0)
        delays.append(backoff.not_before - 100.0)
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.ended(ran_seconds=600, now=100.0)
    assert backoff.not_before == 101.0


INSTANCE = Size(cpu=4096, memory=16000, gpus=1)
TASK = Size(cpu=2048, memory=7000, gpus=1)


def test_gpus_bound_what_an_instance_holds() -> None:
    assert instances_needed([TASK] * 3, INSTANCE) == 3
    assert place(TASK, {"i": INSTANCE}, {"i": TASK}) is None
    assert place(Size(memory=7000), {"i": INSTANCE, "j": INSTANCE}, {"i": TASK}) == "i"


def test_first_instance_is_started_before_its_size_is_known() -> None:
    assert instances_needed([TASK] * 3, None) == 1
    assert instances_needed([], None) == 0


def test_definition_reserves_its_containers_sum_or_its_own_figures() -> None:
    gpu = [{"type": "GPU", "value": "2"}]
    containers = [
        {"cpu": 512, "memory": 100, "resourceRequirements": gpu},
        {"memoryReservation": 50, "memory": 80},
    ]
    assert needs({"containerDefinitions": containers}) == Size(512, 150, 2)
    assert needs({"containerDefinitions": containers, "cpu": "1024", "memory": "2048"}) == Size(1024, 2048, 2)


def test_managed_scaling_grows_at_once_and_shrinks_after_a_quarter_of_an_hour() -> None:
    group = Group(desired=2, minimum=0, maximum=5)
    assert wanted_instances(group, 9, None, 0.0) == (5, None)
    assert wanted_instances(group, 1, None, 100.0) == (2, 100.0)
    assert wanted_instances(group, 1, 100.0, 999.0) == (2, 100.0)
    assert wanted_instances(group, 1, 100.0, 1000.0) == (1, None)


def test_failures_in_the_start_period_do_not_count() -> None:
    health = Health(HealthCheck(("true",), interval=10, retries=2, start_period=30), started=0.0)
    assert [health.record(False, at) for at in (10, 20, 40)] == [UNKNOWN, UNKNOWN, UNKNOWN]
    assert health.record(False, 50) == UNHEALTHY
    assert health.record(True, 60) == HEALTHY


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["CMD", "a", "b"], ("a", "b")),
        (["CMD-SHELL", "a && b"], ("/bin/sh", "-c", "a && b")),
        (["NONE"], None),
    ],
)
def test_health_commands_are_read_as_docker_does(
    command: list[str], expected: tuple[str, ...] | None
) -> None:
    found = HealthCheck.of({"command": command})
    assert (found.command if found else None) == expected


def test_container_is_made_of_definition_overrides_and_secrets(tmp_path: Path) -> None:
    described = {
        "name": "worker",
        "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "mountPoints": [{"sourceVolume": "models", "containerPath": "/mnt/models"}],
        "command": ["run"],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": "/g", "awslogs-stream-prefix": "p"},
        },
    }
    overrides = {"containerOverrides": [{"name": "worker", "environment": [{"name": "B", "value": "3"}]}]}
    made = container(
        described,
        overrides,
        task_id="t1",
        mounts={"models": tmp_path},
        secrets={"S": "x"},
        injected={"ECS_AGENT_URI": "u"},
    )
    assert made.command == ("ollama-worker", "run")
    assert made.environment == {"A": "1", "B": "3", "S": "x", "ECS_AGENT_URI": "u"}
    assert made.mounts == {"/mnt/models": tmp_path}
    assert made.log is not None
    assert made.log.stream == "p/worker/t1"


def test_only_paths_in_a_mount_are_pointed_to_the_host(tmp_path: Path) -> None:
    mounts = {"/mnt/models": tmp_path}
    assert on_the_host("/mnt/models", mounts) == str(tmp_path)
    assert on_the_host("/mnt/models/blobs", mounts) == f"{tmp_path}/blobs"
    assert on_the_host("/mnt/models2", mounts) == "/mnt/models2"
