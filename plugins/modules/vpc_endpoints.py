#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vpc_endpoints
version_added: 1.0.0
short_description: Manage all endpoints that a stack needs in a VPC, in one process
description:
  - Makes gateway and interface endpoints side by side and waits for all of them once.
  - An endpoint of somebody else that already serves the same route tables, or the same service with private
    DNS, is used as it is, since AWS allows no second one.
  - Endpoints of the stack that are not listed are removed.
  - It exists because M(amazon.aws.ec2_vpc_endpoint) makes one at a time and waits for each, cannot change
    subnets or groups, and makes a second endpoint when asked for other subnets.
  - Endpoints are found by their C(Name) tag and the tag C(pasture:stack), which must be among O(tags).
options:
  name:
    description: The names of the endpoints are this one and the service's.
    type: str
    required: true
  vpc_id:
    description: The VPC. Required to make endpoints.
    type: str
  state:
    description: Whether the endpoints are to exist. V(absent) removes all of the stack.
    type: str
    choices: [present, absent]
    default: present
  endpoints:
    description: The endpoints.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: The service as in its endpoint's name, such as V(s3) or V(ecr.api).
        type: str
        required: true
      type:
        description: The type of endpoint.
        type: str
        choices: [Gateway, Interface]
        default: Interface
      policy:
        description: What may be called through it. Left out where the service does not support it.
        type: dict
  subnet_ids:
    description:
      - The subnets that use the endpoints.
      - Interface endpoints take one of each zone, and none in a zone where the service has no endpoints.
    type: list
    elements: str
    default: []
  security_group_ids:
    description: The groups of the interface endpoints.
    type: list
    elements: str
    default: []
  tags:
    description: Tags of all endpoints, with C(pasture:stack) among them. Others are removed.
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
- name: Reach S3 and SQS without the Internet
  pasture.ollama.vpc_endpoints:
    name: pasture-docs
    vpc_id: vpc-0123456789abcdef0
    subnet_ids: [subnet-0123456789abcdef0]
    security_group_ids: [sg-0123456789abcdef0]
    endpoints:
      - {service: s3, type: Gateway}
      - {service: sqs}
    tags:
      pasture:stack: docs
"""

RETURN = r"""
endpoints:
  description: The stack's endpoints as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
foreign:
  description: Services that are reached by an endpoint that is not the stack's.
  returned: when O(state=present)
  type: list
  elements: str
  sample: [sqs]
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._ec2 import OWNER_TAG
from ansible_collections.pasture.ollama.plugins.module_utils._ec2_addressing import one_per_zone
from ansible_collections.pasture.ollama.plugins.module_utils._ec2_endpoints import (
    GATEWAY,
    INTERFACE,
    Endpoint,
    EndpointSpec,
    await_endpoints,
    endpoints_of,
    endpoints_of_stack,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import (
    Outcome,
    Refusal,
    WaitTimeout,
    ensure_all,
    report,
)
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_dict
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import is_unknown, unknown


class Surroundings:
    """What of the VPC decides how its endpoints look."""

    def __init__(self, api: Api, vpc_id: str, subnet_ids: list[str], services: list[str], stack: str) -> None:
        """Read it all.

        :param services: full service names.
        :raises AwsError: when AWS refuses.
        """
        self.api = api
        self.subnet_ids = subnet_ids
        answer = api.call("describe_vpc_endpoint_services", ServiceNames=services) if services else None
        self.services = {
            (one["ServiceName"], kind["ServiceType"]): one
            for one in (answer or {}).get("ServiceDetails", [])
            for kind in one["ServiceType"]
        }
        self.known = not is_unknown([vpc_id, subnet_ids])
        self.foreign: list[dict[str, Any]] = []
        self.zones: dict[str, str] = {}
        self.tables: list[str] = [unknown("route table")]
        if self.known:
            self.foreign = [
                one
                for one in endpoints_of(api, vpc_id)
                if tag_dict(one.get("Tags")).get(OWNER_TAG) != stack
                and one["State"].lower() in ("available", "pending")
            ]
            subnets = api.pages("describe_subnets", "Subnets", SubnetIds=subnet_ids)
            self.zones = {one["SubnetId"]: one["AvailabilityZone"] for one in subnets}
            self.tables = self._route_tables(vpc_id)

    def _route_tables(self, vpc_id: str) -> list[str]:
        """The tables of the subnets; a subnet that is associated with none uses the VPC's main one."""
        main, explicit = [], {}
        for table in self.api.pages(
            "describe_route_tables", "RouteTables", Filters=[{"Name": "vpc-id", "Values": [vpc_id]}]
        ):
            for association in table.get("Associations", []):
                if association.get("Main"):
                    main.append(table["RouteTableId"])
                if "SubnetId" in association:
                    explicit[association["SubnetId"]] = table["RouteTableId"]
        return sorted(
            {table for s in self.subnet_ids for table in ([explicit[s]] if s in explicit else main)}
        )

    def uncovered_tables(self, service_name: str) -> list[str]:
        """The route tables that no endpoint of somebody else serves."""
        covered = {
            table
            for one in self.foreign
            if one["ServiceName"] == service_name and one["VpcEndpointType"] == GATEWAY
            for table in one.get("RouteTableIds", [])
        }
        return [table for table in self.tables if table not in covered]

    def is_served(self, service_name: str) -> bool:
        """Whether somebody else's interface endpoint answers to the service's own name."""
        return any(
            one["ServiceName"] == service_name
            and one["VpcEndpointType"] == INTERFACE
            and one.get("PrivateDnsEnabled")
            for one in self.foreign
        )

    def usable_subnets(self, service_name: str) -> list[str]:
        """The subnets in zones where the service has endpoints, one for each zone."""
        if not self.known:
            return self.subnet_ids
        offered = self.services[service_name, INTERFACE].get("AvailabilityZones", [])
        return one_per_zone([one for one in self.subnet_ids if self.zones.get(one) in offered], self.zones)


def plan(
    params: dict[str, Any], region: str, around: Surroundings
) -> tuple[dict[str, EndpointSpec], list[str]]:
    """The endpoints to have by service, and the services that somebody else's endpoints serve.

    :raises Refusal: when a service has no endpoint in this region, or none in these subnets' zones.
    """
    specs, foreign = {}, []
    for endpoint in params["endpoints"]:
        service, kind = endpoint["service"], endpoint["type"]
        full = full_name(service, region)
        details = around.services.get((full, kind))
        if details is None:
            raise Refusal(
                f"{region} has no {kind.lower()} endpoint for {service}; use egress nat in this region"
            )
        policy = endpoint["policy"] if details.get("VpcEndpointPolicySupported") else None
        if kind == GATEWAY:
            tables = around.uncovered_tables(full)
            spec = EndpointSpec(full, kind, policy, route_table_ids=tables) if tables else None
        elif around.is_served(full):
            spec = None
        else:
            subnets = around.usable_subnets(full)
            if not subnets:
                raise Refusal(
                    f"{service} has endpoints in none of the zones of these subnets; choose other subnets"
                )
            spec = EndpointSpec(
                full, kind, policy, subnet_ids=subnets, security_group_ids=params["security_group_ids"]
            )
        if spec:
            specs[service] = spec
        else:
            foreign.append(service)
    return specs, foreign


def full_name(service: str, region: str) -> str:
    """A service's name as EC2 wants it."""
    return f"com.amazonaws.{region}.{service}"


def surplus(api: Api, tags: dict[str, str], kept: set[str]) -> list[Endpoint]:
    """The stack's endpoints whose names are not among C(kept)."""
    return [
        Endpoint(api, name, tags, one["VpcId"])
        for one in endpoints_of_stack(api, tags[OWNER_TAG])
        if one["State"].lower() not in ("deleted", "deleting")
        and (name := tag_dict(one.get("Tags")).get("Name", one["VpcEndpointId"])) not in kept
    ]


def ids(outcomes: list[Outcome]) -> list[str]:
    return [str((one.after or one.before or {})["vpc_endpoint_id"]) for one in outcomes if one.changed]


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "vpc_id": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "endpoints": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "service": {"type": "str", "required": True},
                    "type": {"type": "str", "choices": [GATEWAY, INTERFACE], "default": INTERFACE},
                    "policy": {"type": "dict"},
                },
            },
            "subnet_ids": {"type": "list", "elements": "str", "default": []},
            "security_group_ids": {"type": "list", "elements": "str", "default": []},
            "tags": {"type": "dict", "required": True},
        },
        required_if=[("state", "present", ("vpc_id", "subnet_ids"))],
        supports_check_mode=True,
    )
    params = module.params
    if OWNER_TAG not in params["tags"]:
        module.fail_json(msg=f"tags must hold {OWNER_TAG}, by which the endpoints are found again.")
    tags = {str(key): str(value) for key, value in params["tags"].items()}
    api = Api(module, "ec2")
    try:
        run(module, api, tags)
    except AwsError as error:
        module.fail_json_aws(
            error.cause, msg=f"The endpoints of {params['name']} could not be read. {error.remedy}"
        )
    except (Refusal, WaitTimeout) as error:
        module.fail_json(msg=f"The endpoints of {params['name']} could not be made: {error}.")


def run(module: Any, api: Api, tags: dict[str, str]) -> None:
    params = module.params
    specs: dict[str, EndpointSpec] = {}
    extra: dict[str, Any] = {}
    if params["state"] == "present":
        services = sorted({full_name(one["service"], api.region) for one in params["endpoints"]})
        around = Surroundings(api, params["vpc_id"], params["subnet_ids"], services, tags[OWNER_TAG])
        specs, extra["foreign"] = plan(params, api.region, around)
    wanted = [
        Endpoint(api, f"{params['name']}-{service}", tags, params["vpc_id"], spec)
        for service, spec in specs.items()
    ]
    made = ensure_all(module, wanted, "present")
    gone = ensure_all(module, surplus(api, tags, {endpoint.name for endpoint in wanted}), "absent")
    if not module.check_mode:
        await_endpoints(api, tags[OWNER_TAG], ids(made), present=True)
        await_endpoints(api, tags[OWNER_TAG], ids(gone), present=False)
    report(module, "endpoints", [*made, *gone], many=True, **extra)


if __name__ == "__main__":
    main()
