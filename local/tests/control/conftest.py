# SPDX-License-Identifier: GPL-3.0-or-later
"""A cloud of its own for the tests, and a service in it whose task is a small script."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from pasture_local import lifecycle
from pasture_local.home import Home, State

#: Virtual seconds in one real second: an alarm's minute passes in one.
SPEED = 60.0


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def cloud(home: Home) -> Iterator[State]:
    """The cloud; it ends with the tests, whatever they leave in it."""
    state, _ = lifecycle.up(home, speed=SPEED, lifeline=lifecycle.Lifeline())
    yield state
    lifecycle.down(home)


Client = Callable[[str], Any]


@pytest.fixture(scope="session")
def client(cloud: State) -> Client:
    session = boto3.Session(
        aws_access_key_id="pasture", aws_secret_access_key="pasture", region_name=cloud.region
    )
    made: dict[str, Any] = {}

    def of(service: str) -> Any:
        return made.setdefault(service, session.client(service, endpoint_url=cloud.endpoint_url))

    return of


def wait_for(condition: Callable[[], Any], seconds: float = 90.0, what: str = "the condition") -> Any:
    """The first true value of a condition that is looked at until it has one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come true in {seconds:.0f} s")


class Stack:
    """A cluster with a capacity provider, and one service on it, made by plain API calls."""

    def __init__(self, client: Client, name: str, script: str, **container: Any) -> None:
        self.client = client
        self.name = name
        ec2, ecs, scaling = client("ec2"), client("ecs"), client("autoscaling")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        ec2.create_launch_template(
            LaunchTemplateName=name, LaunchTemplateData={"ImageId": image, "InstanceType": "t3.large"}
        )
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=0,
            MaxSize=3,
            DesiredCapacity=0,
            LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
            VPCZoneIdentifier=subnet,
            NewInstancesProtectedFromScaleIn=True,
        )
        group = self.group()["AutoScalingGroupARN"]
        ecs.create_capacity_provider(
            name=name,
            autoScalingGroupProvider={
                "autoScalingGroupArn": group,
                "managedScaling": {"status": "ENABLED", "targetCapacity": 100},
                "managedTerminationProtection": "ENABLED",
            },
        )
        ecs.create_cluster(clusterName=name, capacityProviders=[name], defaultCapacityProviderStrategy=[])
        client("logs").create_log_group(logGroupName=f"/{name}")
        role = client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        self.role = role
        self.definition = {
            "family": name,
            "taskRoleArn": role,
            "containerDefinitions": [
                {
                    "name": "worker",
                    "image": "none",
                    "memory": 5000,
                    "entryPoint": [sys.executable, "-c", script],
                    "command": ["run"],
                    "environment": [{"name": "GREETING", "value": "hello"}],
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": f"/{name}",
                            "awslogs-region": "eu-west-1",
                            "awslogs-stream-prefix": "t",
                        },
                    },
                    "stopTimeout": 5,
                    **container,
                }
            ],
        }
        self.register()
        ecs.create_service(
            cluster=name,
            serviceName=name,
            taskDefinition=name,
            desiredCount=0,
            capacityProviderStrategy=[{"capacityProvider": name, "weight": 1}],
            deploymentConfiguration={"minimumHealthyPercent": 0, "maximumPercent": 100},
        )

    def register(self, **changes: Any) -> str:
        definition = {**self.definition, **changes}
        answer = self.client("ecs").register_task_definition(**definition)
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def group(self) -> dict[str, Any]:
        groups = self.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])
        return dict(groups["AutoScalingGroups"][0])

    def desire(self, count: int, **changes: Any) -> None:
        self.client("ecs").update_service(cluster=self.name, service=self.name, desiredCount=count, **changes)

    def service(self) -> dict[str, Any]:
        found = self.client("ecs").describe_services(cluster=self.name, services=[self.name])
        return dict(found["services"][0])

    def tasks(self, status: str = "RUNNING") -> list[dict[str, Any]]:
        arns = self.client("ecs").list_tasks(cluster=self.name, desiredStatus=status)["taskArns"]
        if not arns:
            return []
        found = self.client("ecs").describe_tasks(cluster=self.name, tasks=arns)["tasks"]
        return [task for task in found if task["lastStatus"] == status]

    def log(self) -> list[str]:
        logs = self.client("logs")
        streams = logs.describe_log_streams(logGroupName=f"/{self.name}")["logStreams"]
        return [
            event["message"]
            for stream in streams
            for event in logs.get_log_events(
                logGroupName=f"/{self.name}", logStreamName=stream["logStreamName"], startFromHead=True
            )["events"]
        ]

    def reports(self, key: str) -> list[Any]:
        """What the script printed as JSON objects with this key."""
        lines = [json.loads(line) for line in self.log() if line.startswith("{")]
        return [line[key] for line in lines if key in line]


@pytest.fixture
def stack(request: pytest.FixtureRequest, client: Client) -> Iterator[Callable[..., Stack]]:
    """Makes stacks named after the test."""
    made: list[Stack] = []

    def make(script: str, **container: Any) -> Stack:
        name = request.node.name.replace("_", "-")[:40]
        made.append(Stack(client, name, script, **container))
        return made[-1]

    yield make
    for one in made:
        one.client("ecs").delete_service(cluster=one.name, service=one.name, force=True)
        wait_for(lambda one=one: not one.tasks(), what="the end of the tasks")


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
