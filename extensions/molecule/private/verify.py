# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stack that is a guest in somebody's VPC and bucket must look like, asked of AWS itself."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from asking import (
    PREFIX,
    STACK,
    account,
    auto_scaling_group,
    launch_template,
    only,
    patterns,
    security_groups,
    task_definition,
)
from owners import BUCKET, notifications, policy, tags

PROCESSORS = ("summarize", "vectors")
# All that a cluster calls (docs/architecture.md), but for logs, for which the VPC has an endpoint already.
SERVICES = {
    "s3",
    *("ecr.api", "ecr.dkr", "sqs", "events", "ssm", "ssmmessages", "ecs", "ecs-agent", "ecs-telemetry"),
    *("elasticfilesystem", "monitoring", "kms", "sts"),
}


def endpoints() -> dict[str, dict[str, Any]]:
    """Return the stack's endpoints by service."""
    found = boto3.client("ec2").describe_vpc_endpoints(
        Filters=[{"Name": "tag:pasture:stack", "Values": [STACK]}]
    )["VpcEndpoints"]
    return {one["ServiceName"].removeprefix("com.amazonaws.eu-west-1."): one for one in found}


def the_vpc() -> str:
    return str(next(iter(security_groups().values()))["VpcId"])


def test_everything_that_the_cluster_calls_has_an_endpoint_and_the_owners_is_used() -> None:
    assert endpoints().keys() == SERVICES


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_endpoint_is_for_this_account_only(service: str) -> None:
    document = json.loads(endpoints()[service]["PolicyDocument"])
    for statement in document["Statement"]:
        if statement.get("Sid") == "LayersOfImages":
            assert statement["Resource"] == "arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*"
        else:
            assert statement["Condition"]["StringEquals"]["aws:PrincipalAccount"] == account()


def test_there_is_no_route_to_the_internet() -> None:
    ec2 = boto3.client("ec2")
    inside = [{"Name": "vpc-id", "Values": [the_vpc()]}]
    routes = [
        route
        for table in ec2.describe_route_tables(Filters=inside)["RouteTables"]
        for route in table["Routes"]
    ]
    assert routes
    assert not [route for route in routes if route.get("DestinationCidrBlock") == "0.0.0.0/0"]
    assert not ec2.describe_nat_gateways(Filters=inside)["NatGateways"]


def test_tasks_reach_the_vpc_and_s3_and_nothing_else() -> None:
    cluster = security_groups()["cluster"]
    assert cluster["IpPermissions"] == []
    cidrs = {r["CidrIp"] for p in cluster["IpPermissionsEgress"] for r in p["IpRanges"]}
    lists = {r["PrefixListId"] for p in cluster["IpPermissionsEgress"] for r in p["PrefixListIds"]}
    assert cidrs == {"10.80.0.0/16"}
    assert len(lists) == 1


@pytest.mark.parametrize("processor", PROCESSORS)
def test_it_runs_on_graviton_without_a_gpu(processor: str) -> None:
    template = launch_template(processor)
    assert template["ImageId"].endswith("/amazon-linux-2023/arm64/recommended/image_id")
    assert only(template["BlockDeviceMappings"])["Ebs"]["Encrypted"] is True
    definition = task_definition(processor)
    assert definition["runtimePlatform"]["cpuArchitecture"] == "ARM64"
    container = only(definition["containerDefinitions"])
    assert not container.get("resourceRequirements")


@pytest.mark.parametrize("processor", PROCESSORS)
def test_instances_stand_in_the_given_subnets(processor: str) -> None:
    subnets = auto_scaling_group(processor)["VPCZoneIdentifier"].split(",")
    found = boto3.client("ec2").describe_subnets(SubnetIds=subnets)["Subnets"]
    assert sorted(one["CidrBlock"] for one in found) == ["10.80.0.0/24", "10.80.1.0/24"]


def test_the_bucket_tells_eventbridge_too_and_keeps_all_that_its_owner_set() -> None:
    s3 = boto3.client("s3")
    told = s3.get_bucket_notification_configuration(Bucket=BUCKET)
    assert told["EventBridgeConfiguration"] == {}
    assert told["QueueConfigurations"] == notifications(account())["QueueConfigurations"]
    statements = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    assert statements[0] == policy(account())["Statement"][0]
    assert [one["Sid"] for one in statements] == ["Auditors", "TlsOnlyPasturePrivate"]
    assert sorted(s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"], key=lambda tag: tag["Key"]) == tags()
    assert "Status" not in s3.get_bucket_versioning(Bucket=BUCKET)


def test_results_and_messages_are_encrypted_with_the_given_key() -> None:
    keys = [one["KeyArn"] for one in boto3.client("kms").list_keys()["Keys"]]
    results = f"{PREFIX}-{account()}-eu-west-1-results"
    encryption = boto3.client("s3").get_bucket_encryption(Bucket=results)["ServerSideEncryptionConfiguration"]
    rule = only(encryption["Rules"])["ApplyServerSideEncryptionByDefault"]
    assert rule["KMSMasterKeyID"] in keys
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=f"{PREFIX}-summarize")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["KmsMasterKeyId"])["Attributes"]
    assert attributes["KmsMasterKeyId"] == rule["KMSMasterKeyID"]


def test_the_first_processor_reads_its_part_of_the_bucket() -> None:
    for pattern in patterns("default"):
        assert pattern["detail"]["bucket"]["name"] == [BUCKET]
        keys = pattern["detail"]["object"]["key"]
        assert keys
        assert all(json.dumps(key).count("incoming/") == 1 for key in keys)


def test_workers_may_read_that_part_and_no_more() -> None:
    role = boto3.client("iam").get_role_policy(RoleName=f"{PREFIX}-summarize-task", PolicyName="pasture")
    statements = {one["Sid"]: one for one in role["PolicyDocument"]["Statement"]}
    assert statements["Sources"]["Resource"] == [f"arn:aws:s3:::{BUCKET}/incoming/*"]
