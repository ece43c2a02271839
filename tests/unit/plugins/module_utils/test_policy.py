# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies are compared by meaning and merged without loss."""

from __future__ import annotations

from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._policy import (
    keep_if_same,
    merge_statements,
    same,
)

THEIRS = {
    "Sid": "Theirs",
    "Effect": "Allow",
    "Principal": "*",
    "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::b/*",
}
OURS = {
    "Sid": "TlsOnly",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::b"],
}


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def test_a_list_of_one_means_the_same_as_its_element() -> None:
    assert same(policy(OURS), policy({**OURS, "Resource": "arn:aws:s3:::b"}))


def test_a_changed_statement_is_seen() -> None:
    assert not same(policy(OURS), policy({**OURS, "Effect": "Allow"}))


def test_no_policy_is_not_an_empty_allowance() -> None:
    assert same(None, None)
    assert not same(policy(OURS), None)


def test_the_present_spelling_is_kept_when_it_means_the_same() -> None:
    present = policy({**OURS, "Resource": "arn:aws:s3:::b"})
    assert keep_if_same(present, policy(OURS)) is present


def test_foreign_statements_survive_ours_coming_changing_and_going() -> None:
    merged = merge_statements(policy(THEIRS), [OURS])
    assert merged == policy(THEIRS, OURS)
    changed = {**OURS, "Action": "s3:GetObject"}
    assert merge_statements(merged, [changed]) == policy(THEIRS, changed)
    assert merge_statements(merged, [], retired=["TlsOnly"]) == policy(THEIRS)


def test_a_single_statement_without_a_list_survives_too() -> None:
    assert merge_statements({"Version": "2012-10-17", "Statement": THEIRS}, [OURS]) == policy(THEIRS, OURS)


def test_a_policy_without_statements_is_no_policy() -> None:
    assert merge_statements(policy(OURS), [], retired=["TlsOnly"]) is None
    assert merge_statements(None, []) is None
