# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of Amazon EFS."""

from __future__ import annotations

import json
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.efs import models, responses, urls
from moto.efs.exceptions import FileSystemNotFound

from pasture_local.emulator.patches._patch import Patch, Route

_JSON = {"Content-Type": "application/json"}


def _file_system(response: Any) -> Any:
    file_system_id = response._get_param("FileSystemId")
    file_system = response.efs_backend.file_systems_by_id.get(file_system_id)
    if file_system is None:
        raise FileSystemNotFound(file_system_id)
    return file_system


def update_file_system(_: Any, self: Any) -> Any:
    """moto lacks UpdateFileSystem.

    https://docs.aws.amazon.com/efs/latest/ug/API_UpdateFileSystem.html
    """
    file_system = _file_system(self)
    if mode := self._get_param("ThroughputMode"):
        file_system.throughput_mode = mode
        file_system.provisioned_throughput_in_mibps = None
    if provisioned := self._get_param("ProvisionedThroughputInMibps"):
        file_system.provisioned_throughput_in_mibps = provisioned
    return json.dumps(file_system.info_json()), {"status": 202, **_JSON}


def put_backup_policy(_: Any, self: Any) -> Any:
    """moto lacks PutBackupPolicy.

    https://docs.aws.amazon.com/efs/latest/ug/API_PutBackupPolicy.html
    """
    status = self._get_param("BackupPolicy")["Status"]
    _file_system(self)._backup = status == "ENABLED"
    return json.dumps({"BackupPolicy": {"Status": status}}), _JSON


def delete_file_system_policy(_: Any, self: Any) -> Any:
    """moto lacks DeleteFileSystemPolicy.

    https://docs.aws.amazon.com/efs/latest/ug/API_DeleteFileSystemPolicy.html
    """
    _file_system(self).file_system_policy = None
    return "{}", _JSON


def describe_tags(_: Any, self: Any) -> Any:
    """moto lacks DescribeTags, by which community.aws reads the tags of a file system.

    https://docs.aws.amazon.com/efs/latest/ug/API_DescribeTags.html
    """
    tags = self.efs_backend.list_tags_for_resource(_file_system(self).file_system_id)
    return json.dumps({"Tags": tags}), _JSON


def create_tags(_: Any, self: Any) -> Any:
    """moto lacks CreateTags.

    https://docs.aws.amazon.com/efs/latest/ug/API_CreateTags.html
    """
    tags = {tag["Key"]: tag["Value"] for tag in self._get_param("Tags")}
    self.efs_backend.tag_resource(_file_system(self).file_system_id, tags)
    return "", {"status": 204, **_JSON}


def delete_tags(_: Any, self: Any) -> Any:
    """moto lacks DeleteTags.

    https://docs.aws.amazon.com/efs/latest/ug/API_DeleteTags.html
    """
    self.efs_backend.untag_resource(_file_system(self).file_system_id, self._get_param("TagKeys"))
    return "", {"status": 204, **_JSON}


def create_access_point(original: Any, self: Any, client_token: str, **kwargs: Any) -> Any:
    """moto makes access points to file systems that do not exist, and a second one for the same client token.

    https://docs.aws.amazon.com/efs/latest/ug/API_CreateAccessPoint.html
    """
    if kwargs["file_system_id"] not in self.file_systems_by_id:
        raise FileSystemNotFound(kwargs["file_system_id"])
    for access_point in self.access_points.values():
        if access_point.client_token == client_token:
            error = JsonRESTError(
                "AccessPointAlreadyExists",
                f"Access point '{access_point.access_point_id}' already exists with creation token "
                f"'{client_token}'",
            )
            error.code = 409
            raise error
    return original(self, client_token, **kwargs)


_Response = responses.EFSResponse
_PATH = "/2015-02-01"

PATCHES: tuple[Patch | Route, ...] = (
    Patch("efs-update-file-system", _Response, "update_file_system", update_file_system),
    Patch("efs-backup-policy", _Response, "put_backup_policy", put_backup_policy),
    Patch("efs-delete-policy", _Response, "delete_file_system_policy", delete_file_system_policy),
    Patch("efs-describe-tags", _Response, "describe_tags", describe_tags),
    Route("efs-describe-tags", urls, f"{_PATH}/tags/<file_system_id>"),
    Patch("efs-create-tags", _Response, "create_tags", create_tags),
    Route("efs-create-tags", urls, f"{_PATH}/create-tags/<file_system_id>"),
    Patch("efs-delete-tags", _Response, "delete_tags", delete_tags),
    Route("efs-delete-tags", urls, f"{_PATH}/delete-tags/<file_system_id>"),
    Patch("efs-access-points", models.EFSBackend, "create_access_point", create_access_point),
)
