# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Registered models over a Parameter Store in memory: read, compared, written, removed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pasture.ollama.plugins.module_utils import _catalogue
from ansible_collections.pasture.ollama.plugins.module_utils._definition import decode, define
from ansible_collections.pasture.ollama.plugins.module_utils._mime_types import suffixes_of
from ansible_collections.pasture.ollama.plugins.module_utils._model_registry import (
    SEEDED_TAG,
    LeftOver,
    RegisteredModel,
    definition_state,
    reference_of,
    registered,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import ensure
from ansible_collections.pasture.ollama.plugins.module_utils._routing import Bucket, event_patterns

REGISTRY = "/pasture/docs"
PARAMETER = f"{REGISTRY}/models/llama3.1/8b"


class Store:
    """The calls of Parameter Store that are made, and nothing else."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.writes: list[str] = []

    def call(self, operation: str, /, *, missing: Any = (), **arguments: Any) -> dict[str, Any] | None:
        if not operation.startswith(("get_", "list_")):
            self.writes.append(operation)
        given = {key: value for key, value in arguments.items() if value is not None}
        return getattr(self, operation)(**given)  # type: ignore[no-any-return]

    def pages(self, operation: str, key: str, /, **arguments: Any) -> Iterator[dict[str, str]]:
        assert (operation, key, arguments) == (
            "get_parameters_by_path",
            "Parameters",
            {"Path": f"{REGISTRY}/models", "Recursive": True},
        )
        yield from ({"Name": name, "Value": value} for name, value in sorted(self.values.items()))

    def get_parameter(self, Name: str) -> dict[str, Any] | None:  # noqa: N803 - AWS's names
        return {"Parameter": {"Value": self.values[Name]}} if Name in self.values else None

    def put_parameter(self, Name: str, Value: str, Type: str, **more: Any) -> dict[str, Any]:  # noqa: N803
        assert Type == "String"
        # AWS takes tags only when a parameter is made.
        assert not (more.get("Overwrite") and more.get("Tags"))
        assert bool(more.get("Overwrite")) == (Name in self.values)
        self.values[Name] = Value
        self.tags.setdefault(Name, {}).update({tag["Key"]: tag["Value"] for tag in more.get("Tags", [])})
        return {}

    def delete_parameter(self, Name: str) -> dict[str, Any]:  # noqa: N803
        del self.values[Name], self.tags[Name]
        return {}

    def list_tags_for_resource(self, ResourceType: str, ResourceId: str) -> dict[str, Any]:  # noqa: N803
        assert ResourceType == "Parameter"
        return {"TagList": [{"Key": key, "Value": value} for key, value in self.tags[ResourceId].items()]}

    def add_tags_to_resource(self, ResourceType: str, ResourceId: str, Tags: Any) -> dict[str, Any]:  # noqa: N803
        assert ResourceType == "Parameter"
        self.tags[ResourceId].update({tag["Key"]: tag["Value"] for tag in Tags})
        return {}

    def remove_tags_from_resource(self, ResourceType: str, ResourceId: str, TagKeys: Any) -> dict[str, Any]:  # noqa: N803
        assert ResourceType == "Parameter"
        for key in TagKeys:
            del self.tags[ResourceId][key]
        return {}


@pytest.fixture
def store() -> Store:
    return Store()


def model(store: Any, spec: Any = "llama3.1:8b", **settings: Any) -> RegisteredModel:
    return RegisteredModel(store, REGISTRY, define(spec), **settings)


def test_a_model_is_registered_once(store: Store) -> None:
    first, second = ensure(model(store, tags={"a": "b"})), ensure(model(store, tags={"a": "b"}))
    assert (first.changed, second.changed) == (True, False)
    assert store.writes == ["put_parameter"]
    assert decode(store.values[PARAMETER], PARAMETER) == define("llama3.1:8b")
    assert first.after == second.after
    assert first.after
    assert first.after["tags"] == {"a": "b"}


def test_check_mode_writes_nothing_and_tells_the_same(store: Store) -> None:
    told = ensure(model(store), check_mode=True)
    assert told.changed
    assert store.values == {}
    made = ensure(model(store))
    assert told.after
    assert made.after
    assert told.after == {key: made.after[key] for key in told.after}


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "llama3.1:8b", "options": {"seed": 1}},
        {"name": "llama3.1:8b", "inputs": ["text/plain"]},
        {"name": "llama3.1:8b", "context_length": 4096},
        {"name": "llama3.1:8b", "from": "s3://models/a.gguf"},
    ],
)
def test_each_edit_is_one_change_there_and_one_back(store: Store, spec: Any) -> None:
    ensure(model(store))
    there = ensure(model(store, spec))
    assert there.changed
    assert set(there.diff["after"]) >= set(spec) - {"name"}
    assert not ensure(model(store, spec)).changed
    assert ensure(model(store)).changed
    assert decode(store.values[PARAMETER], PARAMETER) == define("llama3.1:8b")


def test_tags_are_purged_left_alone_or_added_to_and_the_mark_of_the_cache_stays(store: Store) -> None:
    ensure(model(store, tags={"a": "1", "b": "2"}))
    store.tags[PARAMETER] |= {SEEDED_TAG: "fs-1/x", "aws:cloudformation": "no"}
    assert not ensure(model(store)).changed
    assert ensure(model(store, tags={"b": "3"}, purge_tags=False)).changed
    assert store.tags[PARAMETER] == {"a": "1", "b": "3", SEEDED_TAG: "fs-1/x", "aws:cloudformation": "no"}
    assert ensure(model(store, tags={"b": "3"})).changed
    assert store.tags[PARAMETER] == {"b": "3", SEEDED_TAG: "fs-1/x", "aws:cloudformation": "no"}


def test_a_broken_definition_shows_in_the_diff_and_is_written_anew(store: Store) -> None:
    ensure(model(store))
    store.values[PARAMETER] = "{"
    outcome = ensure(model(store))
    assert outcome.before
    assert "is broken" in outcome.before["broken"]
    assert not ensure(model(store)).changed


def test_a_model_is_removed_once(store: Store) -> None:
    ensure(model(store))
    assert ensure(model(store), "absent").changed
    assert not ensure(model(store), "absent").changed


@pytest.mark.parametrize("rest", ["llama3.1/8b", "me/mine/latest", "odd", "a b/c"])
def test_whatever_lies_in_a_registry_can_be_listed_and_removed(store: Store, rest: str) -> None:
    name = f"{REGISTRY}/models/{rest}"
    store.values[name], store.tags[name] = "{}", {}
    assert [found for found, _value in registered(store, REGISTRY)] == [name]  # type: ignore[arg-type]
    assert ensure(LeftOver(store, REGISTRY, name), "absent").changed  # type: ignore[arg-type]
    assert store.values == {}


@pytest.fixture(scope="module")
def worker() -> ModuleType:
    """The worker's reader of definitions. It is a distribution of its own, which is not installed here."""
    folder = Path(_catalogue.__file__).parents[2] / "image" / "src" / "ollama_worker"
    sys.path.insert(0, str(folder.parent))
    try:
        return importlib.import_module("ollama_worker.model")
    finally:
        sys.path.remove(str(folder.parent))


@given(data=st.data())
def test_module_store_worker_and_rules_mean_the_same_model(
    specs: st.SearchStrategy[Any], worker: ModuleType, data: st.DataObject
) -> None:
    """What a user writes goes through the registry, and worker and event rule make the same of it."""
    store = Store()
    resource = model(store, data.draw(specs))
    ensure(resource)
    assert not ensure(resource).changed
    assert reference_of(resource.parameter, REGISTRY) == resource.name
    stored = store.values[resource.parameter]
    read = worker.parse_definition(stored, resource.parameter)
    for key, value in definition_state(resource.definition).items():
        theirs = getattr(read, "origin" if key == "from" else key)
        assert (list(theirs) if isinstance(theirs, tuple) else theirs) == value, key
    assert read.reference == resource.definition.reference
    assert resource.parameter == f"/pasture/docs/models/{read.name}/{read.tag}"
    # The rule takes the keys of these types, and no others.
    suffixes = suffixes_of(read.inputs)
    patterns = event_patterns("docs", "documents", read.inputs, [Bucket()], False) if suffixes else []
    found = {
        match["suffix"]["equals-ignore-case"]
        for rule in patterns
        for match in rule["pattern"]["detail"]["object"]["key"]
    }
    assert found == set(suffixes)
