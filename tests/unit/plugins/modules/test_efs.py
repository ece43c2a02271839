# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file system of the models, its mount targets and its access point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from ansible_collections.pasture.ollama.plugins.module_utils import _efs
from ansible_collections.pasture.ollama.plugins.module_utils._resource import WaitTimeout, ensure
from ansible_collections.pasture.ollama.plugins.modules import efs_access_point, efs_file_system

Run = Callable[..., dict[str, Any]]
TAGS = {"pasture:stack": "docs"}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": "*",
            "Resource": "*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ],
}


class Place:
    """A VPC with three subnets, two of them in one zone."""

    def __init__(self) -> None:
        ec2 = boto3.client("ec2")
        vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnet_ids = [
            ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"eu-west-1{zone}")[
                "Subnet"
            ]["SubnetId"]
            for n, zone in enumerate("aab")
        ]
        self.group_id = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc_id)["GroupId"]


@pytest.fixture
def place(run: Run) -> Place:
    assert run
    return Place()


@pytest.fixture
def file_system(run: Run, place: Place) -> Run:
    given = {
        "name": "pasture-docs",
        "throughput_mode": "elastic",
        "backup": False,
        "policy": POLICY,
        "subnet_ids": place.subnet_ids,
        "security_group_ids": [place.group_id],
        "tags": TAGS,
    }
    return lambda **arguments: run(efs_file_system, **{**given, **arguments})


def mounted_in() -> set[str]:
    efs = boto3.client("efs")
    return {
        target["SubnetId"]
        for one in efs.describe_file_systems()["FileSystems"]
        for target in efs.describe_mount_targets(FileSystemId=one["FileSystemId"])["MountTargets"]
    }


def test_it_is_encrypted_elastic_and_mounted_once_in_each_zone(file_system: Run, place: Place) -> None:
    made = file_system()
    assert made["file_system"]["encrypted"] is True
    assert made["file_system"]["throughput_mode"] == "elastic"
    assert mounted_in() == {place.subnet_ids[0], place.subnet_ids[2]}
    assert made["mount_targets"][0]["security_group_ids"] == [place.group_id]
    assert file_system()["changed"] is False


@pytest.mark.parametrize(
    ("edit", "key"),
    [
        ({"throughput_mode": "bursting"}, "throughput_mode"),
        ({"backup": True}, "backup"),
        ({"policy": {}}, "policy"),
        ({"tags": {**TAGS, "team": "a"}}, "tags"),
    ],
)
def test_an_edit_is_told_done_and_then_done_with(file_system: Run, edit: dict[str, Any], key: str) -> None:
    file_system()
    told = file_system(check_mode=True, **edit)
    done = file_system(**edit)
    assert told["diff"] == done["diff"]
    assert [set(diff["after"]) for diff in done["diff"]] == [{key}]
    assert file_system(**edit)["changed"] is False


def test_another_subnet_of_a_zone_takes_the_place_of_the_first(file_system: Run, place: Place) -> None:
    file_system()
    assert file_system(subnet_ids=place.subnet_ids[1:])["changed"] is True
    assert mounted_in() == set(place.subnet_ids[1:])
    assert file_system(subnet_ids=place.subnet_ids[1:])["changed"] is False


def test_a_file_system_keeps_the_key_it_was_made_with(file_system: Run) -> None:
    file_system()
    assert file_system(kms_key_id="arn:aws:kms:eu-west-1:123456789012:key/1")["changed"] is False


def test_check_mode_before_there_is_a_network(file_system: Run) -> None:
    told = file_system(
        check_mode=True,
        subnet_ids=["(known after deploy: subnet)"] * 2,
        security_group_ids=["(known after deploy: group)"],
    )
    assert told["file_system"]["file_system_id"] == "(known after deploy: EFS file system)"
    assert len(told["mount_targets"]) == 2
    assert boto3.client("efs").describe_file_systems()["FileSystems"] == []


def test_it_goes_with_its_mount_targets(file_system: Run) -> None:
    file_system()
    assert len(file_system(state="absent", check_mode=True)["diff"]) == 3
    assert file_system(state="absent")["changed"] is True
    assert boto3.client("efs").describe_file_systems()["FileSystems"] == []
    assert file_system(state="absent")["changed"] is False


@pytest.mark.parametrize("operation", ["PutFileSystemPolicy", "CreateMountTarget", "DescribeMountTargets"])
def test_a_run_that_was_refused_half_way_is_completed_by_the_next(
    file_system: Run, place: Place, refuse: Callable[..., None], operation: str
) -> None:
    refuse(operation, "AccessDeniedException", times=1)
    assert "lists the IAM actions" in file_system()["msg"]
    file_system()
    assert mounted_in() == {place.subnet_ids[0], place.subnet_ids[2]}
    assert file_system()["changed"] is False


def test_mount_targets_that_linger_hold_the_deletion_up_only(
    file_system: Run, refuse: Callable[..., None]
) -> None:
    file_system()
    refuse("DeleteFileSystem", "FileSystemInUse", times=3)
    assert file_system(state="absent")["changed"] is True


def test_a_change_waits_for_the_one_before(file_system: Run, refuse: Callable[..., None]) -> None:
    file_system()
    refuse("UpdateFileSystem", "ThrottlingException", times=2)
    assert file_system(throughput_mode="bursting")["changed"] is True


def test_a_mount_target_that_failed_is_not_waited_for(
    file_system: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        _efs, "mount_targets", lambda _api, _id: [{"SubnetId": "s", "LifeCycleState": "error"}]
    )
    with pytest.raises(_efs.Refusal, match="the mount targets in s failed"):
        _efs.await_mount_targets(None, "fs-1")


def test_what_never_settles_is_given_up_with_its_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_efs, "TIMEOUT", 0.0)
    monkeypatch.setattr(
        _efs, "mount_targets", lambda _api, _id: [{"SubnetId": "s", "LifeCycleState": "creating"}]
    )
    with pytest.raises(WaitTimeout, match="creating"):
        _efs.await_mount_targets(None, "fs-1")


WAY_IN = [{"name": "pasture-docs", "path": "/models"}]


def test_it_is_made_with_its_access_points(run: Run, file_system: Run) -> None:
    made = file_system(access_points=WAY_IN)
    (point,) = made["access_points"]
    assert (point["name"], point["path"], point["uid"]) == ("pasture-docs", "/models", 1000)
    assert point["tags"] == {**TAGS, "Name": "pasture-docs"}
    assert file_system(access_points=WAY_IN)["changed"] is False
    # The module that knows access points alone finds the same one.
    file_system_id = made["file_system"]["file_system_id"]
    assert run(efs_access_point, file_system_id=file_system_id, tags=TAGS, **WAY_IN[0])["changed"] is False
    assert file_system()["changed"] is False
    assert len(boto3.client("efs").describe_access_points()["AccessPoints"]) == 1


def test_an_access_point_that_is_missing_or_other_is_told_by_its_file_system(file_system: Run) -> None:
    file_system()
    told = file_system(access_points=WAY_IN, check_mode=True)
    assert [diff["after"]["path"] for diff in told["diff"]] == ["/models"]
    assert file_system(access_points=WAY_IN)["changed"] is True
    other = [{**WAY_IN[0], "path": "/"}]
    assert "its path cannot be changed once it is made" in file_system(access_points=other)["msg"]


def test_the_access_points_of_a_file_system_to_be(file_system: Run) -> None:
    told = file_system(access_points=WAY_IN, check_mode=True)
    assert told["access_points"][0]["access_point_id"] == "(known after deploy: EFS access point)"


@pytest.fixture
def access_point(run: Run, api: Any) -> Run:
    ensure(_efs.FileSystem(api("efs"), "pasture-docs", {"encrypted": True}))
    found = _efs.find_file_system(api("efs"), "pasture-docs")
    assert found
    given = {"name": "pasture-docs", "file_system_id": found["FileSystemId"], "path": "/models", "tags": TAGS}
    return lambda **arguments: run(efs_access_point, **{**given, **arguments})


def test_clients_are_one_unprivileged_user_in_a_folder_of_their_own(access_point: Run) -> None:
    made = access_point()["access_point"]
    assert (made["uid"], made["gid"], made["permissions"], made["path"]) == (1000, 1000, "0750", "/models")
    assert access_point()["changed"] is False


def test_the_tags_of_an_access_point_can_be_changed_and_nothing_else(access_point: Run) -> None:
    access_point()
    assert access_point(tags={"team": "a"})["changed"] is True
    assert access_point(tags={"team": "a"})["access_point"]["tags"] == {"team": "a", "Name": "pasture-docs"}
    assert "its uid cannot be changed once it is made" in access_point(uid=0)["msg"]


def test_an_access_point_goes_without_knowing_the_file_system(run: Run, access_point: Run) -> None:
    access_point()
    assert run(efs_access_point, name="pasture-docs", state="absent")["changed"] is True
    assert run(efs_access_point, name="pasture-docs", state="absent")["changed"] is False


def test_an_access_point_of_a_file_system_to_be(access_point: Run) -> None:
    told = access_point(check_mode=True, file_system_id="(known after deploy: EFS file system)")
    assert told["access_point"]["access_point_id"] == "(known after deploy: EFS access point)"
