# SPDX-License-Identifier: GPL-3.0-or-later
"""What the owner of the adopted bucket has set on it, and expects to find as it was."""

from __future__ import annotations

from typing import Any

BUCKET = "invoices-of-somebody-else"
QUEUE = "invoices-audit"


def notifications(account: str) -> dict[str, Any]:
    """A queue that hears of every PDF."""
    return {
        "QueueConfigurations": [
            {
                "Id": "audit",
                "QueueArn": f"arn:aws:sqs:eu-west-1:{account}:{QUEUE}",
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "suffix", "Value": ".pdf"}]}},
            }
        ]
    }


def policy(account: str) -> dict[str, Any]:
    """Auditors may read."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Auditors",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{BUCKET}/*",
            }
        ],
    }


def tags() -> list[dict[str, str]]:
    """Who pays."""
    return [{"Key": "cost-centre", "Value": "4711"}, {"Key": "owner", "Value": "accounts-payable"}]
