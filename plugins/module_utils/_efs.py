# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""File systems of Amazon EFS, where they are mounted, and the points at which they are entered.

For internal use of this collection only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._policy import Policy, keep_if_same, parse
from ansible_collections.pasture.ollama.plugins.module_utils._resource import (
    Refusal,
    Resource,
    State,
    merge_tags,
    wait_until,
)
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_change, tag_dict, upper_list
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import is_unknown, unknown

#: Seconds. A file system takes seconds, a mount target one to two minutes, its deletion as long.
TIMEOUT = 600.0
_NO_FILE_SYSTEM = "FileSystemNotFound"


def apply_tags(api: Api, resource_id: str, current: dict[str, str], wanted: dict[str, str]) -> None:
    """Make the tags of a file system or an access point C(wanted)."""
    change = tag_change(current, wanted)
    if change.removed:
        api.call("untag_resource", ResourceId=resource_id, TagKeys=change.removed)
    if change.added:
        api.call("tag_resource", ResourceId=resource_id, Tags=upper_list(change.added))


def find_file_system(api: Api, token: str) -> dict[str, Any] | None:
    """EFS's description of the file system with this creation token."""
    answer = api.call("describe_file_systems", missing=[_NO_FILE_SYSTEM], CreationToken=token) or {}
    alive = [
        one for one in answer.get("FileSystems", []) if one["LifeCycleState"] not in ("deleting", "deleted")
    ]
    return alive[0] if alive else None


class FileSystem(Resource):
    """A file system, found by its creation token, which is its name.

    :param options: C(throughput_mode), C(encrypted), C(kms_key_id), C(backup), C(policy) and C(tags), as the
        module documents them; None leaves a setting alone.
    """

    kind = "EFS file system"
    exact_keys = frozenset({"tags", "policy"})

    def __init__(self, api: Api, name: str, options: Mapping[str, Any], purge_tags: bool = True) -> None:
        super().__init__(name)
        self.api = api
        self.options = {key: value for key, value in options.items() if value is not None}
        self.purge_tags = purge_tags

    def read(self) -> State | None:
        found = find_file_system(self.api, self.name)
        if found is None:
            return None
        file_system_id = found["FileSystemId"]
        backup = self.api.call(
            "describe_backup_policy", missing=["PolicyNotFound", _NO_FILE_SYSTEM], FileSystemId=file_system_id
        )
        policy = self.api.call(
            "describe_file_system_policy",
            missing=["PolicyNotFound", _NO_FILE_SYSTEM],
            FileSystemId=file_system_id,
        )
        return {
            "file_system_id": file_system_id,
            "arn": found["FileSystemArn"],
            "performance_mode": found["PerformanceMode"],
            "throughput_mode": found.get("ThroughputMode", "bursting"),
            "encrypted": bool(found.get("Encrypted")),
            "kms_key_id": found.get("KmsKeyId"),
            "backup": ((backup or {}).get("BackupPolicy") or {}).get("Status") in ("ENABLED", "ENABLING"),
            "policy": parse((policy or {}).get("Policy")),
            "tags": tag_dict(found.get("Tags")),
        }

    def wanted(self, current: State | None) -> State:
        present = current or {}
        wanted = dict(self.options)
        if current is not None:
            # How it is encrypted is decided once for all; EFS has no call to change it.
            wanted.pop("encrypted", None)
            wanted.pop("kms_key_id", None)
        if "policy" in wanted:
            wanted["policy"] = keep_if_same(present.get("policy"), wanted["policy"] or None)
        if "tags" in wanted:
            named = {**wanted["tags"], "Name": self.name}
            wanted["tags"] = merge_tags(present.get("tags"), named, self.purge_tags)
        return wanted

    def computed(self) -> State:
        return {"file_system_id": unknown("EFS file system"), "arn": unknown("EFS file system ARN")}

    def create(self, wanted: State) -> None:
        self.api.call(
            "create_file_system",
            CreationToken=self.name,
            PerformanceMode="generalPurpose",  # the only one that elastic throughput goes with
            ThroughputMode=wanted.get("throughput_mode"),
            Encrypted=wanted.get("encrypted"),
            KmsKeyId=wanted.get("kms_key_id"),
            Backup=wanted.get("backup"),
            Tags=upper_list(wanted.get("tags") or {"Name": self.name}),
        )
        made = self._await_available()
        if wanted.get("policy"):
            self._put_policy(made["FileSystemId"], wanted["policy"])

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        file_system_id = current["file_system_id"]
        if "throughput_mode" in changed_keys:
            self.api.call(
                "update_file_system", FileSystemId=file_system_id, ThroughputMode=wanted["throughput_mode"]
            )
        if "backup" in changed_keys:
            status = {"Status": "ENABLED" if wanted["backup"] else "DISABLED"}
            self.api.call("put_backup_policy", FileSystemId=file_system_id, BackupPolicy=status)
        if "policy" in changed_keys:
            self._put_policy(file_system_id, wanted["policy"])
        if "tags" in changed_keys:
            apply_tags(self.api, file_system_id, current["tags"], wanted["tags"])

    def _put_policy(self, file_system_id: str, policy: Policy | None) -> None:
        if policy:
            self.api.call("put_file_system_policy", FileSystemId=file_system_id, Policy=json.dumps(policy))
        else:
            self.api.call("delete_file_system_policy", FileSystemId=file_system_id)

    def _await_available(self) -> dict[str, Any]:
        return (
            wait_until(
                "available",
                lambda: find_file_system(self.api, self.name),
                lambda found: bool(found and found["LifeCycleState"] == "available"),
                TIMEOUT,
            )
            or {}
        )

    def settle(self, present: bool) -> None:
        # Changes of throughput put it into "updating"; the next call would be refused until that is over. And as
        # long as it is "deleting", none can be made by its name.
        if present:
            self._await_available()
        else:
            wait_until("gone", self._remains, lambda found: found is None, TIMEOUT)

    def _remains(self) -> State | None:
        answer = (
            self.api.call("describe_file_systems", missing=[_NO_FILE_SYSTEM], CreationToken=self.name) or {}
        )
        left = [one for one in answer.get("FileSystems", []) if one["LifeCycleState"] != "deleted"]
        return {"state": left[0]["LifeCycleState"]} if left else None

    def delete(self, current: State) -> None:
        # A file system whose mount targets have only just gone may still count them.
        wait_until(
            "free to be deleted",
            lambda: {
                "deleted": self.api.call(
                    "delete_file_system", missing=["FileSystemInUse"], FileSystemId=current["file_system_id"]
                )
                is not None
            },
            lambda answer: bool(answer and answer["deleted"]),
            TIMEOUT,
        )


class MountTarget(Resource):
    """The address of a file system in one subnet. Creations and deletions are awaited together, not here."""

    kind = "EFS mount target in"

    def __init__(
        self, api: Api, file_system_id: str, subnet_id: str, security_group_ids: Sequence[str] | None = None
    ) -> None:
        super().__init__(subnet_id)
        self.api = api
        self.file_system_id = file_system_id
        self.security_group_ids = None if security_group_ids is None else sorted(security_group_ids)

    def identity(self) -> Any:
        return [self.file_system_id, self.name]

    def read(self) -> State | None:
        for target in mount_targets(self.api, self.file_system_id):
            if target["SubnetId"] == self.name and target["LifeCycleState"] != "deleting":
                groups = self.api.call(
                    "describe_mount_target_security_groups", MountTargetId=target["MountTargetId"]
                ) or {"SecurityGroups": []}
                return {
                    "mount_target_id": target["MountTargetId"],
                    "subnet_id": self.name,
                    "security_group_ids": sorted(groups["SecurityGroups"]),
                }
        return None

    def wanted(self, current: State | None) -> State:
        groups = {} if self.security_group_ids is None else {"security_group_ids": self.security_group_ids}
        return {"subnet_id": self.name, **groups}

    def computed(self) -> State:
        return {"mount_target_id": unknown("EFS mount target")}

    def create(self, wanted: State) -> None:
        self.api.call(
            "create_mount_target",
            FileSystemId=self.file_system_id,
            SubnetId=self.name,
            SecurityGroups=self.security_group_ids,
        )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        self.api.call(
            "modify_mount_target_security_groups",
            MountTargetId=current["mount_target_id"],
            SecurityGroups=wanted["security_group_ids"],
        )

    def delete(self, current: State) -> None:
        self.api.call(
            "delete_mount_target", missing=["MountTargetNotFound"], MountTargetId=current["mount_target_id"]
        )


def mount_targets(api: Api, file_system_id: str) -> list[dict[str, Any]]:
    """All mount targets of a file system; none when it does not exist yet."""
    if is_unknown(file_system_id):
        return []
    return list(
        api.pages(
            "describe_mount_targets", "MountTargets", missing=[_NO_FILE_SYSTEM], FileSystemId=file_system_id
        )
    )


def await_mount_targets(api: Api, file_system_id: str) -> None:
    """Wait once until no mount target is on its way, there or gone.

    :raises WaitTimeout: when one of them takes too long.
    :raises Refusal: when one of them failed.
    """

    def states() -> State:
        return {one["SubnetId"]: one["LifeCycleState"] for one in mount_targets(api, file_system_id)}

    def reached(seen: State | None) -> bool:
        failed = [subnet for subnet, state in (seen or {}).items() if state == "error"]
        if failed:
            raise Refusal(f"the mount targets in {', '.join(failed)} failed; delete them, then run again")
        return all(state == "available" for state in (seen or {}).values())

    wait_until("done with its mount targets", states, reached, TIMEOUT)


#: What an access point is, as its module and that of its file system take it.
ACCESS_POINT_OPTIONS: dict[str, Any] = {
    "path": {"type": "str", "default": "/"},
    "uid": {"type": "int", "default": 1000},
    "gid": {"type": "int", "default": 1000},
    "permissions": {"type": "str", "default": "0750"},
}


class AccessPoint(Resource):
    """The folder of a file system in which a client finds itself, with the user it is there.

    :param file_system_id: without it, all file systems are searched, which is enough to remove one.
    """

    kind = "EFS access point"

    def __init__(
        self,
        api: Api,
        name: str,
        file_system_id: str | None,
        options: Mapping[str, Any],
        purge_tags: bool = True,
    ) -> None:
        super().__init__(name)
        self.api = api
        self.file_system_id = file_system_id
        self.options = {key: value for key, value in options.items() if value is not None}
        self.purge_tags = purge_tags

    def identity(self) -> Any:
        return [self.name, self.file_system_id]

    def read(self) -> State | None:
        mine = [one for one in self._all() if tag_dict(one.get("Tags")).get("Name") == self.name]
        alive = [one for one in mine if one["LifeCycleState"] not in ("deleting", "deleted")]
        if len(alive) > 1:
            ids = ", ".join(sorted(one["AccessPointId"] for one in alive))
            raise Refusal(f"{len(alive)} of them carry this name ({ids}); delete all but one")
        return self._state(alive[0]) if alive else None

    def _all(self) -> list[dict[str, Any]]:
        return list(
            self.api.pages(
                "describe_access_points",
                "AccessPoints",
                missing=[_NO_FILE_SYSTEM],
                FileSystemId=self.file_system_id,
            )
        )

    def _state(self, found: dict[str, Any]) -> State:
        user = found.get("PosixUser") or {}
        root = found.get("RootDirectory") or {}
        creation = root.get("CreationInfo") or {}
        return {
            "access_point_id": found["AccessPointId"],
            "arn": found["AccessPointArn"],
            "file_system_id": found["FileSystemId"],
            "path": root.get("Path", "/"),
            "uid": user.get("Uid"),
            "gid": user.get("Gid"),
            "permissions": creation.get("Permissions"),
            "tags": tag_dict(found.get("Tags")),
        }

    def wanted(self, current: State | None) -> State:
        named = {**self.options.get("tags", {}), "Name": self.name}
        return {
            **self.options,
            "file_system_id": self.file_system_id,
            "tags": merge_tags((current or {}).get("tags"), named, self.purge_tags),
        }

    def computed(self) -> State:
        return {"access_point_id": unknown("EFS access point"), "arn": unknown("EFS access point ARN")}

    def create(self, wanted: State) -> None:
        owner = {"Uid": wanted["uid"], "Gid": wanted["gid"]}
        creation = {
            "OwnerUid": wanted["uid"],
            "OwnerGid": wanted["gid"],
            "Permissions": wanted["permissions"],
        }
        self.api.call(
            "create_access_point",
            ClientToken=f"{self.name}-{self.file_system_id}"[:64],
            FileSystemId=self.file_system_id,
            PosixUser=owner,
            RootDirectory={"Path": wanted["path"], "CreationInfo": creation},
            Tags=upper_list(wanted["tags"]),
        )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        fixed = sorted(changed_keys - {"tags"})
        if fixed:
            raise Refusal(
                f"its {' and '.join(fixed)} cannot be changed once it is made; keep the old value, or remove it first"
            )
        apply_tags(self.api, current["access_point_id"], current["tags"], wanted["tags"])

    def settle(self, present: bool) -> None:
        def state() -> State | None:
            mine = [one for one in self._all() if tag_dict(one.get("Tags")).get("Name") == self.name]
            return {one["AccessPointId"]: one["LifeCycleState"] for one in mine}

        if present:
            wait_until("available", state, lambda seen: "available" in (seen or {}).values(), TIMEOUT)
        else:
            wait_until("deleted", state, lambda seen: not seen, TIMEOUT)

    def delete(self, current: State) -> None:
        self.api.call(
            "delete_access_point", missing=["AccessPointNotFound"], AccessPointId=current["access_point_id"]
        )
