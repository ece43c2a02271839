# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a stack's things are called, and the tags they carry. For internal use of this collection only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Stack:
    """One deployment: its name, the account and region it lives in, and the user's tags."""

    stack: str
    prefix: str
    account_id: str
    partition: str
    region: str
    tags: dict[str, str]

    @classmethod
    def parse(cls, fact: Mapping[str, Any]) -> Stack:
        """From the fact C(preflight_result); its other keys are not needed here."""
        names = ("stack", "prefix", "account_id", "partition", "region")
        return cls(**{name: str(fact[name]) for name in names}, tags=dict(fact.get("tags") or {}))

    def arn(self, service: str, resource: str) -> str:
        """The ARN of something in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{resource}"

    def iam_arn(self, resource: str) -> str:
        """The ARN of something of IAM, which has no region."""
        return f"arn:{self.partition}:iam::{self.account_id}:{resource}"

    def bucket_arn(self, bucket: str, keys: str = "") -> str:
        """The ARN of a bucket, or with C(keys) of objects in it."""
        return f"arn:{self.partition}:s3:::{bucket}" + (f"/{keys}" if keys else "")

    def name(self, *parts: str) -> str:
        """The prefix and more, joined by hyphens."""
        return "-".join([self.prefix, *parts])

    @property
    def iam_path(self) -> str:
        """Roles of the stack have a path of their own, which makes them easy to find and to bound."""
        return f"/pasture/{self.stack}/"

    def role_arn(self, name: str) -> str:
        return self.iam_arn(f"role{self.iam_path}{name}")

    def log_group(self, name: str) -> str:
        return f"/pasture/{self.stack}/{name}"

    def rule_arn(self, bus: str, name: str) -> str:
        """The ARN of a rule; those of the default bus leave the bus out."""
        return self.arn("events", f"rule/{name}" if bus == "default" else f"rule/{bus}/{name}")

    def tags_for(self, role: str, name: str, processor: str | None = None) -> dict[str, str]:
        """The tags of one thing.

        C(pasture:role) is the Ansible role that owns it, so that a role finds what it has left over and
        nothing else.
        """
        own = {"Name": name, "pasture:stack": self.stack, "pasture:role": role}
        return {**self.tags, **own, **({"pasture:processor": processor} if processor else {})}


def policy(*statements: Mapping[str, Any]) -> dict[str, Any]:
    """A policy document; a statement without resources is left out."""
    return {
        "Version": "2012-10-17",
        "Statement": [dict(s) for s in statements if s.get("Resource", True) and s.get("Action", True)],
    }


def allow(sid: str, actions: list[str], resources: list[str], **condition: Any) -> dict[str, Any]:
    """An Allow statement; conditions as C(StringEquals={...})."""
    statement = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": condition} if condition else statement


def trust(service: str, **condition: Any) -> dict[str, Any]:
    """The trust policy of a role that an AWS service assumes."""
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    return policy({**statement, "Condition": condition} if condition else statement)


def tasks_trust(stack: Stack) -> dict[str, Any]:
    """The trust policy of a role of ECS tasks: this account's tasks in this region only.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
    """
    return trust(
        "ecs-tasks.amazonaws.com",
        StringEquals={"aws:SourceAccount": stack.account_id},
        ArnLike={"aws:SourceArn": stack.arn("ecs", "*")},
    )
