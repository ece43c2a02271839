# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporary credentials of roles, by STS."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from pasture_local.cloud import Cloud

# As the agent does: credentials are renewed long before they expire.
_RENEW_BEFORE = timedelta(minutes=15)


class RoleCredentials:
    """AssumeRole, with the answers kept until they are about to expire."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._kept: dict[tuple[str, str], dict[str, Any]] = {}
        self._lock = threading.Lock()

    def get(self, role_arn: str, session: str) -> dict[str, Any]:
        """``Credentials`` of AssumeRole: AccessKeyId, SecretAccessKey, SessionToken and Expiration."""
        name = re.sub(r"[^\w+=,.@-]", "-", session)[:64]  # what RoleSessionName may hold
        with self._lock:
            kept = self._kept.get((role_arn, name))
            if kept is None or kept["Expiration"] - datetime.now(UTC) < _RENEW_BEFORE:
                answer = self._cloud.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=name)
                kept = self._kept[role_arn, name] = answer["Credentials"]
            return kept

    def environment(self, role_arn: str, session: str) -> dict[str, str]:
        """The same as environment variables."""
        credentials = self.get(role_arn, session)
        return {
            "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": credentials["SessionToken"],
        }
