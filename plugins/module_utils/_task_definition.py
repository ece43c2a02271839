# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One form for an ECS task definition, whether a playbook wrote it or ECS answered it.

ECS fills in defaults, empty lists and its own bookkeeping. With these taken away, two definitions
differ exactly where somebody changed something; also where a key was taken out of the playbook.

For internal use of this collection only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Definition = dict[str, Any]

#: What a playbook decides; everything else in an answer is ECS's bookkeeping.
_FIELDS = (
    "family",
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "containerDefinitions",
    "volumes",
    "placementConstraints",
    "requiresCompatibilities",
    "cpu",
    "memory",
    "pidMode",
    "ipcMode",
    "ephemeralStorage",
    "runtimePlatform",
)

# What ECS answers for a key that was not given.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html
_CONTAINER_DEFAULTS = {"cpu": 0, "essential": True}
_HEALTH_DEFAULTS = {"interval": 30, "timeout": 5, "retries": 3, "startPeriod": 0}
_EFS_DEFAULTS = {"rootDirectory": "/", "transitEncryption": "DISABLED"}
_IAM_DEFAULTS = {"iam": "DISABLED"}
_PORT_DEFAULTS = {"protocol": "tcp", "hostPort": 0}

#: Lists whose order means nothing, and what to sort them by.
_UNORDERED = {
    "environment": "name",
    "secrets": "name",
    "volumes": "name",
    "ulimits": "name",
    "resourceRequirements": "type",
    "mountPoints": "containerPath",
}


def canonical(definition: Mapping[str, Any]) -> Definition:
    """The task definition without what ECS fills in; equal forms run equal tasks."""
    kept = {key: definition[key] for key in _FIELDS if key in definition}
    for size in ("cpu", "memory"):
        if kept.get(size) is not None:
            kept[size] = str(kept[size])
    kept["containerDefinitions"] = [_container(c) for c in kept.get("containerDefinitions") or []]
    kept["volumes"] = [_volume(volume) for volume in kept.get("volumes") or []]
    if "requiresCompatibilities" in kept:
        kept["requiresCompatibilities"] = sorted(kept["requiresCompatibilities"] or [])
    compact: Definition = _compact(kept)
    return compact


def _container(container: Mapping[str, Any]) -> Definition:
    result = _without(container, _CONTAINER_DEFAULTS)
    if result.get("healthCheck"):
        result["healthCheck"] = _without(result["healthCheck"], _HEALTH_DEFAULTS)
    if result.get("portMappings"):
        result["portMappings"] = [_without(port, _PORT_DEFAULTS) for port in result["portMappings"]]
    if result.get("mountPoints"):
        result["mountPoints"] = [_without(mount, {"readOnly": False}) for mount in result["mountPoints"]]
    return result


def _volume(volume: Mapping[str, Any]) -> Definition:
    result = dict(volume)
    if result.get("efsVolumeConfiguration"):
        efs = _without(result["efsVolumeConfiguration"], _EFS_DEFAULTS)
        if efs.get("authorizationConfig"):
            efs["authorizationConfig"] = _without(efs["authorizationConfig"], _IAM_DEFAULTS)
        result["efsVolumeConfiguration"] = efs
    return result


def _without(value: Mapping[str, Any], defaults: Mapping[str, Any]) -> Definition:
    return {key: item for key, item in value.items() if key not in defaults or item != defaults[key]}


def _compact(value: Any) -> Any:
    """Without None, empty texts, lists and dictionaries, at every depth; unordered lists sorted."""
    if isinstance(value, Mapping):
        compact = {key: _sorted(key, _compact(item)) for key, item in value.items()}
        return {key: item for key, item in compact.items() if item not in (None, "", [], {})}
    return [_compact(item) for item in value] if isinstance(value, list) else value


def _sorted(key: str, value: Any) -> Any:
    if key in _UNORDERED and isinstance(value, list):
        # An environment variable with an empty value has lost it above, and is still one.
        return sorted(value, key=lambda item: str(item.get(_UNORDERED[key], "")))
    return value
