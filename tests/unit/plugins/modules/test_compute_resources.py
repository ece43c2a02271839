# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every resource of a stack has in common, tried on each: made once, changed when it differs, removed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._package import package
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Resource, differing_keys, ensure
from ansible_collections.pasture.ollama.plugins.modules.application_scaling_policy import Target
from ansible_collections.pasture.ollama.plugins.modules.auto_scaling_group import Group
from ansible_collections.pasture.ollama.plugins.modules.auto_scaling_policy import Policy
from ansible_collections.pasture.ollama.plugins.modules.cloudwatch_alarm import Alarm
from ansible_collections.pasture.ollama.plugins.modules.cloudwatch_dashboard import Dashboard
from ansible_collections.pasture.ollama.plugins.modules.cloudwatch_log_group import LogGroup
from ansible_collections.pasture.ollama.plugins.modules.ec2_launch_template import LaunchTemplate
from ansible_collections.pasture.ollama.plugins.modules.ecs_capacity_provider import CapacityProvider
from ansible_collections.pasture.ollama.plugins.modules.ecs_cluster import Cluster
from ansible_collections.pasture.ollama.plugins.modules.ecs_service import Service
from ansible_collections.pasture.ollama.plugins.modules.ecs_task_definition import TaskDefinition
from ansible_collections.pasture.ollama.plugins.modules.event_bus import Bus
from ansible_collections.pasture.ollama.plugins.modules.event_rule import Rule
from ansible_collections.pasture.ollama.plugins.modules.iam_role import Role
from ansible_collections.pasture.ollama.plugins.modules.lambda_function import Function
from ansible_collections.pasture.ollama.plugins.modules.notification_topic import Topic
from ansible_collections.pasture.ollama.plugins.modules.sqs_queue import Queue

Apis = Callable[[str], Api]
Options = dict[str, Any]
TAGS = {"pasture:stack": "docs"}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
STEPS = [
    {"metric_interval_lower_bound": 0, "metric_interval_upper_bound": 2, "scaling_adjustment": 1},
    {"metric_interval_lower_bound": 2, "scaling_adjustment": 2},
]


def statement(action: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Sid": "One", "Effect": "Allow", "Action": action, "Resource": "*"}],
    }


class Case:
    """One kind of resource: how it is made, its first options, and edits that must each be seen and done."""

    def __init__(
        self,
        make: Callable[[Apis, Options], Resource],
        options: Options,
        edits: list[Options],
        prepare: Callable[[], Options] = dict,
    ) -> None:
        self.make = make
        self.options = options
        self.edits = edits
        self.prepare = prepare


def subnet() -> str:
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return str(ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"])


def with_dead_letter_queue() -> Options:
    boto3.client("sqs").create_queue(QueueName="dead")
    return {}


def function(api: Apis, options: Options) -> Function:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "code.py").write_text(options["code"])
        content = package(folder)
    return Function(api("lambda"), {key: value for key, value in options.items() if key != "code"}, content)


def with_role() -> Options:
    role = boto3.client("iam").create_role(RoleName="wake", AssumeRolePolicyDocument=json.dumps(TRUST))
    return {"role_arn": role["Role"]["Arn"]}


def with_template() -> Options:
    data = {"ImageId": "ami-12345678", "InstanceType": "g5.xlarge"}
    for name in ("one", "two"):
        boto3.client("ec2").create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
    return {"subnet_ids": [subnet()]}


def with_group() -> Options:
    options = with_template()
    boto3.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="group",
        LaunchTemplate={"LaunchTemplateName": "one", "Version": "$Latest"},
        MinSize=0,
        MaxSize=1,
        VPCZoneIdentifier=options["subnet_ids"][0],
        NewInstancesProtectedFromScaleIn=True,
    )
    return {}


def with_cluster() -> Options:
    ecs = boto3.client("ecs")
    ecs.create_cluster(clusterName="stack")
    arns = [
        ecs.register_task_definition(
            family="work", containerDefinitions=[{"name": "worker", "image": "worker", "memory": 512}]
        )["taskDefinition"]["taskDefinitionArn"]
        for _time in range(2)
    ]
    return {"task_definition": arns[0], "subnet_ids": [subnet()], "security_group_ids": []}


def with_service() -> Options:
    task_definition = with_cluster()["task_definition"]
    boto3.client("ecs").create_service(
        cluster="stack", serviceName="work", taskDefinition=task_definition, desiredCount=0
    )
    return {}


def container(**more: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": "worker",
            "image": "worker@sha256:0",
            "memory": 512,
            "environment": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}],
            **more,
        }
    ]


def permission(rule: str) -> dict[str, str]:
    return {
        "id": rule,
        "principal": "events.amazonaws.com",
        "source_arn": f"arn:aws:events:eu-west-1:123456789012:rule/{rule}",
    }


def query(metric: str) -> dict[str, Any]:
    return {
        "id": "waiting",
        "namespace": "AWS/SQS",
        "metric_name": metric,
        "dimensions": {"QueueName": "queue"},
        "statistic": "Maximum",
        "return_data": False,
    }


CASES = {
    "log group": Case(
        lambda api, o: LogGroup(api("logs"), o),
        {"name": "/pasture/docs/work", "retention_days": 30, "tags": TAGS},
        [{"retention_days": 7}, {"retention_days": 0}, {"tags": {"other": "tag"}}],
    ),
    "queue": Case(
        lambda api, o: Queue(api("sqs"), o),
        {
            "name": "work",
            "visibility_timeout": 60,
            "retention_seconds": 1209600,
            "receive_wait_seconds": 20,
            "policy": statement("sqs:SendMessage"),
            "kms_key_arn": "",
            "tags": TAGS,
        },
        [
            {"visibility_timeout": 90},
            {"kms_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/one"},
            {"kms_key_arn": ""},
            {"retention_seconds": 3600},
            {"policy": statement("sqs:ReceiveMessage")},
            {"dead_letter": {"arn": "arn:aws:sqs:eu-west-1:123456789012:dead", "max_receives": 5}},
            {"tags": {}},
        ],
        with_dead_letter_queue,
    ),
    "event bus": Case(
        lambda api, o: Bus(api("events"), o),
        {"name": "docs", "description": "Documents", "tags": TAGS},
        [{"tags": {"other": "tag"}}],
    ),
    "event rule": Case(
        lambda api, o: Rule(api("events"), {"event_bus": "default", **o}),
        {
            "name": "work-0",
            "pattern": {"source": ["aws.s3"]},
            "description": "Documents",
            "enabled": True,
            "targets": [{"id": "queue", "arn": "arn:aws:sqs:eu-west-1:123456789012:work"}],
            "tags": TAGS,
        },
        [
            {"pattern": {"source": ["aws.s3"], "detail-type": ["Object Created"]}},
            {"pattern": {"source": ["aws.s3"]}},
            {"enabled": False},
            {
                "targets": [
                    {
                        "id": "wake-up",
                        "arn": "arn:aws:lambda:eu-west-1:123456789012:function:wake",
                        "input": {"service": "work"},
                        "retry_attempts": 0,
                        "retry_seconds": 60,
                    }
                ]
            },
            {"tags": {"other": "tag"}},
        ],
    ),
    "event rule on a schedule": Case(
        lambda api, o: Rule(api("events"), {"event_bus": "default", **o}),
        {
            "name": "keep",
            "schedule": "rate(4 hours)",
            "description": "Metrics",
            "enabled": True,
            "targets": [{"id": "keep", "arn": "arn:aws:lambda:eu-west-1:123456789012:function:wake"}],
            "tags": TAGS,
        },
        [{"schedule": "rate(5 hours)"}, {"enabled": False}],
    ),
    "role": Case(
        lambda api, o: Role(api("iam"), "/pasture/docs/", o),
        {
            "name": "work",
            "description": "What it is for.",
            "trust_policy": TRUST,
            "policies": {"one": statement("s3:GetObject")},
            "managed_policies": [],
            "permissions_boundary": "",
            "instance_profile": True,
            "tags": TAGS,
        },
        [
            {"policies": {"one": statement("s3:PutObject")}},
            {"policies": {"two": statement("s3:PutObject")}},
            {"description": "Another."},
            {"instance_profile": False},
            {
                "trust_policy": {
                    **TRUST,
                    "Statement": [
                        {
                            **TRUST["Statement"][0],  # type: ignore[dict-item]
                            "Condition": {"StringEquals": {"aws:SourceAccount": "1"}},
                        }
                    ],
                }
            },
            {"tags": {"other": "tag"}},
        ],
    ),
    "launch template": Case(
        lambda api, o: LaunchTemplate(api("ec2"), o),
        {
            "name": "work",
            "image_id": "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id",
            "instance_type": "g5.xlarge",
            "instance_profile": "instance",
            "security_group_ids": ["sg-2", "sg-1"],
            "user_data": "#!/bin/bash\n",
            "device_name": "/dev/xvda",
            "volume_size": 60,
            "volume_throughput": 125,
            "tags": TAGS,
        },
        [{"instance_type": "g5.2xlarge"}, {"volume_size": 80}, {"user_data": "#!/bin/sh\n"}],
    ),
    "Auto Scaling group": Case(
        lambda api, o: Group(api("autoscaling"), o),
        {
            "name": "work",
            "launch_template": "one",
            "max_size": 5,
            "protect_new_instances": True,
            "spot": False,
            "warm_instances": 2,
            "tags": TAGS,
        },
        [
            {"max_size": 7},
            {"warm_instances": 1},
            {"warm_instances": 0},
            {"launch_template": "two"},
            {"tags": {"other": "tag"}},
        ],
        with_template,
    ),
    "capacity provider": Case(
        lambda api, o: CapacityProvider(api("ecs"), api("autoscaling"), o),
        {
            "name": "work",
            "auto_scaling_group": "group",
            "target_capacity": 100,
            "instance_warmup": 120,
            "minimum_step": 1,
            "maximum_step": 5,
            "termination_protection": True,
            "draining": True,
            "tags": TAGS,
        },
        [{"maximum_step": 7}, {"target_capacity": 90}, {"tags": {"other": "tag"}}],
        with_group,
    ),
    "cluster": Case(
        lambda api, o: Cluster(api("ecs"), o),
        {"name": "docs", "container_insights": "enabled", "tags": TAGS},
        [{"tags": {"other": "tag"}}],
    ),
    "task definition": Case(
        lambda api, o: TaskDefinition(api("ecs"), o),
        {
            "name": "work",
            "containers": container(),
            "requires_compatibilities": ["EC2"],
            "network_mode": "awsvpc",
            "task_role_arn": "arn:aws:iam::123456789012:role/one",
            "execution_role_arn": "arn:aws:iam::123456789012:role/two",
            "runtime_platform": {"cpu_architecture": "X86_64", "operating_system_family": "LINUX"},
            "tags": TAGS,
        },
        [
            {"containers": container(stopTimeout=120)},
            {"containers": container()},
            {"containers": container(memory=1024)},
            {"memory": 2048},
            {"cpu": 1024},
            {"task_role_arn": "arn:aws:iam::123456789012:role/three"},
            {"execution_role_arn": "arn:aws:iam::123456789012:role/three"},
            {"network_mode": "host"},
            {"runtime_platform": {"cpu_architecture": "ARM64", "operating_system_family": "LINUX"}},
        ],
    ),
    "service": Case(
        lambda api, o: Service(api("ecs"), "stack", o),
        {
            "name": "work",
            "minimum_healthy_percent": 0,
            "maximum_percent": 100,
            "circuit_breaker": True,
            "placement_strategy": [{"type": "binpack", "field": "MEMORY"}],
            "tags": TAGS,
        },
        [
            {"maximum_percent": 200},
            {"circuit_breaker": False},
            {"task_definition": "arn:aws:ecs:eu-west-1:123456789012:task-definition/work:2"},
            {"tags": {"other": "tag"}},
        ],
        with_cluster,
    ),
    "scalable target": Case(
        lambda api, o: Target(
            api("application-autoscaling"),
            {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"},
            o,
        ),
        {
            "resource_id": "service/stack/work",
            "min_capacity": 0,
            "max_capacity": 2,
            "policies": [{"name": "outstanding", "cooldown": 60, "aggregation": "Maximum", "steps": STEPS}],
        },
        [
            {"max_capacity": 4},
            {"policies": [{"name": "idle", "cooldown": 0, "aggregation": "Maximum", "steps": STEPS}]},
        ],
        with_service,
    ),
    "Auto Scaling policy": Case(
        lambda api, o: Policy(api("autoscaling"), o),
        {
            "name": "idle",
            "auto_scaling_group": "group",
            "steps": [{"metric_interval_upper_bound": 0, "scaling_adjustment": 0}],
        },
        [{"steps": [{"metric_interval_upper_bound": 0, "scaling_adjustment": 1}]}],
        with_group,
    ),
    "alarm": Case(
        lambda api, o: Alarm(api("cloudwatch"), o),
        {
            "name": "work-outstanding",
            "description": "Documents wait.",
            "metrics": [
                query("ApproximateNumberOfMessagesVisible"),
                {"id": "all", "expression": "waiting + 0", "return_data": True},
            ],
            "period": 60,
            "threshold": 1,
            "comparison": "GreaterThanOrEqualToThreshold",
            "evaluation_periods": 1,
            "missing_data": "notBreaching",
            "alarm_actions": ["arn:aws:sns:eu-west-1:123456789012:b", "arn:aws:sns:eu-west-1:123456789012:a"],
            "tags": TAGS,
        },
        [
            {"threshold": 2},
            {"evaluation_periods": 5},
            {"missing_data": "breaching"},
            {"alarm_actions": []},
            {"comparison": "LessThanOrEqualToThreshold"},
            {
                "metrics": [
                    query("NumberOfMessagesDeleted"),
                    {"id": "all", "expression": "waiting + 0", "return_data": True},
                ]
            },
        ],
    ),
    "function": Case(
        function,
        {
            "name": "wake",
            "code": "print(1)",
            "handler": "code.handler",
            "runtime": "python3.13",
            "architecture": "arm64",
            "description": "Wakes.",
            "timeout": 10,
            "memory_size": 128,
            "environment": {},
            "reserved_concurrency": -1,
            "retry_attempts": 0,
            "event_age": 60,
            "permissions": [],
            "tags": TAGS,
        },
        [
            {"timeout": 20},
            {"code": "print(2)"},
            {"environment": {"MODE": "1"}},
            {"reserved_concurrency": 1},
            {"reserved_concurrency": -1},
            {"permissions": [permission("rule-0"), permission("rule-1")]},
            {"permissions": [permission("rule-1")]},
            {"tags": {"other": "tag"}},
        ],
        with_role,
    ),
    "topic": Case(
        lambda api, o: Topic(api("sns"), o),
        {
            "name": "docs",
            "policy": statement("sns:Publish"),
            "kms_key_arn": "",
            "emails": ["a@example.org"],
            "tags": TAGS,
        },
        [
            {"policy": statement("sns:Subscribe")},
            {"emails": ["a@example.org", "b@example.org"]},
            {"kms_key_arn": "alias/docs"},
            {"tags": {"other": "tag"}},
        ],
    ),
    "dashboard": Case(
        lambda api, o: Dashboard(api("cloudwatch"), o),
        {"name": "docs", "body": {"widgets": [{"type": "text", "properties": {"markdown": "One"}}]}},
        [{"body": {"widgets": []}}],
    ),
}


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def test_it_is_made_once_changed_when_it_differs_and_removed(case: Case, api: Apis) -> None:
    options = {**case.options, **case.prepare()}
    assert ensure(case.make(api, options)).changed
    again = ensure(case.make(api, options))
    assert not again.changed, again.diff

    for edit in case.edits:
        options = {**options, **edit}
        check = ensure(case.make(api, options), check_mode=True)
        assert check.changed, edit
        before = case.make(api, options).read()
        done = ensure(case.make(api, options))
        assert done.changed, edit
        assert check.before == before, "check mode has written"
        again = ensure(case.make(api, options))
        assert not again.changed, (edit, again.diff)

    assert ensure(case.make(api, options), "absent").changed
    assert not ensure(case.make(api, options), "absent").changed


def test_the_count_that_scaling_has_set_is_never_reset(api: Apis) -> None:
    case = CASES["service"]
    options = {**case.options, **case.prepare()}
    ensure(case.make(api, options))
    ecs = boto3.client("ecs")
    ecs.update_service(cluster="stack", service="work", desiredCount=3)
    assert not ensure(case.make(api, options)).changed
    ensure(case.make(api, {**options, **case.edits[2]}))
    found = ecs.describe_services(cluster="stack", services=["work"])["services"][0]
    assert found["desiredCount"] == 3
    assert found["taskDefinition"].endswith("work:2")


def test_a_group_keeps_the_tag_that_ecs_has_put_on_it(api: Apis) -> None:
    case = CASES["Auto Scaling group"]
    options = {**case.options, **case.prepare()}
    ensure(case.make(api, options))
    own = {"ResourceId": "work", "ResourceType": "auto-scaling-group", "PropagateAtLaunch": True}
    autoscaling = boto3.client("autoscaling")
    autoscaling.create_or_update_tags(Tags=[{"Key": "AmazonECSManaged", "Value": "", **own}])
    assert not ensure(case.make(api, options)).changed
    ensure(case.make(api, {**options, "tags": {}}))
    tags = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"][0]["Tags"]
    assert [tag["Key"] for tag in tags] == ["AmazonECSManaged"]


def test_check_mode_makes_nothing_and_shows_what_it_would_make(case: Case, api: Apis) -> None:
    resource = case.make(api, {**case.options, **case.prepare()})
    outcome = ensure(resource, check_mode=True)
    assert outcome.changed
    assert outcome.after
    assert resource.read() is None


def test_a_diff_names_only_what_changes(case: Case, api: Apis) -> None:
    options = {**case.options, **case.prepare()}
    ensure(case.make(api, options))
    edit = case.edits[0]
    resource = case.make(api, {**options, **edit})
    current = resource.read()
    assert current is not None
    keys = differing_keys(current, resource.wanted(current), resource.exact_keys)
    # What follows from a change: new permissions of policies, the number of a revision or version.
    assert keys <= {*edit, "definition", "arn", "revision", "version", "policy_arns"}


@pytest.mark.parametrize("code", ["AccessDeniedException", "LimitExceededException"])
def test_a_refusal_of_aws_passes_with_its_code(
    case: Case, code: str, api: Apis, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**case.options, **case.prepare()}
    resource = case.make(api, options)

    def refuse(_api: Api, operation: str, *_: str, **__: Any) -> None:
        cause = Exception(code)
        cause.response = {"Error": {"Code": code}}  # type: ignore[attr-defined]
        raise AwsError(operation, cause)

    monkeypatch.setattr(Api, "call", refuse)
    monkeypatch.setattr(Api, "pages", refuse)
    with pytest.raises(AwsError) as refusal:
        ensure(resource)
    assert refusal.value.code == code
    assert refusal.value.remedy
