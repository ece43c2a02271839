# SPDX-License-Identifier: GPL-3.0-or-later
"""Every call that the suites made, evaluated against the policies that were in force: allowed, and nothing more.

The records are those of ``make molecule`` and ``make integration``; the evaluator is iam-simulate.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import services
from evaluation import Decision, Request, evaluate, statements
from forbidden import FORBIDDEN
from records import Record, Role

# What names whom a service acts for. CloudWatch Logs names the log group by the context that it encrypts with.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
_WHOM = {"aws:SourceArn", "aws:SourceAccount", "kms:EncryptionContext:aws:logs:arn"}


def places(record: Record, role: Role) -> dict[str, str]:
    """What fills the placeholders for a role: the region, and what its policies name."""
    found = {"region": "eu-west-1", "group": "scaling/wakeup" if role.kind == "wakeup" else "summarize"}
    for policy in role.policies.identity.values():
        for statement in policy["Statement"]:
            if statement.get("Sid") == "Store":
                found["file_system"] = statement["Resource"][0]
                found["access_point"] = statement["Condition"]["StringEquals"][
                    "elasticfilesystem:AccessPointArn"
                ]
            if statement.get("Sid") == "Image":
                found["image"] = statement["Resource"][0]
            if statement.get("Sid") == "Keys":
                found["key"] = statement["Resource"][0]
    return found


@pytest.fixture(scope="module")
def roles(records: list[Record]) -> list[tuple[Role, dict[str, str]]]:
    """All roles that the suites have deployed, with what their resources are called."""
    found = [(role, places(record, role)) for record in records for role in record.roles()]
    assert {role.kind for role, _ in found} >= {"task", "execution", "instance", "wakeup", "seed"}
    return found


@pytest.fixture(scope="module")
def decisions(records: list[Record], roles: list[tuple[Role, dict[str, str]]]) -> list[Decision]:
    """What the evaluator says of all that was asked for."""
    asked = [request for record in records for request in record.requests()]
    by_aws = [request for role, where in roles for request in services.requests(role, where)]
    made = evaluate([*asked, *by_aws])
    assert len(made) > 1000
    return made


def test_every_call_is_allowed(decisions: list[Decision]) -> None:
    refused = sorted({str(decision) for decision in decisions if not decision.allowed})
    assert not refused, "\n" + "\n".join(refused)


def test_calls_of_every_kind_of_principal_were_evaluated(decisions: list[Decision]) -> None:
    callers = {decision.request.principal.rpartition(":")[2] for decision in decisions}
    for part in ("-task/", "-wakeup/", "-seed/", "-execution/", "-instance/", "user/deployer-"):
        assert any(part in caller for caller in callers), part


def test_no_statement_of_a_deployed_role_is_unused(
    decisions: list[Decision], roles: list[tuple[Role, dict[str, str]]]
) -> None:
    kinds = {role.arn.rpartition("/")[2]: role.kind for role, _ in roles}
    used: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for decision in decisions:
        if ":assumed-role/" in decision.request.principal:
            used[kinds[decision.request.principal.split("/")[1]]].update(decision.by)
    there = {
        (role.kind, *statement)
        for role, _ in roles
        for name, policy in role.policies.identity.items()
        for statement in statements(name, policy)
    }
    unused = {(kind, sid) for kind, name, sid in there if (name, sid) not in used[kind]}
    assert not unused


def asked_in_vain(roles: list[tuple[Role, dict[str, str]]]) -> Iterator[Request]:
    """What each role must not do."""
    for role, where in roles:
        for action, resource, context in FORBIDDEN["every"] + FORBIDDEN.get(role.kind, []):
            yield services.request(role, action, resource, context, where)


def test_what_a_role_must_not_do_is_denied(roles: list[tuple[Role, dict[str, str]]]) -> None:
    decided = evaluate(asked_in_vain(roles))
    allowed = sorted({str(decision) for decision in decided if decision.allowed})
    assert not allowed, "\n" + "\n".join(allowed)
    wrong = sorted({str(decision) for decision in decided if decision.result.startswith("Error")})
    assert not wrong, "\n" + "\n".join(wrong)


def doors(record: Record) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where, and the statement, of each policy on a role or a resource that lets a service of AWS in."""
    for call in record.calls:
        parameters = call["parameters"]
        where = f"{call['operation']} {call['permissions'][0]['resources'][0]}" if call["permissions"] else ""
        texts = [parameters.get("AssumeRolePolicyDocument"), parameters.get("Policy")]
        texts.append((parameters.get("Attributes") or {}).get("Policy"))
        if call["operation"] == "UpdateAssumeRolePolicy":
            texts.append(parameters.get("PolicyDocument"))
        if parameters.get("AttributeName") == "Policy":
            texts.append(parameters.get("AttributeValue"))
        for text in texts:
            if isinstance(text, str) and text.startswith("{"):
                for statement in json.loads(text)["Statement"]:
                    yield where, statement
        if call["operation"] == "AddPermission" and call["service"] == "lambda":
            names = {"SourceArn": "aws:SourceArn", "SourceAccount": "aws:SourceAccount"}
            given = {key: parameters[name] for name, key in names.items() if parameters.get(name)}
            statement = {"Effect": "Allow", "Principal": {"Service": parameters["Principal"]}}
            yield where, {**statement, "Condition": {"ArnLike": given}}


def test_no_service_acts_for_somebody_else(records: list[Record]) -> None:
    """Each service of AWS that is let in has to name the resource or the account that it acts for."""
    let_in = 0
    for record in records:
        for where, statement in doors(record):
            principal = statement.get("Principal")
            if (
                statement["Effect"] != "Allow"
                or not isinstance(principal, dict)
                or "Service" not in principal
            ):
                continue
            # EC2 names nobody when it assumes the role of an instance: see docs/decisions.md.
            if principal["Service"] == "ec2.amazonaws.com":
                continue
            let_in += 1
            keys = {key for tests in statement.get("Condition", {}).values() for key in tests}
            assert keys & _WHOM, (where, statement)
    assert let_in > 10


def test_the_boundary_that_was_asked_for_is_on_every_role(records: list[Record]) -> None:
    made = [
        (call["parameters"]["RoleName"], call["parameters"].get("PermissionsBoundary"))
        for record in records
        for call in record.calls
        if call["operation"] == "CreateRole" and "/pasture/everything/" in call["parameters"].get("Path", "")
    ]
    kinds = {name.rpartition("-")[2] for name, _ in made}
    assert kinds >= {"task", "execution", "instance", "wakeup"}
    assert not [name for name, boundary in made if not boundary]
