# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stack with every option must look like, asked of AWS itself."""

from __future__ import annotations

import json

import boto3
import pytest
from asking import (
    PREFIX,
    account,
    auto_scaling_group,
    launch_template,
    only,
    patterns,
    security_groups,
    settings,
    task_definition,
)

PROCESSORS = ("summarize", "extract", "vectors", "letters", "caption")
TAGS = {"cost-centre": "4711", "owner": "platform team", "pasture:stack": "everything"}


def key_arn() -> str:
    return str(boto3.client("kms").describe_key(KeyId=f"alias/{PREFIX}")["KeyMetadata"]["Arn"])


def vpc_id() -> str:
    return str(security_groups()["cluster"]["VpcId"])


@pytest.mark.parametrize("kind", ["source", "results"])
def test_documents_are_encrypted_with_the_stacks_key_and_expire(kind: str) -> None:
    s3 = boto3.client("s3")
    bucket = f"{PREFIX}-{account()}-eu-west-1-{kind}"
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert only(encryption["Rules"])["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == key_arn()
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [rule["Expiration"]["Days"] for rule in rules if "Days" in rule.get("Expiration", {})] == [
        {"source": 365, "results": 730}[kind]
    ]


def test_so_is_everything_else_that_keeps_something() -> None:
    key = key_arn()
    system = only(boto3.client("efs").describe_file_systems(CreationToken=PREFIX)["FileSystems"])
    assert system["KmsKeyId"] == key
    groups = boto3.client("logs").describe_log_groups(logGroupNamePrefix="/pasture/everything/")["logGroups"]
    encrypted = {group["logGroupName"]: group.get("kmsKeyId") for group in groups}
    # The flow log comes before the key.
    assert encrypted.pop("/pasture/everything/network/flow-log") is None
    assert set(encrypted.values()) == {key}
    sqs = boto3.client("sqs")
    for url in sqs.list_queues(QueueNamePrefix=PREFIX)["QueueUrls"]:
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert attributes["KmsMasterKeyId"] == key
    for processor in PROCESSORS:
        disk = only(launch_template(processor)["BlockDeviceMappings"])["Ebs"]
        assert (disk["Encrypted"], disk["KmsKeyId"]) == (True, key)


def test_every_role_is_bounded() -> None:
    roles = [
        role
        for page in boto3.client("iam")
        .get_paginator("list_roles")
        .paginate(PathPrefix="/pasture/everything/")
        for role in page["Roles"]
    ]
    # Instance, execution, wake-up, seeding, flow log, and one for each processor's tasks.
    names = {role["RoleName"].removeprefix(f"{PREFIX}-") for role in roles}
    assert names >= {"instance", "execution", "wakeup", "flow-log", *(f"{name}-task" for name in PROCESSORS)}
    for name in names:
        role = boto3.client("iam").get_role(RoleName=f"{PREFIX}-{name}")["Role"]
        assert role["PermissionsBoundary"]["PermissionsBoundaryArn"].endswith(":policy/bounds-of-projects")


def test_all_traffic_is_on_record_for_ninety_days() -> None:
    log = only(
        boto3.client("ec2").describe_flow_logs(Filter=[{"Name": "resource-id", "Values": [vpc_id()]}])[
            "FlowLogs"
        ]
    )
    assert log["TrafficType"] == "ALL"
    group = only(
        boto3.client("logs").describe_log_groups(logGroupNamePrefix=log["LogGroupName"])["logGroups"]
    )
    assert group["retentionInDays"] == 90
    role = boto3.client("iam").get_role_policy(RoleName=f"{PREFIX}-flow-log", PolicyName="pasture")
    write = next(one for one in role["PolicyDocument"]["Statement"] if one["Sid"] == "Write")
    assert only(write["Resource"]).endswith(":log-group:/pasture/everything/network/flow-log:*")


def test_the_network_has_three_zones_at_the_given_addresses() -> None:
    ec2 = boto3.client("ec2")
    assert only(ec2.describe_vpcs(VpcIds=[vpc_id()])["Vpcs"])["CidrBlock"] == "10.90.0.0/18"
    subnets = auto_scaling_group("summarize")["VPCZoneIdentifier"].split(",")
    zones = {one["AvailabilityZone"] for one in ec2.describe_subnets(SubnetIds=subnets)["Subnets"]}
    assert len(zones) == 3


def test_logs_go_after_a_week() -> None:
    groups = boto3.client("logs").describe_log_groups(logGroupNamePrefix="/pasture/everything/")["logGroups"]
    kept = {group["logGroupName"].rsplit("/", 1)[-1]: group["retentionInDays"] for group in groups}
    assert {kept[name] for name in (*PROCESSORS, "wakeup")} == {7}


def test_four_containers_share_an_instance_with_four_gpus_from_the_spot_market() -> None:
    mixed = auto_scaling_group("summarize")["MixedInstancesPolicy"]
    assert mixed["InstancesDistribution"]["OnDemandPercentageAboveBaseCapacity"] == 0
    target = only(
        boto3.client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="ecs", ResourceIds=[f"service/{PREFIX}/{PREFIX}-summarize"]
        )["ScalableTargets"]
    )
    assert (auto_scaling_group("summarize")["MaxSize"], target["MaxCapacity"]) == (2, 8)
    container = only(task_definition("summarize")["containerDefinitions"])
    assert container["resourceRequirements"] == [{"type": "GPU", "value": "1"}]
    # Four of them fit into the 192 GiB of a g5.12xlarge.
    assert 4 * container["memory"] < 192 * 1024


def test_disks_hold_the_image_and_the_model() -> None:
    sizes = {p: only(launch_template(p)["BlockDeviceMappings"])["Ebs"]["VolumeSize"] for p in PROCESSORS}
    assert sizes["vectors"] == 81
    assert sizes["summarize"] == 85


def test_each_kind_of_instance_boots_its_own_ami() -> None:
    assert launch_template("summarize")["ImageId"] == "ami-0123456789abcdef0"
    assert launch_template("vectors")["ImageId"].endswith("amazon-linux-2023/recommended/image_id")
    assert launch_template("letters")["ImageId"].endswith("arm64/recommended/image_id")


def test_settings_reach_the_workers() -> None:
    summarize = settings("summarize")
    assert summarize["PASTURE_LOG_LEVEL"] == "DEBUG"
    assert summarize["OLLAMA_KV_CACHE_TYPE"] == "q8_0"
    assert (summarize["PASTURE_SLOTS"], summarize["PASTURE_NUM_CTX"]) == ("2", "16384")
    assert json.loads(summarize["PASTURE_OPTIONS"])["temperature"] == 0
    extract = settings("extract")
    assert json.loads(extract["PASTURE_FORMAT"])["required"] == ["parties"]
    assert (extract["PASTURE_ON_OVERFLOW"], extract["PASTURE_ON_LENGTH"]) == ("fail", "accept")
    assert settings("vectors")["PASTURE_TASK"] == "embed"


def test_a_processor_reads_two_others_and_a_part_of_the_bucket() -> None:
    sources = [source for pattern in patterns(PREFIX, "vectors") for source in pattern["source"]]
    assert sorted(sources) == ["/pasture/everything/extract", "/pasture/everything/summarize"]
    assert "notes/" in json.dumps(patterns("default", "vectors"))


def test_somebody_is_told_of_alarms() -> None:
    topic = f"arn:aws:sns:eu-west-1:{account()}:{PREFIX}"
    subscription = only(boto3.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"])
    assert subscription["Endpoint"] == "operations@example.com"
    alarms = boto3.client("cloudwatch").describe_alarms(AlarmNames=[f"{PREFIX}-summarize-age"])[
        "MetricAlarms"
    ]
    assert (only(alarms)["Threshold"], only(alarms)["AlarmActions"]) == (7200, [topic])


def test_the_cluster_shows_its_insights() -> None:
    cluster = only(boto3.client("ecs").describe_clusters(clusters=[PREFIX], include=["SETTINGS"])["clusters"])
    assert {"name": "containerInsights", "value": "enhanced"} in cluster["settings"]


def test_the_wake_up_function_may_run_twice_at_once() -> None:
    answer = boto3.client("lambda").get_function_concurrency(FunctionName=f"{PREFIX}-wakeup")
    assert answer["ReservedConcurrentExecutions"] == 2


def test_the_users_tags_are_everywhere() -> None:
    tagged = boto3.client("ec2").describe_tags(Filters=[{"Name": "tag:cost-centre", "Values": ["4711"]}])
    kinds = {tag["ResourceType"] for tag in tagged["Tags"]}
    assert kinds >= {"vpc", "subnet", "route-table", "security-group"}
    ecs = boto3.client("ecs")
    service = only(
        ecs.describe_services(cluster=PREFIX, services=[f"{PREFIX}-vectors"], include=["TAGS"])["services"]
    )
    assert {tag["key"]: tag["value"] for tag in service["tags"]}.items() >= TAGS.items()
    bucket = f"{PREFIX}-{account()}-eu-west-1-source"
    of_bucket = boto3.client("s3").get_bucket_tagging(Bucket=bucket)["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in of_bucket}.items() >= TAGS.items()
