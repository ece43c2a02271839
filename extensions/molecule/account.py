# SPDX-License-Identifier: GPL-3.0-or-later
"""List what there is of a stack in an account: ``python account.py <prefix>`` prints one name a line.

It asks each service for everything and looks at names, so that it also finds what has lost its tags. What AWS
has of its own accord (the default VPC, the default bus, service-linked roles) does not belong to a stack.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import boto3

Client = Callable[[str], Any]


def pages(client: Any, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
    """Yield the entries of all pages of an operation."""
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page.get(key, [])


def name_tag(resource: dict[str, Any]) -> str:
    """Return the value of a resource's ``Name`` tag, or nothing."""
    return next((tag["Value"] for tag in resource.get("Tags", []) if tag["Key"] == "Name"), "")


def networks(client: Client) -> Iterator[tuple[str, str]]:
    """Yield what EC2 has: networks and what launches instances."""
    ec2 = client("ec2")
    for operation, key in (
        ("describe_vpcs", "Vpcs"),
        ("describe_subnets", "Subnets"),
        ("describe_route_tables", "RouteTables"),
        ("describe_internet_gateways", "InternetGateways"),
        ("describe_security_groups", "SecurityGroups"),
    ):
        for resource in pages(ec2, operation, key):
            yield key, resource.get("GroupName", "") or name_tag(resource)
    # These two are shown for an hour after their end.
    for operation, key in (
        ("describe_nat_gateways", "NatGateways"),
        ("describe_vpc_endpoints", "VpcEndpoints"),
    ):
        for resource in pages(ec2, operation, key):
            if resource["State"] not in ("deleting", "deleted"):
                yield key, name_tag(resource)
    for log in pages(ec2, "describe_flow_logs", "FlowLogs"):
        yield "FlowLogs", name_tag(log)
    for address in ec2.describe_addresses()["Addresses"]:
        yield "Addresses", name_tag(address)
    for template in pages(ec2, "describe_launch_templates", "LaunchTemplates"):
        yield "LaunchTemplates", template["LaunchTemplateName"]
    for group in pages(client("autoscaling"), "describe_auto_scaling_groups", "AutoScalingGroups"):
        yield "AutoScalingGroups", group["AutoScalingGroupName"]


def containers(client: Client) -> Iterator[tuple[str, str]]:
    """Yield what ECS has, and what scales it."""
    ecs = client("ecs")
    clusters = list(pages(ecs, "list_clusters", "clusterArns"))
    for cluster in clusters:
        yield "Cluster", cluster.rsplit("/", 1)[-1]
        for service in pages(ecs, "list_services", "serviceArns", cluster=cluster):
            yield "Service", service.rsplit("/", 1)[-1]
    for provider in ecs.describe_capacity_providers()["capacityProviders"]:
        if provider.get("status") != "INACTIVE":
            yield "CapacityProvider", provider["name"]
    for definition in pages(ecs, "list_task_definitions", "taskDefinitionArns", status="ACTIVE"):
        yield "TaskDefinition", definition.rsplit("/", 1)[-1]
    scaling = client("application-autoscaling")
    for target in pages(scaling, "describe_scalable_targets", "ScalableTargets", ServiceNamespace="ecs"):
        yield "ScalableTarget", target["ResourceId"].rsplit("/", 1)[-1]
    for policy in pages(scaling, "describe_scaling_policies", "ScalingPolicies", ServiceNamespace="ecs"):
        yield "ScalingPolicy", policy["PolicyName"]


def stores(client: Client) -> Iterator[tuple[str, str]]:
    """Yield what holds documents, messages, models, logs and parameters."""
    for bucket in client("s3").list_buckets()["Buckets"]:
        yield "Bucket", bucket["Name"]
    for url in pages(client("sqs"), "list_queues", "QueueUrls"):
        yield "Queue", url.rsplit("/", 1)[-1]
    for system in pages(client("efs"), "describe_file_systems", "FileSystems"):
        yield "FileSystem", system.get("Name") or name_tag(system)
    for group in pages(client("logs"), "describe_log_groups", "logGroups"):
        yield "LogGroup", group["logGroupName"]
    for parameter in pages(client("ssm"), "describe_parameters", "Parameters"):
        yield "Parameter", parameter["Name"]
    for repository in pages(client("ecr"), "describe_repositories", "repositories"):
        yield "Repository", repository["repositoryName"]
    kms = client("kms")
    for alias in pages(kms, "list_aliases", "Aliases"):
        name = alias["AliasName"].removeprefix("alias/")
        # KMS keeps a deleted key, with its alias, for a week at the least.
        if not name.startswith("aws/"):
            key = kms.describe_key(KeyId=alias["AliasName"])["KeyMetadata"]
            if key["KeyState"] != "PendingDeletion":
                yield "Key", name


def events(client: Client) -> Iterator[tuple[str, str]]:
    """Yield buses, rules, functions, topics, alarms and dashboards."""
    bridge = client("events")
    for bus in bridge.list_event_buses()["EventBuses"]:
        yield "EventBus", bus["Name"]
        for rule in pages(bridge, "list_rules", "Rules", EventBusName=bus["Name"]):
            yield "Rule", rule["Name"]
    for function in pages(client("lambda"), "list_functions", "Functions"):
        yield "Function", function["FunctionName"]
    for topic in pages(client("sns"), "list_topics", "Topics"):
        yield "Topic", topic["TopicArn"].rsplit(":", 1)[-1]
    watch = client("cloudwatch")
    for kind in ("MetricAlarms", "CompositeAlarms"):
        for alarm in pages(watch, "describe_alarms", kind, AlarmTypes=["MetricAlarm", "CompositeAlarm"]):
            yield "Alarm", alarm["AlarmName"]
    for dashboard in pages(watch, "list_dashboards", "DashboardEntries"):
        yield "Dashboard", dashboard["DashboardName"]


def identities(client: Client) -> Iterator[tuple[str, str]]:
    """Yield roles, instance profiles and customer-managed policies."""
    iam = client("iam")
    for role in pages(iam, "list_roles", "Roles"):
        yield "Role", role["RoleName"]
    for profile in pages(iam, "list_instance_profiles", "InstanceProfiles"):
        yield "InstanceProfile", profile["InstanceProfileName"]
    for policy in pages(iam, "list_policies", "Policies", Scope="Local"):
        yield "Policy", policy["PolicyName"]


def of_stack(client: Client, prefix: str) -> list[str]:
    """Return ``Kind name`` of all with the stack's prefix (``pasture-docs``) or path (``/pasture/docs``)."""
    path = "/" + prefix.replace("-", "/", 1)

    def belongs(name: str) -> bool:
        return name in (prefix, path) or name.startswith((f"{prefix}-", f"{prefix}:", f"{path}/"))

    kinds = (networks, containers, stores, events, identities)
    return sorted(f"{kind} {name}" for of_kind in kinds for kind, name in of_kind(client) if belongs(name))


if __name__ == "__main__":
    print("\n".join(of_stack(boto3.client, sys.argv[1])))
