# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages wake a service by the deployed alarms, policies and functions, and it goes back to zero by them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Client, Stack, wait_for

pytestmark = pytest.mark.integration
Make = Callable[..., Stack]

# Waits to be stopped.
IDLE = "import time; time.sleep(600)"


def outstanding(queue: str, **settings: Any) -> dict[str, Any]:
    """A metric-math alarm on all messages of a queue."""

    def stat(identifier: str, name: str) -> dict[str, Any]:
        metric = {
            "Namespace": "AWS/SQS",
            "MetricName": name,
            "Dimensions": [{"Name": "QueueName", "Value": queue}],
        }
        return {
            "Id": identifier,
            "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Maximum"},
            "ReturnData": False,
        }

    return {
        "Metrics": [
            {"Id": "total", "Expression": "FILL(visible, 0) + FILL(flying, 0)", "ReturnData": True},
            stat("visible", "ApproximateNumberOfMessagesVisible"),
            stat("flying", "ApproximateNumberOfMessagesNotVisible"),
        ],
        **settings,
    }


def scale(made: Stack, queue: str) -> None:
    """The policies and alarms of a staircase with two steps, and of the way back to zero, the group included."""
    scaling, cloudwatch = made.client("application-autoscaling"), made.client("cloudwatch")
    target = {
        "ServiceNamespace": "ecs",
        "ResourceId": f"service/{made.name}/{made.name}",
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    scaling.register_scalable_target(**target, MinCapacity=0, MaxCapacity=3)

    def policy(name: str, *steps: dict[str, float]) -> str:
        configuration = {
            "AdjustmentType": "ExactCapacity",
            "StepAdjustments": list(steps),
            "Cooldown": 0,
            "MetricAggregationType": "Maximum",
        }
        answer = scaling.put_scaling_policy(
            **target,
            PolicyName=f"{made.name}-{name}",
            PolicyType="StepScaling",
            StepScalingPolicyConfiguration=configuration,
        )
        return str(answer["PolicyARN"])

    up = policy(
        "up",
        {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 2, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 2, "ScalingAdjustment": 3},
    )
    down = policy("down", {"MetricIntervalUpperBound": 0, "ScalingAdjustment": 0})
    groups = made.client("autoscaling")
    groups.put_scaling_policy(
        AutoScalingGroupName=made.name,
        PolicyName="idle",
        PolicyType="SimpleScaling",
        AdjustmentType="ExactCapacity",
        ScalingAdjustment=0,
    )
    group = groups.describe_policies(AutoScalingGroupName=made.name)["ScalingPolicies"][0]["PolicyARN"]
    cloudwatch.put_metric_alarm(
        AlarmName=f"{made.name}-outstanding",
        AlarmActions=[up],
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        Threshold=1,
        EvaluationPeriods=1,
        TreatMissingData="notBreaching",
        **outstanding(queue),
    )
    cloudwatch.put_metric_alarm(
        AlarmName=f"{made.name}-idle",
        AlarmActions=[down, group],
        ComparisonOperator="LessThanOrEqualToThreshold",
        Threshold=0,
        EvaluationPeriods=2,
        TreatMissingData="breaching",
        **outstanding(queue),
    )


def test_service_follows_the_queue_by_the_deployed_policies(stack: Make) -> None:
    made = stack(IDLE)
    sqs = made.client("sqs")
    url = sqs.create_queue(QueueName=made.name)["QueueUrl"]
    scale(made, made.name)
    sqs.send_message(QueueUrl=url, MessageBody="one")
    wait_for(lambda: made.service()["runningCount"] == 1, what="one task")
    sqs.send_message(QueueUrl=url, MessageBody="two")
    sqs.send_message(QueueUrl=url, MessageBody="three")
    wait_for(lambda: made.service()["runningCount"] == 3, what="three tasks")
    # In flight is not idle.
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    with pytest.raises(AssertionError):
        wait_for(lambda: made.service()["desiredCount"] == 0, seconds=4)
    for message in received:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    wait_for(lambda: made.service()["runningCount"] == 0 and not made.group()["Instances"], what="zero")
    [alarm] = made.client("cloudwatch").describe_alarms(AlarmNames=[f"{made.name}-idle"])["MetricAlarms"]
    assert alarm["StateValue"] == "ALARM"
    assert "Datapoints" in alarm["StateReason"]
    metrics = made.client("cloudwatch").list_metrics(Namespace="AWS/SQS")["Metrics"]
    assert "ApproximateAgeOfOldestMessage" in {metric["MetricName"] for metric in metrics}


HANDLER = """
import os
import boto3
def handle(event, context):
    print("invoked", event)
    boto3.client("sqs").send_message(
        QueueUrl=os.environ["QUEUE_URL"],
        MessageBody=" ".join([event["word"], context.function_name, boto3.client("sts").get_caller_identity()["Arn"]]),
    )
    if event["word"] == "fail":
        raise ValueError("as asked")
"""


def function(client: Client, name: str, url: str) -> str:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("code.py", "")
        archive.writestr("handler_module.py", HANDLER)
    trust = {"Principal": {"Service": "lambda.amazonaws.com"}, "Effect": "Allow", "Action": "sts:AssumeRole"}
    role = client("iam").create_role(
        RoleName=f"{name}-f", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]})
    )
    arn = client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role=role["Role"]["Arn"],
        Handler="handler_module.handle",
        Code={"ZipFile": package.getvalue()},
        Environment={"Variables": {"QUEUE_URL": url}},
        Timeout=20,
    )["FunctionArn"]
    client("lambda").put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    return str(arn)


def test_rule_invokes_the_deployed_function_with_its_role(client: Client) -> None:
    name = "wake"
    sqs, events = client("sqs"), client("events")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = function(client, name, url)
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": ["test"]}))["RuleArn"]
    client("lambda").add_permission(
        FunctionName=name,
        StatementId="events",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule,
    )
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn, "InputPath": "$.detail"}])
    for word in ("fail", "hello"):
        events.put_events(
            Entries=[{"Source": "test", "DetailType": "t", "Detail": json.dumps({"word": word})}]
        )

    received: list[str] = []

    def bodies() -> bool:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10).get(
            "Messages", ()
        ):
            received.append(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(received) >= 2

    wait_for(bodies, what="both invocations")
    assert [body.split()[:2] for body in received] == [["fail", name], ["hello", name]]
    assert all(f"assumed-role/{name}-f/" in body for body in received)
