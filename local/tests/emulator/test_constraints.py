# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS asks of a request, and botocore does not look at, is asked here: of every request, by every suite."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from pasture_local.emulator.constraints import documented, model, violations
from pasture_local.emulator.constraints._check import broken, compiled

# The services that a stack uses.
SERVICES = (
    "application-autoscaling",
    "autoscaling",
    "cloudwatch",
    "ec2",
    "ecr",
    "ecs",
    "efs",
    "events",
    "iam",
    "kms",
    "lambda",
    "logs",
    "service-quotas",
    "sns",
    "sqs",
    "ssm",
    "sts",
)
ALARM = {"AlarmName": "a", "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1}
CONTAINER = {"name": "worker", "image": "i"}
STEPS = {
    "PolicyName": "p",
    "ServiceNamespace": "ecs",
    "ResourceId": "service/c/s",
    "ScalableDimension": "ecs:service:DesiredCount",
}
TARGET = {key: value for key, value in STEPS.items() if key != "PolicyName"}


def step(low: float | None, high: float | None, to: int = 1) -> dict[str, Any]:
    bounds = {"MetricIntervalLowerBound": low, "MetricIntervalUpperBound": high}
    return {
        **{key: value for key, value in bounds.items() if value is not None},
        "ScalingAdjustment": to,
    }


def staircase(*steps: dict[str, Any], kind: str = "ExactCapacity") -> dict[str, Any]:
    return {
        **STEPS,
        "StepScalingPolicyConfiguration": {"AdjustmentType": kind, "StepAdjustments": list(steps)},
    }


def container(**settings: Any) -> dict[str, Any]:
    return {"family": "f", "containerDefinitions": [{**CONTAINER, **settings}]}


# Service, operation, parameters, and what the answer says. Each is one that botocore lets through.
REFUSED = [
    # ECS: hardly a constraint is in its model
    ("ecs", "CreateCluster", {"clusterName": "a b"}, "'a b' at 'clusterName'"),
    ("ecs", "CreateCluster", {"tags": [{"key": "a", "value": "(b)"}]}, "'(b)' at 'tags.1.member.value'"),
    ("ecs", "CreateService", {"serviceName": "x" * 256}, "at 'serviceName'"),
    ("ecs", "CreateService", {"serviceName": "s", "launchType": "EC3"}, "enum value set: [EC2, FARGATE"),
    ("ecs", "CreateService", {"serviceName": "s", "desiredCount": -1}, "greater than or equal to 0"),
    (
        "ecs",
        "CreateService",
        {"serviceName": "s", "capacityProviderStrategy": [{"capacityProvider": "c", "weight": 1001}]},
        "less than or equal to 1000",
    ),
    (
        "ecs",
        "CreateCapacityProvider",
        {
            "name": "c",
            "autoScalingGroupProvider": {
                "autoScalingGroupArn": "a",
                "managedScaling": {"maximumScalingStepSize": 10_001},
            },
        },
        "less than or equal to 10000",
    ),
    ("ecs", "CreateCapacityProvider", {"name": "ecs-mine"}, "'ecs-mine' at 'name'"),
    ("ecs", "RegisterTaskDefinition", container(name="a/b"), "'a/b' at 'containerDefinitions.1.member.name'"),
    ("ecs", "RegisterTaskDefinition", container(memory=5), "greater than or equal to 6"),
    (
        "ecs",
        "RegisterTaskDefinition",
        container(healthCheck={"command": ["CMD"], "timeout": 61}),
        "containerDefinitions.1.member.healthCheck.timeout",
    ),
    (
        "ecs",
        "RegisterTaskDefinition",
        container(
            linuxParameters={"capabilities": {}}, ulimits=[{"name": "files", "softLimit": 1, "hardLimit": 1}]
        ),
        "enum value set: [core, cpu",
    ),
    ("ecs", "UpdateTaskProtection", {"cluster": "c", "tasks": [], "expiresInMinutes": 2881}, "equal to 2880"),
    # EFS
    ("efs", "CreateFileSystem", {"CreationToken": "x" * 65}, "length less than or equal to 64"),
    (
        "efs",
        "CreateFileSystem",
        {"CreationToken": "x", "ThroughputMode": "vast"},
        "[bursting, provisioned, elastic]",
    ),
    (
        "efs",
        "CreateAccessPoint",
        {"ClientToken": "x", "FileSystemId": "fs-0123456789abcdef0", "RootDirectory": {"Path": "/a/b/c/d/e"}},
        "'/a/b/c/d/e' at 'RootDirectory.Path'",
    ),
    (
        "efs",
        "CreateAccessPoint",
        {
            "ClientToken": "x",
            "FileSystemId": "fs-0123456789abcdef0",
            "RootDirectory": {"CreationInfo": {"OwnerUid": 1, "OwnerGid": 1, "Permissions": "rwx"}},
        },
        "at 'RootDirectory.CreationInfo.Permissions'",
    ),
    ("efs", "CreateMountTarget", {"FileSystemId": "fs-1", "SubnetId": "subnet-x"}, "at 'SubnetId'"),
    # SQS: its model has none at all
    ("sqs", "CreateQueue", {"QueueName": "a.b"}, "'a.b' at 'QueueName'"),
    ("sqs", "CreateQueue", {"QueueName": "q", "Attributes": {"MessageRetentionPeriod": "59"}}, "equal to 60"),
    ("sqs", "SetQueueAttributes", {"Attributes": {"VisibilityTimeout": "43201"}}, "equal to 43200"),
    (
        "sqs",
        "SetQueueAttributes",
        {"Attributes": {"RedrivePolicy": '{"maxReceiveCount": 1001}'}},
        "equal to 1000",
    ),
    ("sqs", "ReceiveMessage", {"QueueUrl": "u", "WaitTimeSeconds": 21}, "equal to 20"),
    # Application Auto Scaling
    ("application-autoscaling", "RegisterScalableTarget", {**TARGET, "MinCapacity": -1}, "at 'MinCapacity'"),
    (
        "application-autoscaling",
        "RegisterScalableTarget",
        {**TARGET, "ScalableDimension": "ecs:service:Count"},
        "at 'ScalableDimension'",
    ),
    ("application-autoscaling", "PutScalingPolicy", {**STEPS, "PolicyName": "x" * 257}, "at 'PolicyName'"),
    ("application-autoscaling", "PutScalingPolicy", {**STEPS, "PolicyName": "naïve"}, r"pattern: \p{Print}+"),
    (
        "application-autoscaling",
        "PutScalingPolicy",
        staircase(*[step(i, i + 1) for i in range(21)]),
        "equal to 20",
    ),
    (
        "application-autoscaling",
        "PutScalingPolicy",
        staircase(step(0, 5), step(6, None)),
        "no gap and not overlap",
    ),
    ("application-autoscaling", "PutScalingPolicy", staircase(step(0, None, -1)), "must not be negative"),
    (
        "application-autoscaling",
        "PutScalingPolicy",
        staircase(step(0, None), kind="Exact"),
        "[ChangeInCapacity",
    ),
    # EventBridge
    ("events", "PutRule", {"Name": "a b"}, "'a b' at 'Name'"),
    ("events", "PutRule", {"Name": "a", "EventPattern": "x" * 2049}, "at 'EventPattern'"),
    ("events", "PutRule", {"Name": "a", "ScheduleExpression": "rate(1 minutes)"}, "at 'ScheduleExpression'"),
    (
        "events",
        "PutTargets",
        {"Rule": "r", "Targets": [{"Id": "a/b", "Arn": "a"}]},
        "at 'Targets.1.member.Id'",
    ),
    (
        "events",
        "PutTargets",
        {"Rule": "r", "Targets": [{"Id": str(i), "Arn": "a"} for i in range(6)]},
        "equal to 5",
    ),
    (
        "events",
        "PutTargets",
        {"Rule": "r", "Targets": [{"Id": "1", "Arn": "a", "RetryPolicy": {"MaximumEventAgeInSeconds": 59}}]},
        "MaximumEventAgeInSeconds",
    ),
    # CloudWatch
    ("cloudwatch", "PutMetricAlarm", {**ALARM, "AlarmName": "x" * 256}, "at 'AlarmName'"),
    ("cloudwatch", "PutMetricAlarm", {**ALARM, "ComparisonOperator": "Above"}, "at 'ComparisonOperator'"),
    ("cloudwatch", "PutMetricAlarm", {**ALARM, "Period": 90}, "or a multiple of 60"),
    (
        "cloudwatch",
        "PutMetricAlarm",
        {**ALARM, "Period": 60, "EvaluationPeriods": 1441},
        "at most 86400 seconds",
    ),
    ("cloudwatch", "PutMetricAlarm", {**ALARM, "DatapointsToAlarm": 2}, "at most EvaluationPeriods (1)"),
    (
        "cloudwatch",
        "PutMetricAlarm",
        {**ALARM, "Metrics": [{"Id": "Sum", "Expression": "1"}]},
        "'Sum' at 'Metrics.1.member.Id'",
    ),
    (
        "cloudwatch",
        "PutMetricAlarm",
        {**ALARM, "Metrics": [{"Id": "a", "Expression": "1"}, {"Id": "b", "Expression": "1"}]},
        "Exactly one member must return data",
    ),
    ("cloudwatch", "PutDashboard", {"DashboardName": "a/b", "DashboardBody": "{}"}, "at 'DashboardName'"),
    # and those whose models have nearly all
    ("ec2", "DescribeInstanceTypes", {"MaxResults": 101}, "equal to 100"),
    ("iam", "CreateRole", {"RoleName": "a b", "AssumeRolePolicyDocument": "{}"}, "'a b' at 'RoleName'"),
    (
        "iam",
        "PutRolePolicy",
        {"RoleName": "r", "PolicyName": "p", "PolicyDocument": "x" * 10_241},
        "equal to 10240",
    ),
    ("kms", "DescribeKey", {"KeyId": "x" * 2049}, "equal to 2048"),
    ("logs", "CreateLogGroup", {"logGroupName": "a b"}, "'a b' at 'logGroupName'"),
    ("ssm", "PutParameter", {"Name": "/aws/x", "Value": "x", "Type": "String"}, "'/aws/x' at 'Name'"),
    ("ssm", "PutParameter", {"Name": "x", "Value": "x" * 4097, "Type": "String"}, "equal to 4096"),
]


@pytest.mark.parametrize(("service", "operation", "parameters", "told"), REFUSED)
def test_a_request_that_aws_refuses_breaks_a_constraint(
    service: str, operation: str, parameters: dict[str, Any], told: str
) -> None:
    assert any(told in sentence for sentence in violations(service, operation, parameters))


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        (
            "ecs",
            "CreateCluster",
            {"clusterName": "pasture-docs", "tags": [{"key": "Straße 1", "value": "a@b"}]},
        ),
        ("ecs", "RegisterTaskDefinition", container(memory=15_360, healthCheck={"command": ["CMD"]})),
        (
            "efs",
            "CreateAccessPoint",
            {"ClientToken": "x", "FileSystemId": "fs-01234567", "RootDirectory": {"Path": "/models"}},
        ),
        (
            "sqs",
            "CreateQueue",
            {"QueueName": "q.fifo", "Attributes": {"Policy": "{}", "VisibilityTimeout": "0"}},
        ),
        ("application-autoscaling", "PutScalingPolicy", staircase(step(None, 0), step(0, 7), step(7, None))),
        ("events", "PutRule", {"Name": "a", "ScheduleExpression": "rate(5 minutes)"}),
        ("cloudwatch", "PutMetricAlarm", {**ALARM, "Period": 3600, "EvaluationPeriods": 168}),
        ("sts", "GetCallerIdentity", {}),
    ],
)
def test_a_request_that_aws_takes_breaks_none(
    service: str, operation: str, parameters: dict[str, Any]
) -> None:
    assert violations(service, operation, parameters) == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_pattern_of_the_model_is_understood(service: str) -> None:
    found = botocore.session.get_session().get_service_model(service)
    for name in found.shape_names:
        if pattern := found.shape_for(name).metadata.get("pattern"):
            compiled(pattern)


@pytest.mark.parametrize("row", documented.ROWS, ids=lambda row: f"{row.service}.{row.path}")
def test_every_row_of_the_reference_is_about_something_that_exists(row: documented.Row) -> None:
    for operation in row.operations:
        shape = (
            botocore.session.get_session()
            .get_service_model(row.service)
            .operation_model(operation)
            .input_shape
        )
        for part in row.path.split("."):
            if shape.type_name == "map" or part.endswith("{}"):
                break
            shape = shape.member if part == "*" else shape.members[part]


def test_a_text_is_measured_in_characters_and_matched_as_a_whole() -> None:
    assert list(broken("éé", {"max": 2})) == []
    assert list(broken("ab!", {"pattern": "[a-z]+"})) != []
    assert list(broken(True, {"min": 5})) == []


def test_botocore_knows_which_constraints_there_are() -> None:
    """The model is read through botocore's own class, which leaves out what it does not know."""
    shape = botocore.session.get_session().get_service_model("efs").shape_for("CreationToken")
    assert {"min", "max", "pattern"} <= set(shape.metadata)
    assert list(model.violations("efs", "CreateFileSystem", {"CreationToken": ""}))


# One for each protocol: the error comes back as the service's own.
@pytest.mark.mends("constraints")
@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code"),
    [
        (
            "application-autoscaling",
            "register_scalable_target",
            {**TARGET, "MinCapacity": -1},
            "ValidationException",
        ),
        (
            "cloudwatch",
            "put_metric_alarm",
            {**ALARM, "Period": 90, "MetricName": "m", "Namespace": "n"},
            "ValidationError",
        ),
        ("ec2", "describe_instance_types", {"MaxResults": 101}, "InvalidParameterValue"),
        ("ecs", "create_cluster", {"clusterName": "a b"}, "InvalidParameterException"),
        (
            "efs",
            "create_file_system",
            {"CreationToken": "x", "ThroughputMode": "vast"},
            "ValidationException",
        ),
        ("events", "put_rule", {"Name": "r", "ScheduleExpression": "rate(1 minutes)"}, "ValidationException"),
        ("iam", "create_role", {"RoleName": "a b", "AssumeRolePolicyDocument": "{}"}, "ValidationError"),
        ("sqs", "create_queue", {"QueueName": "a.b"}, "InvalidParameterValue"),
    ],
)
def test_the_emulator_refuses_it(
    cloud: Any, service: str, operation: str, parameters: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError, match="failed to satisfy constraint") as caught:
        getattr(cloud.client(service), operation)(**parameters)
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
