# SPDX-License-Identifier: GPL-3.0-or-later
"""What was there before the stack, and must be as it was when the stack is gone."""

from __future__ import annotations

import json

import boto3
from asking import account, only
from owners import BUCKET, notifications, policy, tags


def test_the_bucket_is_as_its_owner_made_it_but_for_eventbridge() -> None:
    s3 = boto3.client("s3")
    told = s3.get_bucket_notification_configuration(Bucket=BUCKET)
    assert told["QueueConfigurations"] == notifications(account())["QueueConfigurations"]
    assert json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"]) == policy(account())
    assert sorted(s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"], key=lambda tag: tag["Key"]) == tags()


def test_the_network_is_as_its_owner_made_it() -> None:
    ec2 = boto3.client("ec2")
    vpc = only(ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.80.0.0/16"]}])["Vpcs"])
    inside = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    assert len(ec2.describe_subnets(Filters=inside)["Subnets"]) == 2
    endpoint = only(
        [
            one
            for one in ec2.describe_vpc_endpoints(Filters=inside)["VpcEndpoints"]
            if one["State"] != "deleted"
        ]
    )
    assert endpoint["ServiceName"] == "com.amazonaws.eu-west-1.logs"
    groups = ec2.describe_security_groups(Filters=inside)["SecurityGroups"]
    assert [group["GroupName"] for group in groups] == ["default"]
