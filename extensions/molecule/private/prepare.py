# SPDX-License-Identifier: GPL-3.0-or-later
"""An account of which the stack is a guest: ``python prepare.py FILE`` makes it, and writes down what it has made.

A VPC with private subnets and an endpoint, a key, and a bucket with notifications, a policy and tags of its owner's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import boto3
from owners import BUCKET, QUEUE, notifications, policy, tags


def network() -> dict[str, Any]:
    """Two private subnets with a route table of their own, and the owner's endpoint for CloudWatch Logs."""
    ec2 = boto3.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.80.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})
    subnet_ids = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.80.{n}.0/24", AvailabilityZone=f"eu-west-1{zone}")[
            "Subnet"
        ]["SubnetId"]
        for n, zone in enumerate("ab")
    ]
    table = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    for subnet_id in subnet_ids:
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet_id)
    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc_id,
        VpcEndpointType="Interface",
        ServiceName="com.amazonaws.eu-west-1.logs",
        SubnetIds=subnet_ids,
        PrivateDnsEnabled=True,
    )["VpcEndpoint"]["VpcEndpointId"]
    return {"vpc_id": vpc_id, "subnet_ids": subnet_ids, "route_table_id": table, "endpoint_id": endpoint}


def bucket(account: str) -> None:
    """A bucket whose owner is told of every object by a queue, and does not use EventBridge."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    boto3.client("sqs").create_queue(QueueName=QUEUE)
    s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=notifications(account))
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy(account)))
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": tags()})


if __name__ == "__main__":
    account_id = boto3.client("sts").get_caller_identity()["Account"]
    bucket(account_id)
    key_arn = boto3.client("kms").create_key(Description="Documents of everybody")["KeyMetadata"]["Arn"]
    made = {"bucket": BUCKET, "key_arn": key_arn, **network()}
    Path(sys.argv[1]).write_text(json.dumps(made), encoding="utf-8")
