# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VPC endpoints: how AWS's services are reached without the Internet.

For internal use of this collection only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._ec2 import OWNER_TAG, Ec2Resource
from ansible_collections.pasture.ollama.plugins.module_utils._policy import Policy, keep_if_same, parse
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal, State, wait_until

GATEWAY, INTERFACE = "Gateway", "Interface"
_GONE = ("deleted", "deleting", "failed", "rejected", "expired")
#: Seconds. Interface endpoints take one to three minutes, both ways.
_TIMEOUT = 900.0


@dataclass(frozen=True)
class EndpointSpec:
    """What an endpoint should be. Gateways have route tables; interfaces have subnets and groups."""

    service_name: str
    type: str
    policy: Policy | None = None
    route_table_ids: Sequence[str] = field(default=())
    subnet_ids: Sequence[str] = field(default=())
    security_group_ids: Sequence[str] = field(default=())


class Endpoint(Ec2Resource):
    """One endpoint; C(settle) waits for deletions only, since all new ones are awaited together."""

    kind = "VPC endpoint"
    resource_type = "vpc-endpoint"
    id_field = "VpcEndpointId"
    id_key = "vpc_endpoint_id"

    def __init__(
        self, api: Api, name: str, tags: dict[str, str], vpc_id: str | None, spec: EndpointSpec | None = None
    ) -> None:
        super().__init__(api, name, tags, vpc_id)
        self.spec = spec or EndpointSpec("", "")

    def identity(self) -> Any:
        return self.vpc_id

    def candidates(self) -> Iterable[dict[str, Any]]:
        return [one for one in endpoints_of(self.api, self.vpc_id) if one["State"].lower() not in _GONE]

    def state(self, described: dict[str, Any]) -> State:
        state: State = {
            "service_name": described["ServiceName"],
            "type": described["VpcEndpointType"],
            "policy": parse(described.get("PolicyDocument")),
        }
        if described["VpcEndpointType"] == GATEWAY:
            return {**state, "route_table_ids": sorted(described.get("RouteTableIds", []))}
        groups = [group["GroupId"] for group in described.get("Groups", [])]
        return {
            **state,
            "subnet_ids": sorted(described.get("SubnetIds", [])),
            "security_group_ids": sorted(groups),
        }

    def wanted(self, current: State | None) -> State:
        wanted: State = {"service_name": self.spec.service_name, "type": self.spec.type}
        if self.spec.policy is not None:
            wanted["policy"] = keep_if_same((current or {}).get("policy"), self.spec.policy)
        if self.spec.type == GATEWAY:
            wanted["route_table_ids"] = sorted(self.spec.route_table_ids)
        else:
            wanted["subnet_ids"] = sorted(self.spec.subnet_ids)
            wanted["security_group_ids"] = sorted(self.spec.security_group_ids)
        return {**wanted, **super().wanted(current)}

    def create(self, wanted: State) -> None:
        policy = wanted.get("policy")
        interface = self.spec.type == INTERFACE
        self.api.call(
            "create_vpc_endpoint",
            VpcId=self.vpc_id,
            ServiceName=self.spec.service_name,
            VpcEndpointType=self.spec.type,
            PolicyDocument=json.dumps(policy) if policy else None,
            RouteTableIds=None if interface else wanted["route_table_ids"],
            SubnetIds=wanted["subnet_ids"] if interface else None,
            SecurityGroupIds=wanted["security_group_ids"] if interface else None,
            PrivateDnsEnabled=True if interface else None,
            TagSpecifications=self.specification(),
        )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        changes: dict[str, Any] = {}
        for key, noun in (
            ("route_table_ids", "RouteTableIds"),
            ("subnet_ids", "SubnetIds"),
            ("security_group_ids", "SecurityGroupIds"),
        ):
            if key in changed_keys:
                changes[f"Add{noun}"] = sorted(set(wanted[key]) - set(current[key])) or None
                changes[f"Remove{noun}"] = sorted(set(current[key]) - set(wanted[key])) or None
        if "policy" in changed_keys:
            changes["PolicyDocument"] = json.dumps(wanted["policy"])
        if changes:
            self.api.call("modify_vpc_endpoint", VpcEndpointId=current[self.id_key], **changes)
        super().update(current, wanted, changed_keys)

    def delete(self, current: State) -> None:
        answer = self.api.call("delete_vpc_endpoints", VpcEndpointIds=[current[self.id_key]]) or {}
        # This call succeeds and tells of its failures in the answer.
        for failure in answer.get("Unsuccessful", []):
            if failure["Error"]["Code"] != "InvalidVpcEndpoint.NotFound":
                raise Refusal(f"EC2 refused: {failure['Error']['Message']}")


def endpoints_of(api: Api, vpc_id: str | None) -> list[dict[str, Any]]:
    """All endpoints of a VPC."""
    return list(
        api.pages("describe_vpc_endpoints", "VpcEndpoints", Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])
    )


def endpoints_of_stack(api: Api, stack: str) -> list[dict[str, Any]]:
    """All endpoints of a stack, in whatever VPC."""
    mine = [{"Name": f"tag:{OWNER_TAG}", "Values": [stack]}]
    return list(api.pages("describe_vpc_endpoints", "VpcEndpoints", Filters=mine))


def await_endpoints(api: Api, stack: str, endpoint_ids: Sequence[str], present: bool) -> None:
    """Wait once for all these endpoints of a stack together.

    :raises WaitTimeout: when one of them takes too long.
    :raises Refusal: when one of them failed.
    """
    if not endpoint_ids:
        return

    def states() -> State:
        found = endpoints_of_stack(api, stack)
        return {
            one["VpcEndpointId"]: one["State"].lower()
            for one in found
            if one["VpcEndpointId"] in endpoint_ids
        }

    def reached(seen: State | None) -> bool:
        alive = {endpoint_id: state for endpoint_id, state in (seen or {}).items() if state != "deleted"}
        failed = [
            endpoint_id for endpoint_id, state in alive.items() if state in ("failed", "rejected", "expired")
        ]
        if present and failed:
            raise Refusal(f"VPC endpoints failed while they were made ({', '.join(failed)}); run again")
        return all(alive.get(i) == "available" for i in endpoint_ids) if present else not alive

    wait_until("available" if present else "gone", states, reached, _TIMEOUT)
