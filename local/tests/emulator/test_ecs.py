# SPDX-License-Identifier: GPL-3.0-or-later
"""Amazon ECS on the emulator."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

PROTECTED = {"status": "ENABLED", "targetCapacity": 100}


@pytest.fixture
def network(cloud: Any) -> SimpleNamespace:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName=f"g-{vpc}", Description="tasks", VpcId=vpc)["GroupId"]
    awsvpc = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}}
    return SimpleNamespace(ec2=ec2, vpc=vpc, subnet=subnet, group=group, configuration=awsvpc)


def make_group(cloud: Any, network: SimpleNamespace, name: str, *, protected: bool = True) -> str:
    """An Auto Scaling group of size 0; its ARN."""
    network.ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "g5.xlarge"}
    )
    autoscaling = cloud.client("autoscaling")
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
        MinSize=0,
        MaxSize=5,
        VPCZoneIdentifier=network.subnet,
        NewInstancesProtectedFromScaleIn=protected,
    )
    groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return str(groups[0]["AutoScalingGroupARN"])


def make_provider(cloud: Any, network: SimpleNamespace, name: str, **group: Any) -> None:
    cloud.client("ecs").create_capacity_provider(
        name=name,
        autoScalingGroupProvider={
            "autoScalingGroupArn": make_group(cloud, network, name, **group),
            "managedScaling": PROTECTED,
            "managedTerminationProtection": "ENABLED",
        },
    )


def make_definition(cloud: Any, name: str, **fields: Any) -> str:
    registered = cloud.client("ecs").register_task_definition(
        family=name,
        networkMode="awsvpc",
        containerDefinitions=[{"name": "worker", "image": "worker", "memory": 512}],
        **fields,
    )
    return str(registered["taskDefinition"]["taskDefinitionArn"])


@pytest.fixture
def stack(cloud: Any, network: SimpleNamespace, name: str) -> SimpleNamespace:
    """A cluster with a capacity provider and a service at 0."""
    ecs = cloud.client("ecs")
    make_provider(cloud, network, name)
    ecs.create_cluster(clusterName=name)
    ecs.put_cluster_capacity_providers(
        cluster=name, capacityProviders=[name], defaultCapacityProviderStrategy=[]
    )
    definition = make_definition(cloud, name)
    strategy = [{"capacityProvider": name, "weight": 1, "base": 0}]
    ecs.create_service(
        cluster=name,
        serviceName=name,
        taskDefinition=definition,
        desiredCount=0,
        capacityProviderStrategy=strategy,
        deploymentConfiguration={"minimumHealthyPercent": 0, "maximumPercent": 100},
        enableECSManagedTags=True,
        networkConfiguration=network.configuration,
    )
    return SimpleNamespace(
        ecs=ecs, name=name, definition=definition, strategy=strategy, network=network, cloud=cloud
    )


def described(stack: SimpleNamespace) -> dict[str, Any]:
    services = stack.ecs.describe_services(cluster=stack.name, services=[stack.name])["services"]
    service: dict[str, Any] = services[0]
    return service


@pytest.mark.mends("ecs-service-fields")
def test_a_service_is_described_with_what_it_was_created_with(stack: SimpleNamespace) -> None:
    service = described(stack)
    assert service["capacityProviderStrategy"] == stack.strategy
    assert "launchType" not in service
    assert service["enableECSManagedTags"] is True
    configuration = service["deploymentConfiguration"]
    assert (configuration["minimumHealthyPercent"], configuration["maximumPercent"]) == (0, 100)
    assert configuration["deploymentCircuitBreaker"] == {"enable": False, "rollback": False}
    assert service["deployments"][0]["capacityProviderStrategy"] == stack.strategy


@pytest.mark.mends("ecs-service-fields")
def test_a_service_is_not_created_twice(stack: SimpleNamespace) -> None:
    with pytest.raises(ClientError, match="not idempotent"):
        stack.ecs.create_service(cluster=stack.name, serviceName=stack.name, taskDefinition=stack.definition)


@pytest.mark.mends("ecs-service-fields")
def test_a_service_needs_a_capacity_provider_of_its_cluster(stack: SimpleNamespace) -> None:
    with pytest.raises(ClientError, match="'other' was not found"):
        stack.ecs.create_service(
            cluster=stack.name,
            serviceName="other",
            taskDefinition=stack.definition,
            capacityProviderStrategy=[{"capacityProvider": "other"}],
        )


@pytest.mark.mends("ecs-update-service", "ecs-service-counts")
def test_a_new_desired_count_does_not_start_tasks_by_itself(stack: SimpleNamespace) -> None:
    stack.ecs.update_service(cluster=stack.name, service=stack.name, desiredCount=2)
    service = described(stack)
    assert (service["desiredCount"], service["runningCount"], service["pendingCount"]) == (2, 0, 0)


@pytest.mark.mends("ecs-update-service")
def test_a_new_task_definition_makes_a_new_deployment(stack: SimpleNamespace) -> None:
    before = described(stack)["deployments"][0]["id"]
    newer = make_definition(stack.cloud, stack.name)
    stack.ecs.update_service(cluster=stack.name, service=stack.name, taskDefinition=f"{stack.name}:2")
    service = described(stack)
    assert service["taskDefinition"] == newer
    assert service["deployments"][0]["id"] != before
    assert service["deployments"][0]["taskDefinition"] == newer


@pytest.mark.mends("ecs-update-service")
def test_a_changed_deployment_configuration_keeps_the_rest(stack: SimpleNamespace) -> None:
    stack.ecs.update_service(
        cluster=stack.name, service=stack.name, deploymentConfiguration={"maximumPercent": 150}
    )
    configuration = described(stack)["deploymentConfiguration"]
    assert (configuration["minimumHealthyPercent"], configuration["maximumPercent"]) == (0, 150)


@pytest.mark.mends("ecs-list-services", "ecs-list-clusters", "ecs-update-service")
def test_what_was_deleted_is_gone(stack: SimpleNamespace) -> None:
    stack.ecs.delete_service(cluster=stack.name, service=stack.name)
    assert stack.ecs.list_services(cluster=stack.name)["serviceArns"] == []
    with pytest.raises(ClientError, match="not ACTIVE"):
        stack.ecs.update_service(cluster=stack.name, service=stack.name, desiredCount=1)
    stack.ecs.delete_cluster(cluster=stack.name)
    assert not any(stack.name in arn for arn in stack.ecs.list_clusters()["clusterArns"])


@pytest.mark.mends("ecs-delete-cluster")
def test_a_cluster_with_an_active_service_stays(stack: SimpleNamespace) -> None:
    with pytest.raises(stack.ecs.exceptions.ClusterContainsServicesException):
        stack.ecs.delete_cluster(cluster=stack.name)


@pytest.mark.mends("ecs-create-cluster")
def test_creating_a_cluster_again_changes_nothing(stack: SimpleNamespace) -> None:
    again = stack.ecs.create_cluster(clusterName=stack.name)["cluster"]
    assert again["capacityProviders"] == [stack.name]


@pytest.mark.mends("ecs-cluster-settings")
def test_the_settings_of_a_cluster_can_be_changed(cloud: Any, name: str) -> None:
    ecs = cloud.client("ecs")
    ecs.create_cluster(clusterName=name)
    wanted = [{"name": "containerInsights", "value": "enhanced"}]
    ecs.update_cluster_settings(cluster=name, settings=wanted)
    assert ecs.describe_clusters(clusters=[name])["clusters"][0]["settings"] == wanted


@pytest.mark.mends("ecs-cluster-providers")
def test_a_cluster_takes_only_capacity_providers_that_exist(cloud: Any, name: str) -> None:
    ecs = cloud.client("ecs")
    ecs.create_cluster(clusterName=name)
    with pytest.raises(ClientError, match="was not found"):
        ecs.put_cluster_capacity_providers(
            cluster=name, capacityProviders=["missing"], defaultCapacityProviderStrategy=[]
        )


@pytest.mark.mends("ecs-create-provider")
def test_termination_protection_needs_protected_instances(
    cloud: Any, network: SimpleNamespace, name: str
) -> None:
    with pytest.raises(ClientError, match="instance protection from scale in enabled"):
        make_provider(cloud, network, name, protected=False)


@pytest.mark.mends("ecs-create-provider")
def test_a_capacity_provider_needs_its_group(cloud: Any, name: str) -> None:
    with pytest.raises(ClientError, match="Auto Scaling group ARN is invalid"):
        cloud.client("ecs").create_capacity_provider(
            name=name,
            autoScalingGroupProvider={
                "autoScalingGroupArn": "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:x:y"
            },
        )


@pytest.mark.mends("ecs-provider-draining", "ecs-update-provider", "ecs-describe-providers")
def test_managed_draining_is_on_until_switched_off(stack: SimpleNamespace) -> None:
    def draining() -> str:
        providers = stack.ecs.describe_capacity_providers()["capacityProviders"]
        mine = next(p for p in providers if p["name"] == stack.name)
        return str(mine["autoScalingGroupProvider"]["managedDraining"])

    assert draining() == "ENABLED"
    stack.ecs.update_capacity_provider(
        name=stack.name, autoScalingGroupProvider={"managedDraining": "DISABLED"}
    )
    assert draining() == "DISABLED"


@pytest.mark.mends("ecs-delete-provider")
def test_a_capacity_provider_in_use_stays(stack: SimpleNamespace) -> None:
    with pytest.raises(ClientError, match="in use"):
        stack.ecs.delete_capacity_provider(capacityProvider=stack.name)


@pytest.mark.mends("ecs-delete-provider", "ecs-update-provider")
def test_a_missing_capacity_provider_is_an_error_of_the_caller(cloud: Any) -> None:
    ecs = cloud.client("ecs")
    with pytest.raises(ecs.exceptions.ClientException, match="does not exist"):
        ecs.delete_capacity_provider(capacityProvider="missing")
    with pytest.raises(ecs.exceptions.ClientException, match="does not exist"):
        ecs.update_capacity_provider(name="missing", autoScalingGroupProvider={})


@pytest.mark.mends("ecs-registered-at")
def test_a_task_definition_says_when_it_was_registered(cloud: Any, name: str) -> None:
    make_definition(cloud, name)
    definition = cloud.client("ecs").describe_task_definition(taskDefinition=name)["taskDefinition"]
    assert definition["registeredAt"]
