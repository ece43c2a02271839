# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Security groups that name each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._ec2_security import (
    described_rules,
    permission,
    rule_list,
)
from ansible_collections.pasture.ollama.plugins.modules import vpc_security_groups

Run = Callable[..., dict[str, Any]]
TAGS = {"pasture:stack": "docs"}
S3 = "com.amazonaws.eu-west-1.s3"
GROUPS = [
    {
        "name": "tasks",
        "egress": [{"peers": ["files"], "ports": [2049]}, {"peers": [S3, "10.0.0.0/8"], "ports": [443]}],
    },
    {"name": "files", "ingress": [{"peers": ["tasks"], "ports": [2049]}]},
]


@pytest.fixture
def groups(run: Run) -> Run:
    vpc_id = boto3.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return lambda **arguments: run(
        vpc_security_groups, **{"vpc_id": vpc_id, "groups": GROUPS, "tags": TAGS, **arguments}
    )


def rules_of(group_id: str) -> tuple[list[Any], list[Any]]:
    group = boto3.client("ec2").describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]
    return tuple(
        [(rule["from_port"], rule["peer"]) for rule in described_rules(group[key])]
        for key in ("IpPermissions", "IpPermissionsEgress")
    )


def test_only_what_is_listed_may_come_in_or_go_out(groups: Run) -> None:
    ids = groups()["group_ids"]
    incoming, outgoing = rules_of(ids["tasks"])
    assert incoming == []
    assert {(port, peer) for port, peer in outgoing if not peer.startswith("pl-")} == {
        (2049, ids["files"]),
        (443, "10.0.0.0/8"),
    }
    assert len(outgoing) == 3
    assert rules_of(ids["files"]) == ([(2049, ids["tasks"])], [])


def test_a_second_run_changes_nothing(groups: Run) -> None:
    assert groups()["changed"] is True
    assert groups()["changed"] is False


def test_check_mode_before_there_is_a_vpc(run: Run) -> None:
    told = run(
        vpc_security_groups, check_mode=True, vpc_id="(known after deploy: VPC)", groups=GROUPS, tags=TAGS
    )
    assert told["changed"] is True
    assert told["group_ids"]["tasks"] == "(known after deploy: security group)"


def test_a_rule_added_by_hand_is_taken_away_again(groups: Run) -> None:
    group_id = groups()["group_ids"]["tasks"]
    boto3.client("ec2").authorize_security_group_ingress(
        GroupId=group_id, IpPermissions=[permission(rule_list({"0.0.0.0/0": [22]})[0])]
    )
    told = groups(check_mode=True)
    assert [diff["after"] for diff in told["diff"]] == [{"ingress": []}]
    groups()
    assert rules_of(group_id)[0] == []


def test_groups_that_hold_each_other_can_be_removed(groups: Run) -> None:
    groups()
    assert groups(state="absent", check_mode=True)["changed"] is True
    assert groups(state="absent")["changed"] is True
    assert groups(state="absent")["changed"] is False


def test_a_description_cannot_be_changed(groups: Run) -> None:
    groups()
    failed = groups(groups=[{"name": "tasks", "description": "other"}])
    assert "cannot be changed; delete the group first" in failed["msg"]


def test_a_group_in_use_is_waited_for(groups: Run, refuse: Callable[..., None]) -> None:
    groups()
    refuse("DeleteSecurityGroup", "DependencyViolation", times=3)
    assert groups(state="absent")["changed"] is True


def test_access_denied_names_the_group_and_the_remedy(groups: Run, refuse: Callable[..., None]) -> None:
    refuse("CreateSecurityGroup", "UnauthorizedOperation")
    failed = groups()
    assert "security group tasks could not be brought to the wanted state" in failed["msg"]
    assert "lists the IAM actions" in failed["msg"]


@pytest.mark.parametrize("peer", ["10.0.0.0/8", "::/0", "sg-1", "pl-1"])
def test_a_rule_survives_the_way_to_ec2_and_back(peer: str) -> None:
    rules = rule_list({peer: [443]})
    assert described_rules([permission(rule) for rule in rules]) == rules


def test_the_rule_that_lets_everything_out_is_seen() -> None:
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    (rule,) = described_rules([everything])
    assert permission(rule) == everything
