# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Security groups and their rules.

Groups may name each other in their rules, so all groups are made first and their rules after.

For internal use of this collection only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._ec2 import Ec2Resource
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal, Resource, State
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import is_unknown

Rule = dict[str, Any]
_FREE_TIMEOUT = 600.0
# What AWS gives a group of its own accord.
# https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html
_OF_A_NEW_GROUP: State = {
    "ingress": [],
    "egress": [{"protocol": "-1", "from_port": None, "to_port": None, "peer": "0.0.0.0/0"}],
}


class SecurityGroup(Ec2Resource):
    """A group without its rules."""

    kind = "security group"
    resource_type = "security-group"
    id_field = "GroupId"
    id_key = "group_id"

    def __init__(
        self, api: Api, name: str, tags: dict[str, str], vpc_id: str | None, description: str = ""
    ) -> None:
        super().__init__(api, name, tags, vpc_id)
        self.description = description

    def candidates(self) -> Iterable[dict[str, Any]]:
        filters = self.in_vpc() if self.vpc_id else [{"Name": "tag:Name", "Values": [self.name]}]
        return self.api.pages("describe_security_groups", "SecurityGroups", Filters=filters)

    def state(self, described: dict[str, Any]) -> State:
        return {"description": described["Description"], "vpc_id": described["VpcId"]}

    def wanted(self, current: State | None) -> State:
        return {"description": self.description, **super().wanted(current)}

    def create(self, wanted: State) -> None:
        self.api.call(
            "create_security_group",
            GroupName=self.name,
            Description=self.description,
            VpcId=self.vpc_id,
            TagSpecifications=self.specification(),
        )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if "description" in changed_keys:
            raise Refusal(
                f"its description is {current['description']!r} and cannot be changed; delete the group first"
            )
        super().update(current, wanted, changed_keys)

    def delete(self, current: State) -> None:
        self.delete_when_free(
            "delete_security_group",
            missing="InvalidGroup.NotFound",
            timeout=_FREE_TIMEOUT,
            GroupId=current["group_id"],
        )


class GroupRules(Resource):
    """All rules of one group: what is not listed is removed, also AWS's own that lets everything out.

    :param ingress: peer (a CIDR, C(sg-...) or C(pl-...)) -> TCP ports that it may reach.
    :param egress: peer -> TCP ports that may be reached there.
    """

    kind = "rules of security group"
    exact_keys = frozenset({"ingress", "egress"})

    def __init__(
        self,
        api: Api,
        name: str,
        group_id: str,
        ingress: Mapping[str, Sequence[int]],
        egress: Mapping[str, Sequence[int]],
    ) -> None:
        super().__init__(name)
        self.api = api
        self.group_id = group_id
        self.rules = {"ingress": rule_list(ingress), "egress": rule_list(egress)}

    def read(self) -> State | None:
        if is_unknown(self.group_id):
            return _OF_A_NEW_GROUP
        answer = self.api.call(
            "describe_security_groups", missing=["InvalidGroup.NotFound"], GroupIds=[self.group_id]
        )
        if answer is None:
            return None
        group = answer["SecurityGroups"][0]
        return {
            "ingress": described_rules(group.get("IpPermissions", [])),
            "egress": described_rules(group.get("IpPermissionsEgress", [])),
        }

    def wanted(self, current: State | None) -> State:
        return dict(self.rules)

    def create(self, wanted: State) -> None:
        raise Refusal("the group is gone; run again")

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        for direction in sorted(changed_keys):
            surplus = [rule for rule in current[direction] if rule not in wanted[direction]]
            lacking = [rule for rule in wanted[direction] if rule not in current[direction]]
            # New ones first, so that a rule that only moves is never missing.
            for verb, rules in (("authorize", lacking), ("revoke", surplus)):
                if rules:
                    self.api.call(
                        f"{verb}_security_group_{direction}",
                        missing=["InvalidPermission.Duplicate", "InvalidPermission.NotFound"],
                        GroupId=self.group_id,
                        IpPermissions=[permission(rule) for rule in rules],
                    )

    def delete(self, current: State) -> None:
        raise Refusal("rules go with their group")


def rule_list(peers: Mapping[str, Sequence[int]]) -> list[Rule]:
    """Peers with their ports as a sorted list of rules."""
    return _sorted(
        {"protocol": "tcp", "from_port": port, "to_port": port, "peer": peer}
        for peer, ports in peers.items()
        for port in ports
    )


def described_rules(permissions: Iterable[dict[str, Any]]) -> list[Rule]:
    """EC2's permissions as rules with one peer each."""
    rules = []
    for one in permissions:
        peers = [
            *(entry["CidrIp"] for entry in one.get("IpRanges", [])),
            *(entry["CidrIpv6"] for entry in one.get("Ipv6Ranges", [])),
            *(entry["GroupId"] for entry in one.get("UserIdGroupPairs", [])),
            *(entry["PrefixListId"] for entry in one.get("PrefixListIds", [])),
        ]
        rules += [
            {
                "protocol": one["IpProtocol"],
                "from_port": one.get("FromPort"),
                "to_port": one.get("ToPort"),
                "peer": peer,
            }
            for peer in peers
        ]
    return _sorted(rules)


def permission(rule: Rule) -> dict[str, Any]:
    """A rule as EC2 wants it."""
    peer = rule["peer"]
    request: dict[str, Any] = {"IpProtocol": rule["protocol"]}
    if rule["from_port"] is not None:
        request |= {"FromPort": rule["from_port"], "ToPort": rule["to_port"]}
    if peer.startswith("sg-"):
        return {**request, "UserIdGroupPairs": [{"GroupId": peer}]}
    if peer.startswith("pl-"):
        return {**request, "PrefixListIds": [{"PrefixListId": peer}]}
    if ":" in peer:
        return {**request, "Ipv6Ranges": [{"CidrIpv6": peer}]}
    return {**request, "IpRanges": [{"CidrIp": peer}]}


def _sorted(rules: Iterable[Rule]) -> list[Rule]:
    # By what is known before a group is made first: a plan and what becomes of it are in the same order.
    return sorted(
        rules, key=lambda rule: (rule["from_port"] or 0, rule["to_port"] or 0, rule["protocol"], rule["peer"])
    )
