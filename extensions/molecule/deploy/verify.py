# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pipeline of this scenario must look like in the account, asked of AWS itself."""

from __future__ import annotations

import json

import boto3
import pytest
from asking import (
    PREFIX,
    account,
    auto_scaling_group,
    only,
    patterns,
    security_groups,
    task_definition,
)

PROCESSORS = ("summarize", "translate")


@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_service_stands_at_zero_and_may_grow_to_its_maximum(processor: str) -> None:
    service = only(
        boto3.client("ecs").describe_services(cluster=PREFIX, services=[f"{PREFIX}-{processor}"])["services"]
    )
    assert (service["desiredCount"], service["runningCount"]) == (0, 0)
    target = only(
        boto3.client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="ecs", ResourceIds=[f"service/{PREFIX}/{PREFIX}-{processor}"]
        )["ScalableTargets"]
    )
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 5)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_instances_come_and_go_with_the_tasks(processor: str) -> None:
    group = auto_scaling_group(processor)
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (0, 0, 5)
    provider = only(
        boto3.client("ecs").describe_capacity_providers(capacityProviders=[f"{PREFIX}-{processor}"])[
            "capacityProviders"
        ]
    )
    assert provider["autoScalingGroupProvider"]["managedScaling"]["status"] == "ENABLED"
    assert provider["autoScalingGroupProvider"]["managedTerminationProtection"] == "ENABLED"


@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_container_runs_without_privileges(processor: str) -> None:
    definition = task_definition(processor)
    container = only(definition["containerDefinitions"])
    assert container["readonlyRootFilesystem"] is True
    assert container["user"] == "1000:1000"
    assert container["linuxParameters"]["capabilities"]["drop"] == ["ALL"]
    assert {"type": "GPU", "value": "1"} in container["resourceRequirements"]
    assert only(definition["volumes"])["efsVolumeConfiguration"]["transitEncryption"] == "ENABLED"


@pytest.mark.parametrize("processor", PROCESSORS)
def test_what_cannot_be_read_ends_in_the_dead_letter_queue(processor: str) -> None:
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=f"{PREFIX}-{processor}")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    redrive = json.loads(attributes["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"].endswith(f":{PREFIX}-{processor}-dlq")
    assert int(redrive["maxReceiveCount"]) == 5


def test_the_first_processor_reads_the_bucket() -> None:
    pattern = only(patterns("default"))
    assert pattern["source"] == ["aws.s3"]
    assert pattern["detail"]["bucket"]["name"] == [f"{PREFIX}-{account()}-eu-west-1-source"]


def test_the_second_processor_reads_what_the_first_writes() -> None:
    pattern = only(patterns(PREFIX))
    assert pattern["source"] == ["/pasture/molecule/summarize"]
    assert pattern["detail-type"] == ["document-created"]


@pytest.mark.parametrize("kind", ["source", "results"])
def test_buckets_are_private_and_encrypted(kind: str) -> None:
    s3 = boto3.client("s3")
    bucket = f"{PREFIX}-{account()}-eu-west-1-{kind}"
    blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(blocked.values()) == {True}
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]


def test_nothing_can_be_reached_from_outside() -> None:
    groups = security_groups()
    assert groups
    for group in groups.values():
        for permission in group["IpPermissions"]:
            assert not permission["IpRanges"]
            assert not permission["Ipv6Ranges"]


@pytest.mark.parametrize("name", ["llama3.1/8b", "mistral-nemo/latest"])
def test_the_models_are_registered(name: str) -> None:
    parameter = boto3.client("ssm").get_parameter(Name=f"/pasture/molecule/models/{name}")["Parameter"]
    definition = json.loads(parameter["Value"])
    assert definition["schema_version"] == 1
    assert "text/plain" in definition["inputs"]
