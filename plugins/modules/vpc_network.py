#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vpc_network
version_added: 1.0.0
short_description: Manage a VPC with private subnets and their way out, in one process
description:
  - Makes a VPC with one private subnet per availability zone and, with O(egress=nat), public subnets, an
    Internet gateway and one NAT gateway. With O(egress=none) there is no route to the Internet at all.
  - The VPC's default security group is emptied, so that what is put there without a group of its own can reach nothing.
  - A change of O(egress) adds or removes what it needs to; the private subnets stay as they are.
  - It exists because the same network takes ten tasks of M(amazon.aws.ec2_vpc_net) and its like, of which
    route tables take several seconds each, and because these return no ids in check mode, so that a plan for
    an empty account cannot be told.
  - Resources are found by their C(Name) tag and the tag C(pasture:stack), which must be among O(tags).
options:
  name:
    description: The name of the VPC. Its parts are called C(<name>-private-1), C(<name>-nat) and so on.
    type: str
    required: true
  state:
    description: Whether the network is to exist. Everything in it has to be gone before it can be removed.
    type: str
    choices: [present, absent]
    default: present
  cidr:
    description: The private addresses of the VPC, between /16 and /20. Cannot be changed later.
    type: str
    default: 10.0.0.0/16
  egress:
    description: Whether the private subnets reach the Internet by a NAT gateway, or not at all.
    type: str
    choices: [nat, none]
    default: nat
  zones:
    description: In how many availability zones there is a subnet, 1 to 6. Can be raised later, but not
      lowered.
    type: int
    default: 2
  instance_types:
    description:
      - Zones that offer these instance types are taken first. Subnets that exist stay in their zone.
    type: list
    elements: str
    default: []
  flow_log:
    description: Where records of all the VPC's traffic go. There is no flow log without it.
    type: dict
    suboptions:
      log_group:
        description: The name of the log group in CloudWatch Logs.
        type: str
        required: true
      role_arn:
        description: The role by which VPC Flow Logs writes to it.
        type: str
        required: true
  tags:
    description: Tags of all resources, with C(pasture:stack) among them. Others are removed.
    type: dict
    required: true
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make a network in zones that have the GPUs
  pasture.ollama.vpc_network:
    name: pasture-docs
    cidr: 10.20.0.0/16
    instance_types: [g5.xlarge]
    tags:
      pasture:stack: docs

- name: Remove it
  pasture.ollama.vpc_network:
    name: pasture-docs
    state: absent
    tags:
      pasture:stack: docs
"""

RETURN = r"""
network:
  description:
    - The network. In check mode, ids that are not known yet are a text in parentheses.
  returned: when O(state=present)
  type: dict
  contains:
    vpc_id:
      description: The VPC.
      returned: always
      type: str
      sample: vpc-0123456789abcdef0
    cidr:
      description: Its addresses.
      returned: always
      type: str
      sample: 10.0.0.0/16
    private_subnet_ids:
      description: The private subnets, in the order of their number.
      returned: always
      type: list
      elements: str
      sample: [subnet-0123456789abcdef0, subnet-0123456789abcdef1]
    public_subnet_ids:
      description: The public subnets, none with O(egress=none).
      returned: always
      type: list
      elements: str
      sample: []
    route_table_id:
      description: The route table of the private subnets.
      returned: always
      type: str
      sample: rtb-0123456789abcdef0
    nat_public_ip:
      description: The address that others see.
      returned: with O(egress=nat)
      type: str
      sample: 203.0.113.10
resources:
  description: Every resource as it is now, or in check mode as it would be.
  returned: always
  type: list
  elements: dict
"""

from collections.abc import Sequence
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._ec2 import OWNER_TAG, Ec2Resource
from ansible_collections.pasture.ollama.plugins.module_utils._ec2_addressing import (
    MAX_ZONES,
    SubnetPlan,
    choose_zones,
    plan_subnets,
)
from ansible_collections.pasture.ollama.plugins.module_utils._ec2_flow_log import FlowLog
from ansible_collections.pasture.ollama.plugins.module_utils._ec2_network import (
    ElasticAddress,
    InternetGateway,
    NatGateway,
    RouteTable,
    Subnet,
    Vpc,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Outcome, ensure_all, report
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_dict
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import is_unknown

_ANYWHERE = "0.0.0.0/0"


class Network:
    """The order in which the parts of a network come and go."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.api = Api(module, "ec2")
        self.name: str = module.params["name"]
        self.tags: dict[str, str] = {str(k): str(v) for k, v in module.params["tags"].items()}
        self.outcomes: list[Outcome] = []

    def _ensure(self, resources: Sequence[Ec2Resource], state: str = "present") -> list[dict[str, Any]]:
        outcomes = ensure_all(self.module, resources, state)
        self.outcomes += outcomes
        return [outcome.after or {} for outcome in outcomes]

    def present(self) -> dict[str, Any]:
        params = self.module.params
        try:
            plans = plan_subnets(params["cidr"], params["zones"])
        except ValueError as error:
            self.module.fail_json(msg=f"VPC {self.name}: {error}.")
        (vpc,) = self._ensure([Vpc(self.api, self.name, self.tags, params["cidr"])])
        flow_log = FlowLog(self.api, self.name, self.tags, vpc["vpc_id"], **(params["flow_log"] or {}))
        self._ensure([flow_log], "present" if params["flow_log"] else "absent")
        nat = params["egress"] == "nat"
        private, public, gateway, address = self._subnets(vpc["vpc_id"], plans, nat)
        routes = {}
        if nat:
            (made,) = self._ensure(
                [
                    NatGateway(
                        self.api,
                        f"{self.name}-nat",
                        self.tags,
                        vpc["vpc_id"],
                        public[0],
                        address["allocation_id"],
                    )
                ]
            )
            routes = {_ANYWHERE: made["nat_gateway_id"]}
        tables = [RouteTable(self.api, f"{self.name}-private", self.tags, vpc["vpc_id"], private, routes)]
        if nat:
            out = {_ANYWHERE: gateway["internet_gateway_id"]}
            tables.append(RouteTable(self.api, f"{self.name}-public", self.tags, vpc["vpc_id"], public, out))
        made_tables = self._ensure(tables)
        if not nat:
            self._remove_way_out(vpc["vpc_id"], plans)
        return {
            "vpc_id": vpc["vpc_id"],
            "cidr": vpc["cidr"],
            "private_subnet_ids": private,
            "public_subnet_ids": public,
            "route_table_id": made_tables[0]["route_table_id"],
            **({"nat_public_ip": address.get("public_ip")} if nat else {}),
        }

    def _subnets(
        self, vpc_id: str, plans: list[SubnetPlan], nat: bool
    ) -> tuple[list[str], list[str], dict[str, Any], dict[str, Any]]:
        """Private and public subnets with, side by side, the gateway and the address that need nothing else."""
        zones = self._zones(vpc_id)
        wanted = [plan for plan in plans if nat or not plan.public]
        resources: list[Ec2Resource] = [
            Subnet(self.api, f"{self.name}-{p.suffix}", self.tags, vpc_id, p.cidr, zones[p.number])
            for p in wanted
        ]
        if nat:
            resources.append(InternetGateway(self.api, self.name, self.tags, vpc_id))
            resources.append(ElasticAddress(self.api, f"{self.name}-nat", self.tags))
        states = self._ensure(resources)
        ids = {plan.suffix: state["subnet_id"] for plan, state in zip(wanted, states, strict=False)}
        return (
            [ids[plan.suffix] for plan in wanted if not plan.public],
            [ids[plan.suffix] for plan in wanted if plan.public],
            states[-2] if nat else {},
            states[-1] if nat else {},
        )

    def _zones(self, vpc_id: str) -> dict[int, str]:
        params = self.module.params
        prefix = f"{self.name}-private-"
        taken = {
            int(tags["Name"].removeprefix(prefix)): subnet["AvailabilityZone"]
            for subnet in self._described("describe_subnets", "Subnets", vpc_id)
            if (tags := tag_dict(subnet.get("Tags"))).get("Name", "").startswith(prefix)
            and tags.get(OWNER_TAG) == self.tags[OWNER_TAG]
        }
        if set(range(1, params["zones"] + 1)) <= taken.keys():
            return taken
        usable = [
            {"Name": "zone-type", "Values": ["availability-zone"]},
            {"Name": "state", "Values": ["available"]},
        ]
        answer = self.api.call("describe_availability_zones", Filters=usable) or {}
        offers: dict[str, set[str]] = {}
        if params["instance_types"]:
            types = [{"Name": "instance-type", "Values": sorted(set(params["instance_types"]))}]
            for offer in self.api.pages(
                "describe_instance_type_offerings",
                "InstanceTypeOfferings",
                LocationType="availability-zone",
                Filters=types,
            ):
                offers.setdefault(offer["Location"], set()).add(offer["InstanceType"])
        zones = [zone["ZoneName"] for zone in answer.get("AvailabilityZones", [])]
        try:
            return choose_zones(zones, offers, params["zones"], taken)
        except ValueError as error:
            self.module.fail_json(msg=f"VPC {self.name}: {error}; lower zones.")
            raise AssertionError("fail_json does not return") from error

    def _described(self, operation: str, key: str, vpc_id: str) -> list[dict[str, Any]]:
        if is_unknown(vpc_id):
            return []
        return list(self.api.pages(operation, key, Filters=[{"Name": "vpc-id", "Values": [vpc_id]}]))

    def _remove_way_out(self, vpc_id: str, plans: list[SubnetPlan]) -> None:
        public = [Subnet(self.api, f"{self.name}-{p.suffix}", self.tags, vpc_id) for p in plans if p.public]
        self._ensure([NatGateway(self.api, f"{self.name}-nat", self.tags, vpc_id)], "absent")
        self._ensure(
            [
                RouteTable(self.api, f"{self.name}-public", self.tags, vpc_id),
                ElasticAddress(self.api, f"{self.name}-nat", self.tags),
            ],
            "absent",
        )
        self._ensure([*public, InternetGateway(self.api, self.name, self.tags, vpc_id)], "absent")

    def absent(self) -> None:
        vpc = Vpc(self.api, self.name, self.tags)
        current = vpc.read()
        vpc_id = current["vpc_id"] if current else None
        numbers = range(1, MAX_ZONES + 1)
        self._ensure([FlowLog(self.api, self.name, self.tags, vpc_id)], "absent")
        self._ensure([NatGateway(self.api, f"{self.name}-nat", self.tags, vpc_id)], "absent")
        self._ensure(
            [
                ElasticAddress(self.api, f"{self.name}-nat", self.tags),
                InternetGateway(self.api, self.name, self.tags, vpc_id),
                *(
                    RouteTable(self.api, f"{self.name}-{side}", self.tags, vpc_id)
                    for side in ("private", "public")
                ),
            ],
            "absent",
        )
        self._ensure(
            [
                Subnet(self.api, f"{self.name}-{side}-{number}", self.tags, vpc_id)
                for side in ("private", "public")
                for number in numbers
            ],
            "absent",
        )
        self._ensure([vpc], "absent")


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "cidr": {"type": "str", "default": "10.0.0.0/16"},
            "egress": {"type": "str", "choices": ["nat", "none"], "default": "nat"},
            "zones": {"type": "int", "default": 2},
            "instance_types": {"type": "list", "elements": "str", "default": []},
            "flow_log": {
                "type": "dict",
                "options": {
                    "log_group": {"type": "str", "required": True},
                    "role_arn": {"type": "str", "required": True},
                },
            },
            "tags": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    if OWNER_TAG not in module.params["tags"]:
        module.fail_json(msg=f"tags must hold {OWNER_TAG}, by which the network is found again.")
    if not 1 <= module.params["zones"] <= MAX_ZONES:
        module.fail_json(msg=f"zones must be between 1 and {MAX_ZONES}, not {module.params['zones']}.")
    network = Network(module)
    if module.params["state"] == "absent":
        network.absent()
        report(module, "resources", network.outcomes, many=True)
    made = network.present()
    report(module, "resources", network.outcomes, many=True, network=made)


if __name__ == "__main__":
    main()
