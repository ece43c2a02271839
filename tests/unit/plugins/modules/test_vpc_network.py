# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a stack: made, changed, removed, and told of beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._unknown import is_unknown
from ansible_collections.pasture.ollama.plugins.modules import vpc_network

Run = Callable[..., dict[str, Any]]
TAGS = {"pasture:stack": "docs"}
NETWORK = {"name": "pasture-docs", "tags": TAGS}


@pytest.fixture
def network(run: Run) -> Run:
    return lambda **arguments: run(vpc_network, **{**NETWORK, **arguments})


def routes_of_private_subnets() -> dict[str, str]:
    tables = boto3.client("ec2").describe_route_tables(
        Filters=[{"Name": "tag:Name", "Values": ["pasture-docs-private"]}]
    )["RouteTables"]
    return {
        route["DestinationCidrBlock"]: route.get("NatGatewayId", "local")
        for table in tables
        for route in table["Routes"]
    }


def named_things() -> list[str]:
    """The names of everything of the stack that EC2 still has."""
    ec2 = boto3.client("ec2")
    found = [
        *ec2.describe_vpcs()["Vpcs"],
        *ec2.describe_subnets()["Subnets"],
        *ec2.describe_internet_gateways()["InternetGateways"],
        *ec2.describe_route_tables()["RouteTables"],
        *ec2.describe_addresses()["Addresses"],
        *(n for n in ec2.describe_nat_gateways()["NatGateways"] if n["State"] != "deleted"),
    ]
    names = [tag["Value"] for one in found for tag in one.get("Tags", []) if tag["Key"] == "Name"]
    return sorted(names)


def test_private_subnets_go_out_by_the_nat_gateway_only(network: Run) -> None:
    made = network()["network"]
    assert len(made["private_subnet_ids"]) == len(made["public_subnet_ids"]) == 2
    assert routes_of_private_subnets()["0.0.0.0/0"].startswith("nat-")
    subnets = boto3.client("ec2").describe_subnets(SubnetIds=made["private_subnet_ids"])["Subnets"]
    assert len({one["AvailabilityZone"] for one in subnets}) == 2
    assert not any(one["MapPublicIpOnLaunch"] for one in subnets)


def test_a_second_run_changes_nothing(network: Run) -> None:
    first = network()
    second = network()
    assert (first["changed"], second["changed"]) == (True, False)
    assert second["diff"] == []
    assert second["network"] == first["network"]


def test_check_mode_on_an_empty_account_tells_everything_and_makes_nothing(network: Run) -> None:
    told = network(check_mode=True)
    assert told["changed"] is True
    assert is_unknown(told["network"]["vpc_id"])
    headers = [diff["after_header"] for diff in told["diff"]]
    made = [diff["after_header"] for diff in network()["diff"]]
    assert headers == made


def test_without_egress_there_is_no_way_to_the_internet(network: Run) -> None:
    network(egress="none")
    assert routes_of_private_subnets() == {"10.0.0.0/16": "local"}
    assert named_things() == [
        "pasture-docs",
        "pasture-docs-private",
        "pasture-docs-private-1",
        "pasture-docs-private-2",
    ]


def test_taking_egress_away_removes_the_way_out_and_keeps_the_private_subnets(network: Run) -> None:
    before = network()["network"]
    told = network(check_mode=True, egress="none")
    after = network(egress="none")
    assert [d["before_header"] for d in told["diff"]] == [d["before_header"] for d in after["diff"]]
    assert after["network"]["private_subnet_ids"] == before["private_subnet_ids"]
    assert routes_of_private_subnets() == {"10.0.0.0/16": "local"}
    assert "pasture-docs-nat" not in named_things()
    assert network(egress="none")["changed"] is False


def test_a_third_zone_can_be_added(network: Run) -> None:
    before = network()["network"]["private_subnet_ids"]
    after = network(zones=3)["network"]["private_subnet_ids"]
    assert after[:2] == before
    assert len(after) == 3


def test_a_tag_reaches_every_part_and_leaves_it_again(network: Run) -> None:
    network(tags={**TAGS, "team": "a"})
    vpc = boto3.client("ec2").describe_vpcs(Filters=[{"Name": "tag:team", "Values": ["a"]}])["Vpcs"]
    assert len(vpc) == 1
    changed = network()
    assert all(set(diff["after"]) == {"tags"} for diff in changed["diff"])
    assert not boto3.client("ec2").describe_subnets(Filters=[{"Name": "tag:team", "Values": ["a"]}])[
        "Subnets"
    ]


def test_addresses_cannot_be_changed_and_the_message_says_what_to_do(network: Run) -> None:
    network()
    failed = network(cidr="10.1.0.0/16")
    assert "VPC pasture-docs could not be brought to the wanted state" in failed["msg"]
    assert "keep the old ones, or destroy the stack first" in failed["msg"]


def default_group(network: dict[str, Any]) -> dict[str, Any]:
    filters = [
        {"Name": "vpc-id", "Values": [network["vpc_id"]]},
        {"Name": "group-name", "Values": ["default"]},
    ]
    (group,) = boto3.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
    return group


def test_the_default_security_group_lets_nothing_in_or_out(network: Run) -> None:
    made = network()["network"]
    group = default_group(made)
    assert (group["IpPermissions"], group["IpPermissionsEgress"]) == ([], [])
    anywhere = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    boto3.client("ec2").authorize_security_group_egress(GroupId=group["GroupId"], IpPermissions=anywhere)
    (diff,) = network()["diff"]
    assert (diff["before"], diff["after"]) == ({"default_group_rules": 1}, {"default_group_rules": 0})
    assert default_group(made)["IpPermissionsEgress"] == []


FLOW_LOG = {"log_group": "/pasture/docs/network/flow-log", "role_arn": "arn:aws:iam::123456789012:role/a"}


def flow_logs() -> list[tuple[str, str, str]]:
    found = boto3.client("ec2").describe_flow_logs()["FlowLogs"]
    return [(one["TrafficType"], one["LogGroupName"], one["DeliverLogsPermissionArn"]) for one in found]


def test_a_flow_log_comes_changes_and_goes(network: Run) -> None:
    network()
    told = network(check_mode=True, flow_log=FLOW_LOG)["diff"]
    assert flow_logs() == []
    made = network(flow_log=FLOW_LOG)["diff"]
    assert [diff["after_header"] for diff in told] == [diff["after_header"] for diff in made]
    assert flow_logs() == [("ALL", *FLOW_LOG.values())]
    assert network(flow_log=FLOW_LOG)["changed"] is False
    other = {**FLOW_LOG, "role_arn": "arn:aws:iam::123456789012:role/b"}
    network(flow_log=other)
    assert flow_logs() == [("ALL", *other.values())]
    network()
    assert flow_logs() == []


def test_a_flow_log_goes_with_its_network(network: Run) -> None:
    network(flow_log=FLOW_LOG)
    network(state="absent")
    assert flow_logs() == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cidr": "10.0.0.0/8"}, "must be between /16 and /20"),
        ({"zones": 0}, "zones must be between 1 and 6"),
        ({"zones": 6}, "usable availability zones, not 6"),
        ({"tags": {"team": "a"}}, "tags must hold pasture:stack"),
    ],
)
def test_what_cannot_be_made_is_refused(network: Run, wrong: dict[str, Any], message: str) -> None:
    assert message in network(**wrong)["msg"]


def test_everything_goes_and_nothing_of_others(network: Run, run: Run) -> None:
    network()
    run(vpc_network, name="pasture-docs", tags={"pasture:stack": "other"}, cidr="10.1.0.0/16")
    told = network(check_mode=True, state="absent")
    gone = network(state="absent")
    assert len(told["diff"]) == len(gone["diff"]) == 10
    assert (
        named_things().count("pasture-docs-nat") == 2
    )  # address and gateway of the other stack of that name
    assert network(state="absent")["changed"] is False


STEPS = [
    "CreateVpc",
    "ModifyVpcAttribute",
    "CreateSubnet",
    "AttachInternetGateway",
    "CreateNatGateway",
    "CreateRoute",
]


@pytest.mark.parametrize("operation", STEPS)
def test_a_run_that_was_refused_half_way_is_completed_by_the_next(
    network: Run, refuse: Callable[..., None], operation: str
) -> None:
    refuse(operation, "UnauthorizedOperation", times=1)
    failed = network()
    assert "the role's README lists the IAM actions it needs" in failed["msg"]
    assert network()["changed"] is True
    assert network()["changed"] is False


@pytest.mark.parametrize("operation", STEPS)
def test_a_run_that_was_refused_half_way_can_be_removed(
    network: Run, refuse: Callable[..., None], operation: str
) -> None:
    refuse(operation, "UnauthorizedOperation", times=1)
    network()
    network(state="absent")
    assert named_things() == []


def test_a_throttling_storm_is_sat_out(network: Run, refuse: Callable[..., None]) -> None:
    refuse("CreateSubnet", "RequestLimitExceeded", times=4)
    assert network()["changed"] is True


def test_an_address_that_a_dying_gateway_holds_is_waited_for(
    network: Run, refuse: Callable[..., None]
) -> None:
    network()
    refuse("ReleaseAddress", "InvalidIPAddress.InUse", times=2)
    network(state="absent")
    assert named_things() == []


def test_a_used_up_quota_is_named_with_its_remedy(network: Run, refuse: Callable[..., None]) -> None:
    refuse("CreateVpc", "VpcLimitExceeded")
    failed = network()
    assert "ask for more in Service Quotas" in failed["msg"]
    assert failed["error_code"] == "VpcLimitExceeded"


def test_two_networks_of_one_name_are_not_guessed_between(network: Run) -> None:
    network()
    ec2 = boto3.client("ec2")
    twin = ec2.create_vpc(CidrBlock="10.5.0.0/16")["Vpc"]["VpcId"]
    ec2.create_tags(
        Resources=[twin],
        Tags=[{"Key": "Name", "Value": "pasture-docs"}, {"Key": "pasture:stack", "Value": "docs"}],
    )
    assert "2 of them carry this name and stack" in network()["msg"]
