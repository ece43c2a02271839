# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks, and what an ECS agent tells about them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def stack(cloud: Any, name: str) -> SimpleNamespace:
    """A cluster without instances, a network and a task definition with two containers."""
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName=name, Description="tasks", VpcId=vpc)["GroupId"]
    ecs = cloud.client("ecs")
    ecs.create_cluster(clusterName=name)
    ecs.register_task_definition(
        family=name,
        networkMode="awsvpc",
        memory="1024",
        containerDefinitions=[{"name": "worker", "image": "worker"}, {"name": "proxy", "image": "proxy"}],
    )
    awsvpc = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}}
    return SimpleNamespace(ecs=ecs, ec2=ec2, name=name, vpc=vpc, group=group, network=awsvpc)


def run(stack: SimpleNamespace, **options: Any) -> dict[str, Any]:
    started = stack.ecs.run_task(
        cluster=stack.name, taskDefinition=stack.name, networkConfiguration=stack.network, **options
    )
    task: dict[str, Any] = started["tasks"][0]
    return task


def look(stack: SimpleNamespace, arn: str) -> dict[str, Any]:
    task: dict[str, Any] = stack.ecs.describe_tasks(cluster=stack.name, tasks=[arn])["tasks"][0]
    return task


@pytest.mark.mends("ecs-task-memory", "ecs-task-containers", "ecs-task-status")
def test_a_fargate_task_ends_by_itself_without_an_agent(stack: SimpleNamespace) -> None:
    arn = run(stack, launchType="FARGATE")["taskArn"]
    for _ in range(10):
        task = look(stack, arn)
        if task["lastStatus"] == "STOPPED":
            break
    assert task["desiredStatus"] == "STOPPED"
    assert [(c["name"], c["exitCode"]) for c in task["containers"]] == [("worker", 0), ("proxy", 0)]
    assert all(c["taskArn"] == arn for c in task["containers"])
    assert task["createdAt"] <= task["stoppedAt"]


@pytest.mark.mends("ecs-run-task", "ecs-task-memory")
def test_a_task_waits_for_an_instance_that_is_not_there_yet(stack: SimpleNamespace) -> None:
    task = run(stack, launchType="EC2", group="service:x", startedBy="ecs-svc/1")
    assert "containerInstanceArn" not in task
    assert (task["group"], task["startedBy"], task["launchType"]) == ("service:x", "ecs-svc/1", "EC2")


@pytest.mark.mends("ecs-list-tasks", "ecs-run-task")
def test_tasks_are_listed_by_service_and_while_they_should_run(stack: SimpleNamespace) -> None:
    mine = run(stack, launchType="EC2", group="service:mine")["taskArn"]
    run(stack, launchType="EC2", group="service:other")
    assert stack.ecs.list_tasks(cluster=stack.name, serviceName="mine")["taskArns"] == [mine]
    stack.ecs.stop_task(cluster=stack.name, task=mine)
    assert stack.ecs.list_tasks(cluster=stack.name, serviceName="mine")["taskArns"] == []
    stopped = stack.ecs.list_tasks(cluster=stack.name, serviceName="mine", desiredStatus="STOPPED")
    assert stopped["taskArns"] == [mine]


@pytest.mark.mends("ecs-stop-task", "ecs-missing-tasks")
def test_a_task_that_does_not_exist_is_said_to_be_missing(stack: SimpleNamespace) -> None:
    with pytest.raises(ClientError, match="was not found"):
        stack.ecs.stop_task(cluster=stack.name, task="missing")
    failures = stack.ecs.describe_tasks(cluster=stack.name, tasks=["missing"])["failures"]
    assert [failure["reason"] for failure in failures] == ["MISSING"]


@pytest.mark.mends("ecs-protect-tasks", "ecs-task-protection")
def test_a_task_of_a_service_can_be_protected_from_scale_in(stack: SimpleNamespace) -> None:
    arn = run(stack, launchType="EC2", group="service:mine")["taskArn"]
    change = stack.ecs.update_task_protection(
        cluster=stack.name, tasks=[arn], protectionEnabled=True, expiresInMinutes=60
    )
    assert change["protectedTasks"][0]["protectionEnabled"] is True
    found = stack.ecs.get_task_protection(cluster=stack.name, tasks=[arn])["protectedTasks"]
    assert found[0]["taskArn"] == arn
    assert found[0]["expirationDate"]
    stack.ecs.update_task_protection(cluster=stack.name, tasks=[arn], protectionEnabled=False)
    found = stack.ecs.get_task_protection(cluster=stack.name)["protectedTasks"]
    assert [task["protectionEnabled"] for task in found] == [False]


@pytest.mark.mends("ecs-protect-tasks")
def test_a_task_outside_of_a_service_cannot_be_protected(stack: SimpleNamespace) -> None:
    arn = run(stack, launchType="FARGATE")["taskArn"]
    change = stack.ecs.update_task_protection(cluster=stack.name, tasks=[arn], protectionEnabled=True)
    assert change["failures"][0]["reason"] == "TASK_NOT_VALID"


def submit(stack: SimpleNamespace, arn: str, status: str, **details: Any) -> None:
    stack.ecs.submit_task_state_change(cluster=stack.name, task=arn, status=status, **details)


@pytest.mark.mends("ecs-agent", "ecs-task-state-change")
def test_a_task_goes_where_its_agent_says(cloud: Any, stack: SimpleNamespace) -> None:
    arn = run(stack, launchType="EC2", group="service:mine")["taskArn"]
    submit(stack, arn, "PENDING")
    assert [look(stack, arn)["lastStatus"] for _ in range(6)][-1] == "PENDING"
    submit(stack, arn, "RUNNING")
    task = look(stack, arn)
    assert task["lastStatus"] == "RUNNING"
    assert task["startedAt"]
    # StopTask only says what is wanted; the agent says when it is done.
    stack.ecs.stop_task(cluster=stack.name, task=arn, reason="scale-in")
    task = look(stack, arn)
    assert (task["lastStatus"], task["desiredStatus"]) == ("RUNNING", "STOPPED")
    submit(
        stack, arn, "STOPPED", containers=[{"containerName": "worker", "exitCode": 3, "status": "STOPPED"}]
    )
    task = look(stack, arn)
    assert (task["lastStatus"], task["stoppedReason"], task["stopCode"]) == (
        "STOPPED",
        "scale-in",
        "UserInitiated",
    )
    assert task["containers"][0]["exitCode"] == 3


@pytest.mark.mends("ecs-task-status")
def test_a_stopped_task_gives_its_network_interface_back(stack: SimpleNamespace) -> None:
    arn = run(stack, launchType="FARGATE")["taskArn"]
    stack.ecs.stop_task(cluster=stack.name, task=arn)
    stack.ec2.delete_security_group(GroupId=stack.group)
    assert look(stack, arn)["lastStatus"] == "STOPPED"


@pytest.mark.mends("ecs-service-counts", "ecs-task-state-change")
def test_a_service_counts_the_tasks_that_run_for_it(stack: SimpleNamespace) -> None:
    stack.ecs.create_service(
        cluster=stack.name,
        serviceName="mine",
        taskDefinition=stack.name,
        desiredCount=2,
        networkConfiguration=stack.network,
    )
    first, second = (run(stack, launchType="EC2", group="service:mine")["taskArn"] for _ in range(2))
    submit(stack, first, "RUNNING")
    submit(stack, second, "PENDING")
    service = stack.ecs.describe_services(cluster=stack.name, services=["mine"])["services"][0]
    assert (service["runningCount"], service["pendingCount"]) == (1, 1)
    assert service["deployments"][0]["rolloutState"] == "IN_PROGRESS"
    submit(stack, second, "RUNNING")
    service = stack.ecs.describe_services(cluster=stack.name, services=["mine"])["services"][0]
    assert service["deployments"][0]["rolloutState"] == "COMPLETED"
