# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints: made together, shared with those of others, removed with the stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from ansible_collections.pasture.ollama.plugins.modules import vpc_endpoints

Run = Callable[..., dict[str, Any]]
TAGS = {"pasture:stack": "docs"}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"}],
}
ENDPOINTS = [
    {"service": "s3", "type": "Gateway"},
    {"service": "sqs", "policy": POLICY},
    {"service": "ecr.api"},
]


class Place:
    """A VPC with three subnets, two of them in one zone."""

    def __init__(self) -> None:
        self.ec2 = boto3.client("ec2")
        self.vpc_id = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnet_ids = [
            self.ec2.create_subnet(
                VpcId=self.vpc_id, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"eu-west-1{zone}"
            )["Subnet"]["SubnetId"]
            for n, zone in enumerate("aab")
        ]
        self.group_id = self.ec2.create_security_group(GroupName="g", Description="g", VpcId=self.vpc_id)[
            "GroupId"
        ]

    def endpoints(self) -> dict[str, dict[str, Any]]:
        found = self.ec2.describe_vpc_endpoints()["VpcEndpoints"]
        return {e["ServiceName"].split("eu-west-1.")[1]: e for e in found if e["State"] == "available"}


@pytest.fixture
def place(run: Run) -> Place:
    assert run
    return Place()


@pytest.fixture
def endpoints(run: Run, place: Place) -> Run:
    given = {
        "name": "pasture-docs",
        "vpc_id": place.vpc_id,
        "subnet_ids": place.subnet_ids,
        "security_group_ids": [place.group_id],
        "endpoints": ENDPOINTS,
        "tags": TAGS,
    }
    return lambda **arguments: run(vpc_endpoints, **{**given, **arguments})


def test_interfaces_stand_in_each_zone_once_and_gateways_at_the_route_tables(
    endpoints: Run, place: Place
) -> None:
    assert endpoints()["changed"] is True
    made = place.endpoints()
    assert set(made["sqs"]["SubnetIds"]) == {place.subnet_ids[0], place.subnet_ids[2]}
    assert made["sqs"]["PrivateDnsEnabled"] is True
    assert [group["GroupId"] for group in made["sqs"]["Groups"]] == [place.group_id]
    assert len(made["s3"]["RouteTableIds"]) == 1
    assert endpoints()["changed"] is False


def test_an_edit_is_told_and_done(endpoints: Run, place: Place) -> None:
    endpoints()
    narrower = {**POLICY, "Statement": [{**POLICY["Statement"][0], "Action": "sqs:SendMessage"}]}
    edited = [{"service": "s3", "type": "Gateway"}, {"service": "sqs", "policy": narrower}]
    told = endpoints(check_mode=True, endpoints=edited)
    done = endpoints(endpoints=edited)
    assert (
        [d["after_header"] for d in told["diff"]]
        == [d["after_header"] for d in done["diff"]]
        == [
            "VPC endpoint pasture-docs-sqs",
            "VPC endpoint pasture-docs-ecr.api",
        ]
    )
    assert set(place.endpoints()) == {"s3", "sqs"}
    assert "sqs:SendMessage" in place.endpoints()["sqs"]["PolicyDocument"]


def test_other_subnets_are_a_change_and_not_a_second_endpoint(endpoints: Run, place: Place) -> None:
    endpoints()
    before = place.endpoints()["sqs"]["VpcEndpointId"]
    assert endpoints(subnet_ids=place.subnet_ids[1:])["changed"] is True
    after = place.endpoints()["sqs"]
    assert after["VpcEndpointId"] == before
    assert set(after["SubnetIds"]) == set(place.subnet_ids[1:])


def test_endpoints_of_others_are_used_and_left_alone(endpoints: Run, place: Place) -> None:
    table = place.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [place.vpc_id]}])[
        "RouteTables"
    ][0]
    theirs = [
        place.ec2.create_vpc_endpoint(
            VpcId=place.vpc_id,
            ServiceName="com.amazonaws.eu-west-1.s3",
            RouteTableIds=[table["RouteTableId"]],
            VpcEndpointType="Gateway",
        ),
        place.ec2.create_vpc_endpoint(
            VpcId=place.vpc_id,
            ServiceName="com.amazonaws.eu-west-1.sqs",
            VpcEndpointType="Interface",
            SubnetIds=place.subnet_ids[:1],
            PrivateDnsEnabled=True,
        ),
    ]
    made = endpoints()
    assert sorted(made["foreign"]) == ["s3", "sqs"]
    assert [one["service_name"] for one in made["endpoints"]] == ["com.amazonaws.eu-west-1.ecr.api"]
    endpoints(state="absent")
    assert {e["VpcEndpointId"] for e in place.endpoints().values()} == {
        one["VpcEndpoint"]["VpcEndpointId"] for one in theirs
    }


def test_check_mode_before_there_is_a_vpc(endpoints: Run) -> None:
    told = endpoints(
        check_mode=True,
        vpc_id="(known after deploy: VPC)",
        subnet_ids=["(known after deploy: subnet)"] * 2,
        security_group_ids=["(known after deploy: security group)"],
    )
    assert told["changed"] is True
    assert len(told["endpoints"]) == 3


def test_a_service_without_endpoints_in_the_region_is_refused(endpoints: Run) -> None:
    failed = endpoints(endpoints=[{"service": "banana"}])
    assert "banana" in failed["msg"]


def test_a_service_with_endpoints_in_none_of_the_zones_is_refused(
    endpoints: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vpc_endpoints.Surroundings, "usable_subnets", lambda _self, _service: [])
    assert "none of the zones of these subnets; choose other subnets" in endpoints()["msg"]


def test_everything_goes_without_knowing_the_vpc(run: Run, endpoints: Run, place: Place) -> None:
    endpoints()
    assert run(vpc_endpoints, name="pasture-docs", state="absent", tags=TAGS)["changed"] is True
    assert place.endpoints() == {}
    assert run(vpc_endpoints, name="pasture-docs", state="absent", tags=TAGS)["changed"] is False


def test_a_refused_endpoint_is_named_and_the_others_are_made(
    endpoints: Run, place: Place, refuse: Callable[..., None]
) -> None:
    refuse("CreateVpcEndpoint", "VpcEndpointLimitExceeded", times=1)
    failed = endpoints()
    assert "VPC endpoint pasture-docs-" in failed["msg"]
    assert len(failed["completed"]) == 2
    assert endpoints()["changed"] is True
    assert set(place.endpoints()) == {"s3", "sqs", "ecr.api"}
