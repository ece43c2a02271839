# SPDX-License-Identifier: GPL-3.0-or-later
"""The other services of a stack on the emulator: S3, SQS, EFS, CloudWatch, scaling, EC2, quotas."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

# --- S3 --------------------------------------------------------------------------------------------------------


def make_bucket(cloud: Any, name: str) -> Any:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return s3


@pytest.mark.mends("s3-policy-conditions")
def test_a_tls_only_policy_lets_calls_through(cloud: Any, name: str) -> None:
    s3 = make_bucket(cloud, name)
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_object(Bucket=name, Key="a.txt", Body=b"text")
    assert s3.get_object(Bucket=name, Key="a.txt")["Body"].read() == b"text"


def test_a_policy_that_denies_is_obeyed(cloud: Any, name: str) -> None:
    s3 = make_bucket(cloud, name)
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{name}/x/*",
    }
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_object(Bucket=name, Key="a.txt", Body=b"text")
    with pytest.raises(ClientError, match=r"403|AccessDenied"):
        s3.put_object(Bucket=name, Key="x/a.txt", Body=b"text")


@pytest.mark.mends("s3-eventbridge-flag")
def test_the_eventbridge_switch_of_a_bucket_is_told_beside_its_other_notifications(
    cloud: Any, name: str
) -> None:
    s3 = make_bucket(cloud, name)
    cloud.client("sqs").create_queue(QueueName=name)
    queue = {
        "QueueArn": f"arn:aws:sqs:eu-west-1:123456789012:{name}",
        "Events": ["s3:ObjectCreated:*"],
        "Id": "q",
    }
    wanted = {"QueueConfigurations": [queue], "EventBridgeConfiguration": {}}
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=wanted)
    told = s3.get_bucket_notification_configuration(Bucket=name)
    assert told["EventBridgeConfiguration"] == {}
    assert told["QueueConfigurations"][0]["Id"] == "q"


@pytest.mark.mends("s3-notification-filter-names")
def test_filter_rules_are_named_in_any_case(cloud: Any, name: str) -> None:
    s3 = make_bucket(cloud, name)
    cloud.client("sqs").create_queue(QueueName=name)
    rules = [{"Name": "Prefix", "Value": "in/"}, {"Name": "Suffix", "Value": ".txt"}]
    queue = {
        "QueueArn": f"arn:aws:sqs:eu-west-1:123456789012:{name}",
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": rules}},
    }
    s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"QueueConfigurations": [queue]}
    )
    told = s3.get_bucket_notification_configuration(Bucket=name)["QueueConfigurations"][0]
    assert [rule["Value"] for rule in told["Filter"]["Key"]["FilterRules"]] == ["in/", ".txt"]


# --- IAM -------------------------------------------------------------------------------------------------------


@pytest.mark.mends("iam-role-of-profile")
def test_a_role_that_is_not_in_a_profile_cannot_be_removed_from_it(cloud: Any, name: str) -> None:
    iam = cloud.client("iam")
    iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []})
    )
    iam.create_instance_profile(InstanceProfileName=name)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name)
    iam.delete_instance_profile(InstanceProfileName=name)


# --- SQS -------------------------------------------------------------------------------------------------------


@pytest.mark.mends("sqs-keep-policy")
def test_setting_one_attribute_keeps_the_policy(cloud: Any, name: str) -> None:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "60"})
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert json.loads(attributes["Policy"])["Statement"] == [statement]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    assert "Policy" not in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


@pytest.mark.mends("sqs-receive")
def test_a_long_poll_sees_at_once_what_becomes_visible_again(cloud: Any, name: str) -> None:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    late: list[float] = []
    while len(late) < 3:
        sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=1)
        sent = time.monotonic()
        # moto looks once a second, and therefore half a second late.
        time.sleep(0.5)
        asked = time.monotonic()
        (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
        # Not when the machine was too busy for the poll to begin half-way.
        if asked - sent < 0.6:
            late.append(time.monotonic() - sent - 1)
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert min(late) < 0.4


def test_every_message_reaches_one_consumer(cloud: Any, name: str) -> None:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    for batch in range(10):
        entries = [{"Id": str(n), "MessageBody": f"{batch}-{n}"} for n in range(10)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)

    def consume(_: int) -> list[str]:
        bodies = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=3).get("Messages"):
            for message in messages:
                bodies.append(message["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    with ThreadPoolExecutor(4) as pool:
        bodies = [body for part in pool.map(consume, range(4)) for body in part]
    assert sorted(bodies) == sorted(f"{batch}-{n}" for batch in range(10) for n in range(10))


@pytest.mark.mends("sqs-counts")
def test_no_message_is_uncounted_when_it_becomes_visible_again(cloud: Any, name: str) -> None:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    for start in range(0, 200, 10):
        entries = [{"Id": str(n), "MessageBody": "x"} for n in range(start, start + 10)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
    # Each batch becomes visible again at a moment of its own.
    for _ in range(20):
        sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=2)
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counted, not_visible = set(), "200"
    while not_visible != "0":
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        not_visible = found["ApproximateNumberOfMessagesNotVisible"]
        counted.add(sum(int(found[name]) for name in names))
    assert counted == {200}


@pytest.mark.mends("sqs-redrive")
def test_dead_letters_go_back_to_where_they_came_from(cloud: Any, name: str) -> None:
    sqs = cloud.client("sqs")
    arn = f"arn:aws:sqs:eu-west-1:123456789012:{name}"
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    redrive = json.dumps({"deadLetterTargetArn": f"{arn}-dead", "maxReceiveCount": 1})
    url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="poison")
    for _ in range(2):
        sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)
    task = sqs.start_message_move_task(SourceArn=f"{arn}-dead")
    assert task["TaskHandle"]
    (result,) = sqs.list_message_move_tasks(SourceArn=f"{arn}-dead")["Results"]
    assert (result["Status"], result["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 1)
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "poison"
    # What was sent to the dead-letter queue itself has no source.
    sqs.send_message(QueueUrl=dead, MessageBody="sent")
    sqs.start_message_move_task(SourceArn=f"{arn}-dead")
    (result,) = sqs.list_message_move_tasks(SourceArn=f"{arn}-dead")["Results"]
    assert (result["Status"], result["FailureReason"]) == ("FAILED", "CouldNotDetermineMessageSource")
    sqs.start_message_move_task(SourceArn=f"{arn}-dead", DestinationArn=arn)
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "sent"
    with pytest.raises(ClientError, match="Dead Letter"):
        sqs.start_message_move_task(SourceArn=arn)


# --- EFS -------------------------------------------------------------------------------------------------------


@pytest.mark.mends("efs-update-file-system", "efs-backup-policy")
def test_a_file_system_can_be_changed(cloud: Any, name: str) -> None:
    efs = cloud.client("efs")
    system = efs.create_file_system(CreationToken=name, ThroughputMode="bursting")["FileSystemId"]
    assert (
        efs.update_file_system(FileSystemId=system, ThroughputMode="elastic")["ThroughputMode"] == "elastic"
    )
    efs.put_backup_policy(FileSystemId=system, BackupPolicy={"Status": "ENABLED"})
    assert efs.describe_backup_policy(FileSystemId=system)["BackupPolicy"] == {"Status": "ENABLED"}


@pytest.mark.mends("efs-describe-tags", "efs-create-tags", "efs-delete-tags")
def test_the_old_tag_calls_of_efs_work(cloud: Any, name: str) -> None:
    efs = cloud.client("efs")
    system = efs.create_file_system(CreationToken=name, Tags=[{"Key": "a", "Value": "1"}])["FileSystemId"]
    efs.create_tags(FileSystemId=system, Tags=[{"Key": "b", "Value": "2"}])
    efs.delete_tags(FileSystemId=system, TagKeys=["a"])
    assert efs.describe_tags(FileSystemId=system)["Tags"] == [{"Key": "b", "Value": "2"}]


@pytest.mark.mends("efs-delete-policy")
def test_the_policy_of_a_file_system_can_be_removed(cloud: Any, name: str) -> None:
    efs = cloud.client("efs")
    system = efs.create_file_system(CreationToken=name)["FileSystemId"]
    efs.put_file_system_policy(FileSystemId=system, Policy="{}")
    efs.delete_file_system_policy(FileSystemId=system)
    with pytest.raises(ClientError, match="PolicyNotFound"):
        efs.describe_file_system_policy(FileSystemId=system)


@pytest.mark.mends("efs-access-points")
def test_an_access_point_needs_its_file_system_and_its_own_token(cloud: Any, name: str) -> None:
    efs = cloud.client("efs")
    with pytest.raises(efs.exceptions.FileSystemNotFound):
        efs.create_access_point(ClientToken=name, FileSystemId="fs-00000000")
    system = efs.create_file_system(CreationToken=name)["FileSystemId"]
    efs.create_access_point(ClientToken=name, FileSystemId=system)
    with pytest.raises(efs.exceptions.AccessPointAlreadyExists):
        efs.create_access_point(ClientToken=name, FileSystemId=system)


# --- CloudWatch ------------------------------------------------------------------------------------------------


def put(cloud: Any, namespace: str, **values: list[float]) -> datetime:
    """Metrics of one value a minute, the last one in the last whole minute; returns the first minute."""
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    longest = max(map(len, values.values()))
    start = end - timedelta(minutes=longest)
    data = [
        {"MetricName": metric, "Timestamp": start + timedelta(minutes=n), "Value": value, "Unit": "Count"}
        for metric, numbers in values.items()
        for n, value in enumerate(numbers)
    ]
    cloud.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=data)
    return start


def query(cloud: Any, namespace: str, expression: str, start: datetime, minutes: int) -> list[float]:
    metrics = [
        {
            "Id": name.lower(),
            "MetricStat": {
                "Metric": {"Namespace": namespace, "MetricName": name},
                "Period": 60,
                "Stat": "Maximum",
            },
            "ReturnData": False,
        }
        for name in ("Visible", "InFlight")
    ]
    answer = cloud.client("cloudwatch").get_metric_data(
        MetricDataQueries=[*metrics, {"Id": "e", "Expression": expression}],
        StartTime=start,
        EndTime=start + timedelta(minutes=minutes),
        ScanBy="TimestampAscending",
    )
    values: list[float] = answer["MetricDataResults"][0]["Values"]
    return values


@pytest.mark.mends("cloudwatch-metric-math")
def test_metric_math_adds_compares_and_fills(cloud: Any, name: str) -> None:
    start = put(cloud, name, Visible=[1, 2, 3], InFlight=[1, 0])
    assert query(cloud, name, "visible + inflight", start, 3) == [2, 2]
    assert query(cloud, name, "visible + FILL(inflight, 0)", start, 3) == [2, 2, 3]
    assert query(cloud, name, "FILL(inflight, REPEAT) * 2", start, 3) == [2, 0, 0]
    assert query(cloud, name, "IF(visible > 1, visible / 2, 0)", start, 3) == [0, 1, 1.5]
    assert query(cloud, name, "MAX([visible, inflight])", start, 3) == [1, 2, 3]
    assert query(cloud, name, "SUM(METRICS())", start, 3) == [2, 2, 3]
    assert query(cloud, name, "CEIL((visible + 0.5) ^ 2)", start, 3) == [3, 7, 13]


@pytest.mark.mends("cloudwatch-metric-math")
def test_a_wrong_expression_is_an_error_of_the_caller(cloud: Any, name: str) -> None:
    start = put(cloud, name, Visible=[1])
    with pytest.raises(ClientError, match="cannot evaluate 'missing'"):
        query(cloud, name, "visible + missing", start, 1)


@pytest.mark.mends("cloudwatch-metric-math")
def test_metrics_of_another_namespace_are_left_out(cloud: Any, name: str) -> None:
    cloudwatch, now = cloud.client("cloudwatch"), datetime.now(UTC).replace(second=0, microsecond=0)
    dimensions = [{"Name": "QueueName", "Value": name}]
    for namespace, value in ((name, 1), (f"{name}-other", 5)):
        datum = {"MetricName": "Age", "Value": value, "Timestamp": now, "Dimensions": dimensions}
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=[datum])
    metric = {"Namespace": name, "MetricName": "Age", "Dimensions": dimensions}
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}],
        StartTime=now - timedelta(seconds=30),
        EndTime=now + timedelta(minutes=1),
    )
    (result,) = answer["MetricDataResults"]
    assert result["Values"] == [1]
    assert result["Timestamps"][0].second == 0


@pytest.mark.mends("cloudwatch-alarm-state")
def test_an_alarm_keeps_its_state_when_it_is_changed(cloud: Any, name: str) -> None:
    cloudwatch = cloud.client("cloudwatch")

    def put_alarm(threshold: float) -> dict[str, Any]:
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            Metrics=[{"Id": "e", "Expression": "m", "ReturnData": True, "Period": 60}],
            ComparisonOperator="GreaterThanThreshold",
            EvaluationPeriods=1,
            Threshold=threshold,
        )
        alarm: dict[str, Any] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
        return alarm

    assert put_alarm(1)["StateValue"] == "INSUFFICIENT_DATA"
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    changed = put_alarm(2)
    assert (changed["StateValue"], changed["Threshold"]) == ("ALARM", 2)


# --- Application Auto Scaling ----------------------------------------------------------------------------------


def make_policies(cloud: Any, name: str) -> Any:
    scaling = cloud.client("application-autoscaling")
    ecs = cloud.client("ecs")
    ecs.create_cluster(clusterName=name)
    container = {"name": "c", "image": "i", "memory": 64}
    ecs.register_task_definition(family=name, containerDefinitions=[container])
    ecs.create_service(cluster=name, serviceName=name, taskDefinition=name, desiredCount=0)
    target = {
        "ServiceNamespace": "ecs",
        "ResourceId": f"service/{name}/{name}",
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    scaling.register_scalable_target(**target, MinCapacity=0, MaxCapacity=5, Tags={"a": "1"})
    for policy in ("up", "down"):
        step = {
            "AdjustmentType": "ExactCapacity",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        }
        scaling.put_scaling_policy(
            PolicyName=f"{name}-{policy}",
            PolicyType="StepScaling",
            StepScalingPolicyConfiguration=step,
            **target,
        )
    return scaling


@pytest.mark.mends("scaling-policy-names")
def test_policies_are_found_by_name_with_the_alarms_that_trigger_them(cloud: Any, name: str) -> None:
    scaling = make_policies(cloud, name)
    policies = scaling.describe_scaling_policies(ServiceNamespace="ecs", PolicyNames=[f"{name}-up"])
    (policy,) = policies["ScalingPolicies"]
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="x",
        MetricName="y",
        Period=60,
        Statistic="Sum",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Threshold=1,
        AlarmActions=[policy["PolicyARN"]],
    )
    policies = scaling.describe_scaling_policies(ServiceNamespace="ecs", PolicyNames=[f"{name}-up"])
    assert [alarm["AlarmName"] for alarm in policies["ScalingPolicies"][0]["Alarms"]] == [name]


@pytest.mark.mends("scaling-target-tags", "scaling-list-tags", "scaling-tag", "scaling-untag")
def test_a_scalable_target_has_tags(cloud: Any, name: str) -> None:
    scaling = make_policies(cloud, name)
    (target,) = scaling.describe_scalable_targets(
        ServiceNamespace="ecs", ResourceIds=[f"service/{name}/{name}"]
    )["ScalableTargets"]
    arn = target["ScalableTargetARN"]
    scaling.tag_resource(ResourceARN=arn, Tags={"b": "2"})
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"a": "1", "b": "2"}
    scaling.untag_resource(ResourceARN=arn, TagKeys=["a"])
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"b": "2"}


@pytest.mark.mends("scaling-deregister", "scaling-activities")
def test_the_policies_go_with_their_target(cloud: Any, name: str) -> None:
    scaling = make_policies(cloud, name)
    resource = {"ServiceNamespace": "ecs", "ResourceId": f"service/{name}/{name}"}
    assert scaling.describe_scaling_activities(**resource)["ScalingActivities"] == []
    scaling.deregister_scalable_target(**resource, ScalableDimension="ecs:service:DesiredCount")
    assert scaling.describe_scaling_policies(**resource)["ScalingPolicies"] == []


# --- EC2 and quotas --------------------------------------------------------------------------------------------


@pytest.mark.mends("ec2-template-versions")
def test_instances_start_from_a_second_version_of_a_template(cloud: Any, name: str) -> None:
    ec2, autoscaling = cloud.client("ec2"), cloud.client("autoscaling")
    data = {"ImageId": "ami-12c6146b", "InstanceType": "g5.xlarge"}
    tags = [{"ResourceType": "launch-template", "Tags": [{"Key": "a", "Value": "1"}]}]
    ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data, TagSpecifications=tags)
    (first,) = ec2.describe_launch_template_versions(LaunchTemplateName=name)["LaunchTemplateVersions"]
    assert first["LaunchTemplateData"] == data
    user_data = base64.b64encode(b"#!/bin/sh\n").decode()
    ec2.create_launch_template_version(
        LaunchTemplateName=name, LaunchTemplateData={**data, "UserData": user_data}
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
        MinSize=0,
        MaxSize=1,
        DesiredCapacity=1,
        AvailabilityZones=["eu-west-1a"],
    )
    (group,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    assert len(group["Instances"]) == 1


@pytest.mark.mends("ec2-image-tags")
def test_an_instance_becomes_an_image_whose_snapshot_is_tagged_too(cloud: Any, name: str) -> None:
    ec2 = cloud.client("ec2")
    (instance,) = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"]
    tags = [{"Key": "Name", "Value": name}]
    kinds = [{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")]
    made = ec2.create_image(InstanceId=instance["InstanceId"], Name=name, TagSpecifications=kinds)
    filters = [{"Name": "tag:Name", "Values": [name]}]
    (image,) = ec2.describe_images(Owners=["self"], Filters=filters)["Images"]
    (snapshot,) = ec2.describe_snapshots(Filters=filters)["Snapshots"]
    assert image["ImageId"] == made["ImageId"]
    assert image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == snapshot["SnapshotId"]


@pytest.mark.mends("ec2-nat-filters")
def test_nat_gateways_are_found_by_their_tags(cloud: Any, name: str) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    tags = [{"ResourceType": "natgateway", "Tags": [{"Key": "Name", "Value": name}]}]
    ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private", TagSpecifications=tags)
    ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")
    for wanted, count in ((name, 1), ("other", 0)):
        found = ec2.describe_nat_gateways(Filters=[{"Name": "tag:Name", "Values": [wanted]}])["NatGateways"]
        assert len(found) == count


@pytest.mark.mends("ec2-endpoint-services")
def test_endpoint_services_are_known_without_services_that_are_not_installed(cloud: Any) -> None:
    described = cloud.client("ec2").describe_vpc_endpoint_services()
    names = {name.rsplit("eu-west-1.", 1)[-1] for name in described["ServiceNames"]}
    assert {"s3", "ecr.api", "ecr.dkr", "sqs", "logs", "ecs", "elasticfilesystem"} <= names


@pytest.mark.mends("ec2-interface-name")
def test_a_task_gets_an_interface_in_a_network_without_dns_names(cloud: Any, name: str) -> None:
    ec2, ecs = cloud.client("ec2"), cloud.client("ecs")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName=name, Description="d", VpcId=vpc)["GroupId"]
    ecs.create_cluster(clusterName=name)
    container = {"name": "c", "image": "i", "memory": 64}
    ecs.register_task_definition(family=name, networkMode="awsvpc", containerDefinitions=[container])
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}}
    started = ecs.run_task(
        cluster=name, taskDefinition=name, launchType="FARGATE", networkConfiguration=network
    )
    assert started["tasks"][0]["attachments"][0]["status"] == "ATTACHED"


@pytest.mark.mends("quotas-ec2", "quotas-one", "quotas-list", "quotas-default")
def test_the_quotas_of_vcpus_are_known(cloud: Any) -> None:
    quotas = cloud.client("service-quotas")
    gpu = {"ServiceCode": "ec2", "QuotaCode": "L-DB2E81BA"}
    quota = quotas.get_service_quota(**gpu)["Quota"]
    assert quota["QuotaName"] == "Running On-Demand G and VT instances"
    assert quotas.get_aws_default_service_quota(**gpu)["Quota"] == quota
    assert quota in quotas.list_service_quotas(ServiceCode="ec2")["Quotas"]
    with pytest.raises(quotas.exceptions.NoSuchResourceException):
        quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-00000000")


def test_gpus_and_memory_of_instance_types_are_known(cloud: Any) -> None:
    types = cloud.client("ec2").describe_instance_types(
        InstanceTypes=["g4dn.xlarge", "g5.xlarge", "g6.xlarge"]
    )
    gpus = {t["InstanceType"]: t["GpuInfo"]["Gpus"][0]["Name"] for t in types["InstanceTypes"]}
    assert gpus == {"g4dn.xlarge": "T4", "g5.xlarge": "A10G", "g6.xlarge": "L4"}


# --- All services ----------------------------------------------------------------------------------------------


@pytest.mark.mends("missing-actions")
@pytest.mark.parametrize(
    ("service", "call", "arguments"),
    [
        ("ecs", "list_services_by_namespace", {"namespace": "x"}),
        ("cloudwatch", "describe_alarm_history", {}),
        ("ec2", "describe_capacity_reservation_fleets", {}),
    ],
    ids=["json", "query", "ec2"],
)
def test_a_missing_action_is_named_and_not_retried(
    cloud: Any, service: str, call: str, arguments: dict[str, str]
) -> None:
    with pytest.raises(ClientError, match="AWS emulator does not have") as missing:
        getattr(cloud.client(service), call)(**arguments)
    assert missing.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


@pytest.mark.mends("one-at-a-time")
def test_lists_are_answered_while_other_clients_change_things(cloud: Any) -> None:
    ec2 = cloud.client("ec2")
    # So many that a list takes longer than Python lets a thread run while others wait.
    ids = [f"eipalloc-{number:017x}" for number in range(400)]
    tags = [{"Key": f"key-{number}", "Value": "x"} for number in range(45)]

    def call(number: int) -> int:
        if number % 2:
            found: list[Any] = ec2.describe_tags(Filters=[{"Name": "value", "Values": ["y"]}])["Tags"]
            return len(found)
        (ec2.create_tags if number % 4 else ec2.delete_tags)(Resources=ids, Tags=tags)
        return 0

    try:
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(call, range(600))) == 0
    finally:
        ec2.delete_tags(Resources=ids, Tags=tags)
