# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of AWS KMS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.kms import models

from pasture_local.emulator.patches._patch import Patch


def by_any_id(original: Callable[..., Any], self: Any, key_id: str, *args: Any, **kwargs: Any) -> Any:
    """moto knows keys by their bare id alone in the calls that switch them on and off and delete them, and
    answers an ARN with HTTP 500.

    https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html
    """
    return original(self, self.any_id_to_key_id(key_id), *args, **kwargs)


PATCHES = tuple(
    Patch("kms-any-key-id", models.KmsBackend, operation, by_any_id)
    for operation in ("enable_key", "disable_key", "schedule_key_deletion", "cancel_key_deletion")
)
