# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The registry of models: definitions as parameters of Parameter Store.

For internal use of this collection only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._definition import (
    Definition,
    DefinitionError,
    decode,
    encode,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Resource, State, merge_tags
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_change, tag_dict, upper_list

#: The tag that says which file system the model was brought to, and from what.
SEEDED_TAG = "pasture:seeded"

_MISSING = ("ParameterNotFound",)
_KEYS = frozenset(
    {
        "name",
        "tag",
        "family",
        "capabilities",
        "inputs",
        "outputs",
        "context_length",
        "size",
        "options",
        "from",
        "digest",
        "modelfile",
    }
)


def seeded_mark(definition: Definition, file_system_id: str) -> str:
    """What the parameter's tag says once a model is in the cache.

    A new file system, other weights or another origin make another mark, and the model is brought again.
    That someone emptied the file system by hand it does not show; workers then bring the model themselves.
    """
    origin = [definition.reference, definition.origin, definition.digest]
    if definition.modelfile:
        origin.append(definition.modelfile)
    return f"{file_system_id}/{hashlib.sha256(json.dumps(origin).encode()).hexdigest()[:16]}"


def definition_state(definition: Definition) -> State:
    """A definition in the terms of the module's options."""
    return {key: value for key, value in definition.as_dict().items() if key != "schema_version"} | {
        "digest": definition.digest,
        "modelfile": definition.modelfile,
    }


class RegisteredModel(Resource):
    """One model's definition in a registry.

    :param registry: its path, such as C(/pasture/docs).
    :param tags: None leaves the parameter's tags alone.
    """

    kind = "model definition"
    exact_keys = _KEYS | {"tags"}

    def __init__(
        self,
        api: Api,
        registry: str,
        definition: Definition,
        tags: Mapping[str, str] | None = None,
        purge_tags: bool = True,
    ) -> None:
        super().__init__(definition.reference)
        self.api = api
        self.definition = definition
        self.registry = registry
        self.tags = None if tags is None else dict(tags)
        self.purge_tags = purge_tags

    @property
    def parameter(self) -> str:
        """The name of its parameter."""
        return self.definition.parameter(self.registry)

    def identity(self) -> str:
        return self.parameter

    def read(self) -> State | None:
        answer = self.api.call("get_parameter", missing=_MISSING, Name=self.parameter)
        if answer is None:
            return None
        state: State = {"parameter": self.parameter, "tags": self._read_tags()}
        try:
            state |= definition_state(decode(answer["Parameter"]["Value"], self.parameter))
        except DefinitionError as error:
            # Someone broke it by hand: say so in the diff, and write it anew.
            state["broken"] = str(error)
        return state

    def _read_tags(self) -> dict[str, str]:
        answer = self.api.call("list_tags_for_resource", ResourceType="Parameter", ResourceId=self.parameter)
        return tag_dict((answer or {}).get("TagList"))

    def wanted(self, current: State | None) -> State:
        wanted: State = {"parameter": self.parameter, **definition_state(self.definition)}
        present = (current or {}).get("tags") or {}
        if self.tags is not None or present:
            wanted["tags"] = merge_tags(present, self.tags, self.purge_tags)
            if SEEDED_TAG in present:
                wanted["tags"][SEEDED_TAG] = present[SEEDED_TAG]
        return wanted

    def create(self, wanted: State) -> None:
        self.api.call(
            "put_parameter",
            Name=self.parameter,
            Value=encode(self.definition),
            Type="String",
            Tier="Standard",
            Description=f"The model {self.name} as the workers of this stack see it.",
            Tags=upper_list(wanted.get("tags", {})) or None,
        )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if changed_keys - {"tags"}:
            self.api.call(
                "put_parameter",
                Name=self.parameter,
                Value=encode(self.definition),
                Type="String",
                Overwrite=True,
            )
        if "tags" in changed_keys:
            write_tags(self.api, self.parameter, current["tags"], wanted["tags"])

    def delete(self, current: State) -> None:
        self.api.call("delete_parameter", missing=_MISSING, Name=self.parameter)


def write_tags(api: Api, parameter: str, current: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Bring a parameter's tags from one state to another."""
    change = tag_change(current, wanted)
    resource = {"ResourceType": "Parameter", "ResourceId": parameter}
    if change.removed:
        api.call("remove_tags_from_resource", **resource, TagKeys=change.removed)
    if change.added:
        api.call("add_tags_to_resource", **resource, Tags=upper_list(change.added))


class LeftOver(RegisteredModel):
    """A definition that is to go, whatever its parameter holds and is called."""

    def __init__(self, api: Api, registry: str, parameter: str) -> None:
        name, _slash, tag = parameter.removeprefix(f"{registry}/models/").rpartition("/")
        super().__init__(api, registry, Definition(name, tag, "", (), (), ()))
        self._parameter = parameter

    @property
    def parameter(self) -> str:
        return self._parameter


def registered(api: Api, registry: str) -> Iterator[tuple[str, str]]:
    """Name and value of every definition in a registry.

    :raises AwsError: when it cannot be read.
    """
    for parameter in api.pages(
        "get_parameters_by_path", "Parameters", Path=f"{registry}/models", Recursive=True
    ):
        yield parameter["Name"], parameter["Value"]


def reference_of(parameter: str, registry: str) -> str:
    """The C(name:tag) that a parameter's name stands for."""
    name, _slash, tag = parameter.removeprefix(f"{registry}/models/").rpartition("/")
    return f"{name}:{tag}"
