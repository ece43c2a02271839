# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set: what is listed is made, what is in scope but not listed is told or removed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._aws import AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Resource, State
from ansible_collections.pasture.ollama.plugins.module_utils._sets import Candidate, Tags, given, run_set

SCOPE = {"pasture:stack": "docs"}


class Thing(Resource):
    kind = "thing"
    world: dict[str, State]

    def __init__(self, world: dict[str, State], log: list[str], name: str) -> None:
        super().__init__(name)
        self.world = world
        self.log = log

    def read(self) -> State | None:
        return self.world.get(self.name)

    def wanted(self, current: State | None) -> State:
        return {"name": self.name}

    def create(self, wanted: State) -> None:
        self.log.append(f"create {self.name}")
        self.world[self.name] = wanted

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        raise NotImplementedError

    def delete(self, current: State) -> None:
        self.log.append(f"delete {self.name}")
        del self.world[self.name]


class Module:
    check_mode = False
    _diff = False

    def __init__(self, **params: Any) -> None:
        self.params = {"state": "present", "scope": SCOPE, "purge": False, "remove": None, **params}
        self.result: dict[str, Any] = {}

    def exit_json(self, **result: Any) -> None:
        self.result = result
        raise SystemExit(0)

    def fail_json(self, **result: Any) -> None:
        self.result = result
        raise SystemExit(1)


def run(module: Module, world: dict[str, State], *stages: list[str]) -> list[str]:
    """Runs a set and tells what was done, in order."""
    log: list[str] = []

    def find(_scope: Tags) -> Iterator[Candidate]:
        yield from [
            Candidate(Thing(world, log, name), lambda: {**SCOPE, "Name": "x"}) for name in list(world)
        ]

    with pytest.raises(SystemExit):
        run_set(module, "things", [[Thing(world, log, n) for n in stage] for stage in stages], find)
    return log


def test_what_is_not_listed_is_told_and_left() -> None:
    module = Module()
    assert run(module, {"old": {"name": "old"}}, ["new"]) == ["create new"]
    assert module.result["unlisted"] == ["old"]
    assert module.result["removed"] == []
    assert module.result["things"] == [{"name": "new"}]


def test_what_is_not_listed_is_removed_when_asked_after_the_rest_is_made() -> None:
    module = Module(purge=True)
    assert run(module, {"old": {"name": "old"}}, ["new"]) == ["create new", "delete old"]
    assert module.result["removed"] == ["old"]
    assert module.result["unlisted"] == []


def test_of_what_is_not_listed_only_the_named_is_removed() -> None:
    world: dict[str, State] = {name: {"name": name} for name in ("old", "older", "listed")}
    module = Module(remove=["old", "listed", "elsewhere"])
    assert run(module, world, ["listed"]) == ["delete old"]
    assert module.result["removed"] == ["old"]
    assert module.result["unlisted"] == ["older"]


def test_an_empty_list_removes_everything_in_scope() -> None:
    world: dict[str, State] = {"a": {"name": "a"}, "b": {"name": "b"}}
    module = Module(purge=True)
    run(module, world, [])
    assert world == {}
    assert module.result["changed"] is True
    again = Module(purge=True)
    run(again, world, [])
    assert again.result["changed"] is False


def test_check_mode_removes_nothing() -> None:
    world: dict[str, State] = {"a": {"name": "a"}}
    module = Module(purge=True)
    module.check_mode = True
    assert run(module, world, []) == []
    assert module.result["removed"] == ["a"]
    assert world


def test_without_a_scope_nothing_else_is_looked_at() -> None:
    module = Module(scope=None)
    run(module, {"old": {"name": "old"}}, ["new"])
    assert module.result["unlisted"] == []


def test_stages_are_made_in_order_and_removed_in_reverse() -> None:
    world: dict[str, State] = {}
    assert run(Module(), world, ["first"], ["second"]) == ["create first", "create second"]
    log = run(Module(state="absent"), world, ["first"], ["second"])
    assert log == ["delete second", "delete first"]


def test_a_list_that_cannot_be_had_ends_with_a_sentence() -> None:
    module = Module(purge=True)

    def refuse() -> Resource:
        cause = Exception("not authorized")
        cause.response = {"Error": {"Code": "AccessDenied"}}  # type: ignore[attr-defined]
        raise AwsError("list_things", cause)

    def find(_scope: Tags) -> Iterator[Candidate]:
        yield Candidate(refuse(), dict)

    with pytest.raises(SystemExit):
        run_set(module, "things", [[]], find)
    assert "list_things" in module.result["msg"]
    assert "IAM actions" in module.result["msg"]


def test_options_that_were_not_given_are_left_out_at_every_depth() -> None:
    assert given({"a": None, "b": {"c": None, "d": 0}, "e": [{"f": None}]}) == {"b": {"d": 0}, "e": [{}]}


@pytest.mark.parametrize(
    ("tags", "belongs"),
    [({"pasture:stack": "docs", "x": "y"}, True), ({"pasture:stack": "docs-x"}, False), ({}, False)],
)
def test_what_belongs_is_known_by_its_tags(tags: Tags, belongs: bool) -> None:
    module = Module()
    with pytest.raises(SystemExit):
        run_set(module, "things", [[]], lambda _scope: [Candidate(Thing({}, [], "found"), lambda: tags)])
    assert module.result["unlisted"] == (["found"] if belongs else [])


def test_the_tags_of_what_is_listed_are_nobodys_business() -> None:
    def fail() -> Tags:
        raise AssertionError

    module, world = Module(), {"new": {"name": "new"}}
    listed = Thing(world, [], "new")
    with pytest.raises(SystemExit):
        run_set(module, "things", [[listed]], lambda _scope: [Candidate(listed, fail)])
    assert module.result["unlisted"] == []
