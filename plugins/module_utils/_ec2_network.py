# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of a VPC: subnets, gateways and route tables.

For internal use of this collection only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._ec2 import Ec2Resource
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal, State, wait_until
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

#: Seconds. A NAT gateway takes one to three minutes; a subnet is free when the last interface is gone.
_NAT_TIMEOUT = 600.0
_FREE_TIMEOUT = 600.0


class Vpc(Ec2Resource):
    """The VPC itself, with the DNS that EFS and interface endpoints need, and an empty default group.

    What is put into a VPC without a security group gets the default one, which lets its members talk to each
    other and to the whole Internet (control EC2.2 of AWS Foundational Security Best Practices).
    """

    kind = "VPC"
    resource_type = "vpc"
    id_field = "VpcId"
    id_key = "vpc_id"

    def __init__(self, api: Api, name: str, tags: dict[str, str], cidr: str = "") -> None:
        super().__init__(api, name, tags)
        self.cidr = cidr

    def candidates(self) -> Iterable[dict[str, Any]]:
        return self.api.pages("describe_vpcs", "Vpcs", Filters=[{"Name": "tag:Name", "Values": [self.name]}])

    def state(self, described: dict[str, Any]) -> State:
        flags = {}
        for key, attribute in (("dns_hostnames", "enableDnsHostnames"), ("dns_support", "enableDnsSupport")):
            answer = (
                self.api.call("describe_vpc_attribute", VpcId=described["VpcId"], Attribute=attribute) or {}
            )
            flags[key] = bool(answer[attribute[0].upper() + attribute[1:]]["Value"])
        group = self._default_group(described["VpcId"])
        rules = len(group.get("IpPermissions", [])) + len(group.get("IpPermissionsEgress", []))
        return {"cidr": described["CidrBlock"], "default_group_rules": rules, **flags}

    def wanted(self, current: State | None) -> State:
        ours = {"cidr": self.cidr, "dns_hostnames": True, "dns_support": True, "default_group_rules": 0}
        return {**ours, **super().wanted(current)}

    def create(self, wanted: State) -> None:
        answer = (
            self.api.call("create_vpc", CidrBlock=self.cidr, TagSpecifications=self.specification()) or {}
        )
        vpc_id = answer["Vpc"]["VpcId"]
        wait_until("visible", self.find, lambda found: found is not None, timeout=60)
        self._enable_dns(vpc_id, {"dns_hostnames"})  # AWS turns on DNS support by itself, but not host names
        self._empty_default_group(vpc_id)

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if "cidr" in changed_keys:
            raise Refusal(
                f"it has the addresses {current['cidr']}, and a VPC's addresses cannot be changed to {self.cidr}; "
                "keep the old ones, or destroy the stack first"
            )
        self._enable_dns(current["vpc_id"], changed_keys)
        if "default_group_rules" in changed_keys:
            self._empty_default_group(current["vpc_id"])
        super().update(current, wanted, changed_keys)

    def _default_group(self, vpc_id: str) -> dict[str, Any]:
        filters = [{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "group-name", "Values": ["default"]}]
        return next(iter(self.api.pages("describe_security_groups", "SecurityGroups", Filters=filters)), {})

    def _empty_default_group(self, vpc_id: str) -> None:
        group = self._default_group(vpc_id)
        for side, key in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
            if group.get(key):
                self.api.call(
                    f"revoke_security_group_{side}", GroupId=group["GroupId"], IpPermissions=group[key]
                )

    def _enable_dns(self, vpc_id: str, keys: set[str]) -> None:
        # One attribute per call, support before host names.
        # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyVpcAttribute.html
        if "dns_support" in keys:
            self.api.call("modify_vpc_attribute", VpcId=vpc_id, EnableDnsSupport={"Value": True})
        if "dns_hostnames" in keys:
            self.api.call("modify_vpc_attribute", VpcId=vpc_id, EnableDnsHostnames={"Value": True})

    def delete(self, current: State) -> None:
        self.delete_when_free(
            "delete_vpc", missing="InvalidVpcID.NotFound", timeout=_FREE_TIMEOUT, VpcId=current["vpc_id"]
        )


class Subnet(Ec2Resource):
    """A subnet; nothing in it gets a public address by itself."""

    kind = "subnet"
    resource_type = "subnet"
    id_field = "SubnetId"
    id_key = "subnet_id"

    def __init__(
        self, api: Api, name: str, tags: dict[str, str], vpc_id: str | None, cidr: str = "", zone: str = ""
    ) -> None:
        super().__init__(api, name, tags, vpc_id)
        self.cidr = cidr
        self.zone = zone

    def candidates(self) -> Iterable[dict[str, Any]]:
        return self.api.pages("describe_subnets", "Subnets", Filters=self.in_vpc()) if self.vpc_id else ()

    def state(self, described: dict[str, Any]) -> State:
        return {"cidr": described["CidrBlock"], "availability_zone": described["AvailabilityZone"]}

    def wanted(self, current: State | None) -> State:
        return {"cidr": self.cidr, "availability_zone": self.zone, **super().wanted(current)}

    def create(self, wanted: State) -> None:
        self.api.call(
            "create_subnet",
            VpcId=self.vpc_id,
            CidrBlock=self.cidr,
            AvailabilityZone=self.zone,
            TagSpecifications=self.specification(),
        )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if changed_keys - {"tags"}:
            raise Refusal(
                f"it stands at {current['cidr']} in {current['availability_zone']}, which cannot be changed to "
                f"{self.cidr} in {self.zone}; destroy the stack first"
            )
        super().update(current, wanted, changed_keys)

    def settle(self, present: bool) -> None:
        if present:
            wait_until(
                "available", self.find, lambda found: bool(found and found["State"] == "available"), 60
            )

    def delete(self, current: State) -> None:
        self.delete_when_free(
            "delete_subnet", "InvalidSubnetID.NotFound", timeout=_FREE_TIMEOUT, SubnetId=current["subnet_id"]
        )


class InternetGateway(Ec2Resource):
    """The way in and out of the public subnets, which hold nothing but the NAT gateway."""

    kind = "Internet gateway"
    resource_type = "internet-gateway"
    id_field = "InternetGatewayId"
    id_key = "internet_gateway_id"

    def candidates(self) -> Iterable[dict[str, Any]]:
        named = [{"Name": "tag:Name", "Values": [self.name]}]
        return self.api.pages("describe_internet_gateways", "InternetGateways", Filters=named)

    def state(self, described: dict[str, Any]) -> State:
        attached = [one["VpcId"] for one in described.get("Attachments", [])]
        return {"attached_to": attached[0] if attached else None}

    def wanted(self, current: State | None) -> State:
        return {"attached_to": self.vpc_id, **super().wanted(current)}

    def create(self, wanted: State) -> None:
        answer = self.api.call("create_internet_gateway", TagSpecifications=self.specification()) or {}
        self._attach(answer["InternetGateway"]["InternetGatewayId"])

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if "attached_to" in changed_keys:
            self._attach(current[self.id_key])
        super().update(current, wanted, changed_keys)

    def _attach(self, gateway_id: str) -> None:
        self.api.call("attach_internet_gateway", InternetGatewayId=gateway_id, VpcId=self.vpc_id)

    def delete(self, current: State) -> None:
        gateway_id = current[self.id_key]
        if current["attached_to"]:
            self.delete_when_free(
                "detach_internet_gateway",
                missing="Gateway.NotAttached",
                timeout=_FREE_TIMEOUT,
                InternetGatewayId=gateway_id,
                VpcId=current["attached_to"],
            )
        self.api.call(
            "delete_internet_gateway",
            missing=["InvalidInternetGatewayID.NotFound"],
            InternetGatewayId=gateway_id,
        )


class ElasticAddress(Ec2Resource):
    """The public address of the NAT gateway: what others see when a model is pulled."""

    kind = "elastic IP address"
    resource_type = "elastic-ip"
    id_field = "AllocationId"
    id_key = "allocation_id"

    def candidates(self) -> Iterable[dict[str, Any]]:
        named = [{"Name": "tag:Name", "Values": [self.name]}]
        return self.api.pages("describe_addresses", "Addresses", Filters=named)

    def state(self, described: dict[str, Any]) -> State:
        return {"public_ip": described.get("PublicIp")}

    def computed(self) -> State:
        return {**super().computed(), "public_ip": unknown("public IP address")}

    def create(self, wanted: State) -> None:
        self.api.call("allocate_address", Domain="vpc", TagSpecifications=self.specification())

    def delete(self, current: State) -> None:
        # The gateway of an interrupted run may still be on its way out.
        self.delete_when_free(
            "release_address",
            missing="InvalidAllocationID.NotFound",
            timeout=_FREE_TIMEOUT,
            AllocationId=current["allocation_id"],
        )


class NatGateway(Ec2Resource):
    """What lets the private subnets reach out, and nothing in."""

    kind = "NAT gateway"
    resource_type = "natgateway"
    id_field = "NatGatewayId"
    id_key = "nat_gateway_id"

    def __init__(
        self,
        api: Api,
        name: str,
        tags: dict[str, str],
        vpc_id: str | None,
        subnet_id: str = "",
        allocation_id: str = "",
    ) -> None:
        super().__init__(api, name, tags, vpc_id)
        self.subnet_id = subnet_id
        self.allocation_id = allocation_id

    def candidates(self) -> Iterable[dict[str, Any]]:
        if not self.vpc_id:
            return ()
        # A failed or deleted one is described for an hour more. It is not there any longer.
        alive = {"Name": "state", "Values": ["pending", "available", "deleting"]}
        return self.api.pages("describe_nat_gateways", "NatGateways", Filter=[*self.in_vpc(), alive])

    def find(self) -> dict[str, Any] | None:
        found = super().find()
        return None if found is None or found["State"] == "deleting" else found

    def state(self, described: dict[str, Any]) -> State:
        addresses = described.get("NatGatewayAddresses") or [{}]
        return {"subnet_id": described["SubnetId"], "allocation_id": addresses[0].get("AllocationId")}

    def wanted(self, current: State | None) -> State:
        return {"subnet_id": self.subnet_id, "allocation_id": self.allocation_id, **super().wanted(current)}

    def create(self, wanted: State) -> None:
        self.api.call(
            "create_nat_gateway",
            SubnetId=self.subnet_id,
            AllocationId=self.allocation_id,
            TagSpecifications=self.specification(),
        )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if changed_keys - {"tags"}:
            raise Refusal(
                f"{current[self.id_key]} stands in another subnet or has another address; delete it first"
            )
        super().update(current, wanted, changed_keys)

    def delete(self, current: State) -> None:
        self.api.call("delete_nat_gateway", missing=["NatGatewayNotFound"], NatGatewayId=current[self.id_key])

    def settle(self, present: bool) -> None:
        if present:
            wait_until("available", self.find, self._is_available, _NAT_TIMEOUT)
        else:
            wait_until("deleted", self._lingering, lambda found: found is None, _NAT_TIMEOUT)

    def _is_available(self, found: dict[str, Any] | None) -> bool:
        if found is None:
            raise Refusal(
                "it failed while it was made; the elastic IP address or the subnet was not usable. Run again, and "
                "see the VPC console for the reason if it fails again"
            )
        return bool(found["State"] == "available")

    def _lingering(self) -> dict[str, Any] | None:
        return super().find()


class RouteTable(Ec2Resource):
    """A route table with its subnets and the routes that are not AWS's own.

    :param routes: destination CIDR -> id of a gateway.
    """

    kind = "route table"
    resource_type = "route-table"
    id_field = "RouteTableId"
    id_key = "route_table_id"

    def __init__(
        self,
        api: Api,
        name: str,
        tags: dict[str, str],
        vpc_id: str | None,
        subnet_ids: Iterable[str] = (),
        routes: dict[str, str] | None = None,
    ) -> None:
        super().__init__(api, name, tags, vpc_id)
        self.subnet_ids = sorted(subnet_ids)
        self.routes = routes or {}

    def candidates(self) -> Iterable[dict[str, Any]]:
        return (
            self.api.pages("describe_route_tables", "RouteTables", Filters=self.in_vpc())
            if self.vpc_id
            else ()
        )

    def state(self, described: dict[str, Any]) -> State:
        # Routes to a gateway endpoint have a prefix list as their destination and come with the endpoint.
        routes = {
            route["DestinationCidrBlock"]: route.get("NatGatewayId") or route.get("GatewayId") or ""
            for route in described.get("Routes", [])
            if "DestinationCidrBlock" in route and route.get("GatewayId") != "local"
        }
        associated = [one["SubnetId"] for one in described.get("Associations", []) if "SubnetId" in one]
        return {"routes": _route_list(routes), "subnet_ids": sorted(associated)}

    def wanted(self, current: State | None) -> State:
        return {"routes": _route_list(self.routes), "subnet_ids": self.subnet_ids, **super().wanted(current)}

    def create(self, wanted: State) -> None:
        answer = self.api.call(
            "create_route_table", VpcId=self.vpc_id, TagSpecifications=self.specification()
        ) or {"RouteTable": {}}
        table_id = answer["RouteTable"]["RouteTableId"]
        self._route(table_id, [])
        self._associate(table_id, [])

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if "routes" in changed_keys:
            self._route(current[self.id_key], current["routes"])
        if "subnet_ids" in changed_keys:
            self._associate(current[self.id_key], current["subnet_ids"])
        super().update(current, wanted, changed_keys)

    def _route(self, table_id: str, existing: list[dict[str, str]]) -> None:
        present = {route["destination"]: route["target"] for route in existing}
        for cidr in sorted(present.keys() - self.routes.keys()):
            self.api.call(
                "delete_route",
                missing=["InvalidRoute.NotFound"],
                RouteTableId=table_id,
                DestinationCidrBlock=cidr,
            )
        for cidr, target in sorted(self.routes.items()):
            if present.get(cidr) == target:
                continue
            field = "NatGatewayId" if target.startswith("nat-") else "GatewayId"
            operation = "replace_route" if cidr in present else "create_route"
            self.api.call(operation, RouteTableId=table_id, DestinationCidrBlock=cidr, **{field: target})

    def _associate(self, table_id: str, present: list[str]) -> None:
        for subnet_id in self.subnet_ids:
            if subnet_id not in present:
                self.api.call("associate_route_table", RouteTableId=table_id, SubnetId=subnet_id)

    def delete(self, current: State) -> None:
        described = self.find() or {}
        for association in described.get("Associations", []):
            self.api.call(
                "disassociate_route_table",
                missing=["InvalidAssociationID.NotFound"],
                AssociationId=association["RouteTableAssociationId"],
            )
        self.delete_when_free(
            "delete_route_table",
            missing="InvalidRouteTableID.NotFound",
            timeout=_FREE_TIMEOUT,
            RouteTableId=current[self.id_key],
        )


def _route_list(routes: dict[str, str]) -> list[dict[str, str]]:
    """Routes as a list, which is compared whole: a surplus route is a difference."""
    return [{"destination": cidr, "target": target} for cidr, target in sorted(routes.items())]
