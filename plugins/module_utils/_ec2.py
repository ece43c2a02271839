# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all resources of EC2 have in common: they are found by tags and made with them.

For internal use of this collection only.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._resource import (
    Refusal,
    Resource,
    State,
    merge_tags,
    wait_until,
)
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_change, tag_dict, upper_list
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

#: The tag that says which stack a resource belongs to. Without it a resource is somebody else's.
OWNER_TAG = "pasture:stack"
#: How EC2 says that something else still holds on to what is to be deleted.
_IN_USE = ("DependencyViolation", "ResourceInUse", "InvalidIPAddress.InUse")


class Ec2Resource(Resource):
    """A resource found by its C(Name) tag and the stack's tag, within a VPC when it lives in one.

    :param tags: all tags it should have but C(Name), which is the resource's own.
    """

    #: As C(TagSpecifications) calls it, such as C(subnet).
    resource_type: str
    #: The key of its id in EC2's answers, such as C(SubnetId), and in our states.
    id_field: str
    id_key: str

    def __init__(self, api: Api, name: str, tags: dict[str, str], vpc_id: str | None = None) -> None:
        super().__init__(name)
        self.api = api
        self.tags = {**tags, "Name": name}
        self.vpc_id = vpc_id

    def identity(self) -> Any:
        return [self.name, self.vpc_id]

    @abstractmethod
    def candidates(self) -> Iterable[dict[str, Any]]:
        """What EC2 describes, at least those in the VPC; those with other tags are left out here."""

    @abstractmethod
    def state(self, described: dict[str, Any]) -> State:
        """EC2's description in our terms, without id and tags."""

    def find(self) -> dict[str, Any] | None:
        """EC2's description of this resource.

        :raises Refusal: when two resources carry the same name and stack.
        """
        mine = [one for one in self.candidates() if self._is_mine(tag_dict(one.get("Tags")))]
        if len(mine) > 1:
            ids = ", ".join(sorted(str(one.get(self.id_field)) for one in mine))
            raise Refusal(
                f"{len(mine)} of them carry this name and stack ({ids}); delete or rename all but one"
            )
        return mine[0] if mine else None

    def _is_mine(self, tags: dict[str, str]) -> bool:
        return tags.get("Name") == self.name and tags.get(OWNER_TAG) == self.tags.get(OWNER_TAG)

    def read(self) -> State | None:
        described = self.find()
        if described is None:
            return None
        identified = {self.id_key: described[self.id_field], "tags": tag_dict(described.get("Tags"))}
        return {**self.state(described), **identified}

    def wanted(self, current: State | None) -> State:
        return {"tags": merge_tags((current or {}).get("tags"), self.tags, purge=True)}

    def computed(self) -> State:
        return {self.id_key: unknown(self.kind)}

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if "tags" in changed_keys:
            self.tag(current[self.id_key], current["tags"], wanted["tags"])

    def tag(self, resource_id: str, current: dict[str, str], wanted: dict[str, str]) -> None:
        """Make the tags C(wanted), by the two calls that EC2 has for it."""
        change = tag_change(current, wanted)
        if change.removed:
            self.api.call(
                "delete_tags", Resources=[resource_id], Tags=[{"Key": key} for key in change.removed]
            )
        if change.added:
            self.api.call("create_tags", Resources=[resource_id], Tags=upper_list(change.added))

    def specification(self) -> list[dict[str, Any]]:
        """The tags for a creating call, so that nothing is ever made that cannot be found again."""
        return [{"ResourceType": self.resource_type, "Tags": upper_list(self.tags)}]

    def in_vpc(self) -> list[dict[str, Any]]:
        """The filter for resources of this VPC."""
        return [{"Name": "vpc-id", "Values": [self.vpc_id]}]

    def delete_when_free(self, operation: str, missing: str, timeout: float, **arguments: Any) -> None:
        """Delete what others may still hold on to.

        Network interfaces of things just deleted linger for a while, and EC2 answers
        C(DependencyViolation) until they are gone.

        :param timeout: seconds after which the last refusal is raised.
        """
        refusals: list[AwsError] = []

        def attempt() -> State | None:
            try:
                self.api.call(operation, missing=[missing], **arguments)
            except AwsError as error:
                if error.code not in _IN_USE:
                    raise
                refusals.append(error)
                return {"refused": str(error.cause)}
            return None

        wait_until("free to be deleted", attempt, lambda refused: refused is None, timeout)
