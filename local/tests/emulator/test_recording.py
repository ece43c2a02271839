# SPDX-License-Identifier: GPL-3.0-or-later
"""What is recorded of each call: who, what, on what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pasture_local.emulator.calls import Call
from pasture_local.emulator.conditions import condition_keys
from pasture_local.emulator.iam import permissions

ACCOUNT = "123456789012"
HERE = f"eu-west-1:{ACCOUNT}"


def needed(service: str, operation: str, /, **parameters: Any) -> list[tuple[str, list[str]]]:
    call = Call("AKIA", "eu-west-1", service, operation, parameters)
    return [(one["action"], one["resources"]) for one in permissions(call, ACCOUNT)]


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "wanted"),
    [
        ("s3", "HeadObject", {"Bucket": "b", "Key": "k"}, [("s3:GetObject", ["arn:aws:s3:::b/k"])]),
        (
            "s3",
            "GetObject",
            {"Bucket": "b", "Key": "k", "VersionId": "v"},
            [("s3:GetObjectVersion", ["arn:aws:s3:::b/k"])],
        ),
        ("s3", "ListObjectsV2", {"Bucket": "b"}, [("s3:ListBucket", ["arn:aws:s3:::b"])]),
        (
            "s3",
            "DeleteObjects",
            {"Bucket": "b", "Delete": {"Objects": [{"Key": "x"}, {"Key": "y"}]}},
            [("s3:DeleteObject", ["arn:aws:s3:::b/x", "arn:aws:s3:::b/y"])],
        ),
        (
            "s3",
            "CopyObject",
            {"Bucket": "b", "Key": "k", "CopySource": "a/x"},
            [("s3:PutObject", ["arn:aws:s3:::b/k"]), ("s3:GetObject", ["arn:aws:s3:::a/x"])],
        ),
        (
            "sqs",
            "DeleteMessageBatch",
            {"QueueUrl": f"http://127.0.0.1/{ACCOUNT}/q"},
            [("sqs:DeleteMessage", [f"arn:aws:sqs:{HERE}:q"])],
        ),
        (
            "events",
            "PutEvents",
            {"Entries": [{"EventBusName": "bus"}, {}]},
            [
                (
                    "events:PutEvents",
                    [f"arn:aws:events:{HERE}:event-bus/bus", f"arn:aws:events:{HERE}:event-bus/default"],
                )
            ],
        ),
        (
            "events",
            "PutTargets",
            {"Rule": "r", "EventBusName": "bus"},
            [("events:PutTargets", [f"arn:aws:events:{HERE}:rule/bus/r"])],
        ),
        (
            "ecs",
            "UpdateService",
            {"cluster": "c", "service": "s", "taskDefinition": "t:1"},
            [("ecs:UpdateService", [f"arn:aws:ecs:{HERE}:service/c/s"])],
        ),
        (
            "ecs",
            "UpdateTaskProtection",
            {"cluster": "c", "tasks": [f"arn:aws:ecs:{HERE}:task/c/1"]},
            [("ecs:UpdateTaskProtection", [f"arn:aws:ecs:{HERE}:task/c/1"])],
        ),
        (
            "ecs",
            "RunTask",
            {"cluster": "c", "taskDefinition": "t:1"},
            [("ecs:RunTask", [f"arn:aws:ecs:{HERE}:task-definition/t:1"])],
        ),
        (
            "ecs",
            "RegisterTaskDefinition",
            {
                "family": "t",
                "taskRoleArn": "arn:aws:iam::1:role/a",
                "executionRoleArn": "arn:aws:iam::1:role/b",
            },
            [
                ("ecs:RegisterTaskDefinition", [f"arn:aws:ecs:{HERE}:task-definition/t"]),
                ("iam:PassRole", ["arn:aws:iam::1:role/a", "arn:aws:iam::1:role/b"]),
            ],
        ),
        (
            "ssm",
            "GetParameter",
            {"Name": "/pasture/docs"},
            [("ssm:GetParameter", [f"arn:aws:ssm:{HERE}:parameter/pasture/docs"])],
        ),
        (
            "ssm",
            "GetParameter",
            {"Name": "/aws/service/x"},
            [("ssm:GetParameter", ["arn:aws:ssm:eu-west-1::parameter/aws/service/x"])],
        ),
        (
            "efs",
            "DescribeMountTargets",
            {"FileSystemId": "fs-1"},
            [
                (
                    "elasticfilesystem:DescribeMountTargets",
                    [f"arn:aws:elasticfilesystem:{HERE}:file-system/fs-1"],
                )
            ],
        ),
        (
            "ec2",
            "CreateTags",
            {"Resources": ["subnet-0123456789abcdef0"], "Tags": [{"Key": "a", "Value": "b"}]},
            [("ec2:CreateTags", [f"arn:aws:ec2:{HERE}:subnet/subnet-0123456789abcdef0"])],
        ),
        (
            "cloudwatch",
            "PutMetricAlarm",
            {"AlarmName": "a"},
            [("cloudwatch:PutMetricAlarm", [f"arn:aws:cloudwatch:{HERE}:alarm:a"])],
        ),
        ("iam", "GetRole", {"RoleName": "r"}, [("iam:GetRole", [f"arn:aws:iam::{ACCOUNT}:role/r"])]),
        ("ecs", "ListClusters", {}, [("ecs:ListClusters", ["*"])]),
        ("kms", "DescribeKey", {"KeyId": "alias/of-nothing"}, []),
        (
            "iam",
            "AddRoleToInstanceProfile",
            {"InstanceProfileName": "p", "RoleName": "p", "Path": "/pasture/docs/"},
            [
                (
                    "iam:AddRoleToInstanceProfile",
                    [
                        f"arn:aws:iam::{ACCOUNT}:instance-profile/pasture/docs/p",
                        f"arn:aws:iam::{ACCOUNT}:role/pasture/docs/p",
                    ],
                ),
                ("iam:PassRole", [f"arn:aws:iam::{ACCOUNT}:role/pasture/docs/p"]),
            ],
        ),
        (
            "ec2",
            "CreateSubnet",
            {
                "VpcId": "vpc-0123456789abcdef0",
                "TagSpecifications": [{"ResourceType": "subnet", "Tags": [{"Key": "a", "Value": "b"}]}],
            },
            [
                (
                    "ec2:CreateSubnet",
                    [f"arn:aws:ec2:{HERE}:vpc/vpc-0123456789abcdef0", f"arn:aws:ec2:{HERE}:subnet/new"],
                ),
                ("ec2:CreateTags", [f"arn:aws:ec2:{HERE}:subnet/new"]),
            ],
        ),
        (
            "efs",
            "CreateFileSystem",
            {"CreationToken": "t", "Tags": [{"Key": "a", "Value": "b"}]},
            [
                ("elasticfilesystem:CreateFileSystem", ["*"]),
                ("elasticfilesystem:TagResource", [f"arn:aws:elasticfilesystem:{HERE}:file-system/fs-new"]),
            ],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_call_needs_these_permissions(
    service: str, operation: str, parameters: dict[str, Any], wanted: list[tuple[str, list[str]]]
) -> None:
    assert needed(service, operation, **parameters) == wanted


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "wanted"),
    [
        ("iam", "CreateRole", {"PermissionsBoundary": "arn:b"}, {"iam:PermissionsBoundary": "arn:b"}),
        ("cloudwatch", "PutMetricData", {"Namespace": "N"}, {"cloudwatch:namespace": "N"}),
        ("ecs", "ListTasks", {"cluster": "c"}, {"ecs:cluster": f"arn:aws:ecs:{HERE}:cluster/c"}),
        ("events", "PutEvents", {"Entries": [{"Source": "s"}, {"Source": "s"}]}, {"events:source": ["s"]}),
        (
            "ec2",
            "CreateVpc",
            {"TagSpecifications": [{"ResourceType": "vpc", "Tags": [{"Key": "k", "Value": "v"}]}]},
            {"aws:RequestTag/k": "v", "aws:TagKeys": ["k"]},
        ),
        ("ecs", "CreateCluster", {"tags": [{"key": "k", "value": "v"}]}, {"aws:RequestTag/k": "v"}),
        ("kms", "CreateKey", {"Tags": [{"TagKey": "k", "TagValue": "v"}]}, {"aws:RequestTag/k": "v"}),
        ("sqs", "CreateQueue", {"tags": {"k": "v"}}, {"aws:RequestTag/k": "v"}),
        ("logs", "UntagResource", {"tagKeys": ["k"]}, {"aws:TagKeys": ["k"]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_call_has_these_condition_keys(
    service: str, operation: str, parameters: dict[str, Any], wanted: dict[str, Any]
) -> None:
    call = Call("AKIA", "eu-west-1", service, operation, parameters)
    assert condition_keys(call, ACCOUNT).items() >= wanted.items()


def test_what_a_call_is_decided_by_is_recorded_although_it_goes_with_the_call(
    cloud: Any, name: str, recorded: Path
) -> None:
    """A destroy takes away tags and policies; the record keeps them as they were."""
    iam, efs, sqs = (cloud.client(service) for service in ("iam", "efs", "sqs"))
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    policy = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    iam.attach_user_policy(UserName=name, PolicyArn=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    tags = [{"Key": "pasture:stack", "Value": "docs"}]
    system = efs.create_file_system(CreationToken=name, Tags=tags)["FileSystemId"]
    url = sqs.create_queue(QueueName=name, Attributes={"Policy": json.dumps(document)})["QueueUrl"]
    own = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    cloud.client("sqs", **own).delete_queue(QueueUrl=url)
    cloud.client("efs", **own).delete_file_system(FileSystemId=system)
    lines = [json.loads(line) for line in recorded.read_text().splitlines()]
    written = {line["digest"]: line["policies"] for line in lines if "digest" in line}
    queue, files = (line for line in lines if line.get("principal", {}).get("arn", "").endswith(f"/{name}"))
    assert written[queue["policies"]] == {"identity": {name: document}, "boundary": {}}
    assert list(map(written.get, queue["resource_policies"].values())) == [document]
    assert list(files["tags"].values()) == [{"pasture:stack": "docs"}]


def test_a_launch_is_recorded_with_what_it_takes_from_its_template(
    cloud: Any, name: str, recorded: Path
) -> None:
    ec2, iam = cloud.client("ec2"), cloud.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = iam.create_role(RoleName=name, Path="/some/", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    subnet = ec2.describe_subnets()["Subnets"][0]
    group = ec2.create_security_group(GroupName=name, Description=name, VpcId=subnet["VpcId"])["GroupId"]
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "k", "Value": "v"}]}]
    template = ec2.create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData={"SecurityGroupIds": [group], "TagSpecifications": tags},
    )["LaunchTemplate"]["LaunchTemplateId"]
    parameter = "aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
    (instance,) = ec2.run_instances(
        LaunchTemplate={"LaunchTemplateName": name},
        ImageId=f"resolve:ssm:/{parameter}",
        InstanceType="m6i.large",
        IamInstanceProfile={"Name": name},
        SubnetId=subnet["SubnetId"],
        MinCount=1,
        MaxCount=1,
    )["Instances"]
    image = ec2.create_image(InstanceId=instance["InstanceId"], Name=name)["ImageId"]
    ec2.create_tags(Resources=[image], Tags=[{"Key": "a", "Value": "b"}])
    ec2.deregister_image(ImageId=image)

    lines = [json.loads(line) for line in recorded.read_text().splitlines()]
    launch, made, _, gone = [line for line in lines if line.get("service") == "ec2"][-4:]
    asked = {(one["action"], arn) for one in launch["permissions"] for arn in one["resources"]}
    mine = f"arn:aws:ec2:{HERE}"
    assert asked >= {
        *(("ec2:RunInstances", f"{mine}:{kind}/new") for kind in ("instance", "network-interface", "volume")),
        ("ec2:RunInstances", f"{mine}:launch-template/{template}"),
        ("ec2:RunInstances", f"{mine}:security-group/{group}"),
        ("ec2:RunInstances", f"{mine}:subnet/{subnet['SubnetId']}"),
        ("ec2:CreateTags", f"{mine}:volume/new"),
        ("iam:PassRole", role),
        ("ssm:GetParameters", f"arn:aws:ssm:eu-west-1::parameter/{parameter}"),
    }
    keys = [
        one["context"]["ec2:LaunchTemplate"]
        for one in launch["permissions"]
        if one["action"] == "ec2:RunInstances"
    ]
    assert set(keys) == {f"{mine}:launch-template/{template}"}
    # Images and snapshots have no account in their ARN, and tags all the same.
    new = [arn for one in made["permissions"] for arn in one["resources"]]
    assert {"arn:aws:ec2:eu-west-1::image/new", "arn:aws:ec2:eu-west-1::snapshot/new"} < set(new)
    assert gone["tags"] == {f"arn:aws:ec2:eu-west-1::image/{image}": {"a": "b"}}


def test_calls_are_recorded_with_who_made_them(cloud: Any, name: str, recorded: Path) -> None:
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    keys = cloud.client("sts").assume_role(RoleArn=role, RoleSessionName="task")["Credentials"]
    credentials = {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "aws_session_token": keys["SessionToken"],
    }
    sqs, s3, efs = (cloud.client(service, **credentials) for service in ("sqs", "s3", "efs"))
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="secret text")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket=name, Key="a/b c.txt", Body=b"secret text", ServerSideEncryption="AES256")
    efs.describe_file_systems(CreationToken=name)
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=name, Key="missing")
    text = recorded.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    mine = [line for line in lines if line.get("principal", {}).get("role") == role]
    assert [entry["operation"] for entry in mine] == [
        "CreateQueue",
        "SendMessage",
        "CreateBucket",
        "PutObject",
        "DescribeFileSystems",
        "GetObject",
    ]
    put = mine[3]
    assert put["permissions"] == [
        {
            "action": "s3:PutObject",
            "resources": [f"arn:aws:s3:::{name}/a/b c.txt"],
            "context": {"aws:RequestedRegion": "eu-west-1"},
        }
    ]
    assert put["parameters"]["ServerSideEncryption"] == "AES256"
    assert put["principal"]["arn"].endswith(f"assumed-role/{name}/task")
    assert mine[-1]["status"] == 404
    assert [one["action"] for one in mine[-1]["permissions"]] == ["s3:GetObject", "s3:ListBucket"]
    assert "secret text" not in text
