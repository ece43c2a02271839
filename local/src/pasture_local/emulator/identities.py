# SPDX-License-Identifier: GPL-3.0-or-later
"""Who makes a call, and which policies decide whether it may be made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends
from moto.sts.models import sts_backends


@dataclass(frozen=True)
class Principal:
    """An assumed role, a user, or nobody that the emulator knows (then there is no ARN)."""

    access_key: str
    arn: str = ""
    role: str = ""  # the ARN of the role that was assumed

    def as_json(self) -> dict[str, str]:
        """The fields that are known."""
        return {key: value for key, value in vars(self).items() if value}


def principal(access_key: str, account: str) -> Principal:
    """Who an access key belongs to."""
    for role in list(sts_backends[account]["aws"].assumed_roles):
        if role.access_key_id == access_key:
            return Principal(access_key, role.arn, role.role_arn)
    for user in list(iam_backends[account]["aws"].users.values()):
        if any(key.access_key_id == access_key for key in user.access_keys):
            return Principal(access_key, user.arn)
    return Principal(access_key)


def identity_policies(who: Principal, account: str) -> dict[str, Any] | None:
    """The policies of a role or a user as they are now: ``identity`` and ``boundary``, each by name.

    None for nobody that the emulator knows, and for a role that is gone.
    """
    backend = iam_backends[account]["aws"]
    if who.role:
        owners = [role for role in list(backend.roles.values()) if role.arn == who.role]
        boundary = owners[0].permissions_boundary_arn if owners else None
    else:
        owners = [user for user in list(backend.users.values()) if who.arn and user.arn == who.arn]
        boundary = None
    if not owners:
        return None
    identity = {name: _document(text) for name, text in dict(owners[0].policies).items()}
    for policy in list(owners[0].managed_policies.values()):
        identity[policy.name] = _default(policy)
    bounds = {boundary: _default(backend.get_policy(boundary))} if boundary else {}
    return {"identity": identity, "boundary": bounds}


def resource_policies(arns: Iterable[str], account: str) -> dict[str, Any]:
    """The policies of those buckets, queues and keys that have one, by the ARN that was asked for."""
    found = {}
    for arn in arns:
        _, _, service, region, _, name = (arn.split(":", 5) + [""] * 6)[:6]
        policy: str | bytes | None = None
        if service == "s3":
            bucket = s3_backends[account]["aws"].buckets.get(name.partition("/")[0])
            policy = bucket.policy if bucket else None
        elif service == "sqs":
            queue = sqs_backends[account][region].queues.get(name)
            policy = queue.policy if queue else None
        elif service == "kms":
            key = kms_backends[account][region].keys.get(name.removeprefix("key/"))
            # Without the key's own policy nobody may do anything. An alias, and what is not there yet, has a new key's.
            # https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
            policy = key.policy if key else json.dumps(_new_key(account))
        if policy:
            found[arn] = _document(policy)
    return found


def _new_key(account: str) -> dict[str, Any]:
    """The policy of a key whose account decides by IAM."""
    root = {"AWS": f"arn:aws:iam::{account}:root"}
    statement = {"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def digest(policies: Any) -> str:
    """A short name for policies, the same for the same ones."""
    return hashlib.sha256(json.dumps(policies, sort_keys=True).encode()).hexdigest()[:16]


def _default(policy: Any) -> Any:
    """The version of a managed policy that is in force."""
    return _document(next(version.document for version in policy.versions if version.is_default))


def _document(policy: Any) -> Any:
    return json.loads(policy) if isinstance(policy, str | bytes) else policy
