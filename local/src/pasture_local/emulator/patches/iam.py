# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of AWS Identity and Access Management."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.iam import models
from moto.iam.exceptions import NotFoundException

from pasture_local.emulator.patches._patch import Patch


def only_its_own_role(original: Callable[..., Any], self: Any, profile_name: str, role_name: str) -> Any:
    """moto answers a role that is not in the instance profile with HTTP 500; AWS knows no such entity.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_RemoveRoleFromInstanceProfile.html
    """
    if self.get_role(role_name) not in self.get_instance_profile(profile_name).roles:
        raise NotFoundException(f"Role {role_name} is not in instance profile {profile_name}.")
    return original(self, profile_name, role_name)


PATCHES = (
    Patch("iam-role-of-profile", models.IAMBackend, "remove_role_from_instance_profile", only_its_own_role),
)
