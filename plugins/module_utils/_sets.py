# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules that bring a whole set of like things to their state in one process.

A set is what a playbook lists; its scope is what carries the given tags in the account. What is in
scope but not listed is left over from an earlier deploy: it is reported, and removed when asked.

For internal use of this collection only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._resource import (
    Outcome,
    Resource,
    State,
    ensure_all,
    merge_tags,
    report,
    side_by_side,
)

#: The options that every such module has. Documented by the C(pasture.ollama.sets) fragment.
SET_OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "scope": {"type": "dict"},
    "purge": {"type": "bool", "default": False},
    "remove": {"type": "list", "elements": "str"},
    "purge_tags": {"type": "bool", "default": True},
}

#: To be given to AnsibleAWSModule with C(SET_OPTIONS).
SET_REQUIREMENTS: dict[str, Any] = {
    "required_if": [("purge", True, ("scope",))],
    "required_by": {"remove": ("scope",)},
}


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the user gave: Ansible fills in None for the others, at every depth."""
    return {key: _given(value) for key, value in options.items() if value is not None}


def _given(value: Any) -> Any:
    if isinstance(value, Mapping):
        return given(value)
    return [_given(item) for item in value] if isinstance(value, list) else value


Tags = Mapping[str, str]


class Candidate(NamedTuple):
    """Something in the account that may belong to a set: its tags decide.

    :ivar read_tags: asks AWS for them, where the list of such things left them out.
    """

    resource: Resource
    read_tags: Callable[[], Tags]


class Item(Resource):
    """One thing of a set, described by its options; a key that was not given is left alone.

    :param options: as the module got them; C(name) is its identity.
    :param purge_tags: whether tags that are not among its options are to go.
    """

    def __init__(self, api: Api, options: Mapping[str, Any], purge_tags: bool = True) -> None:
        super().__init__(str(options["name"]))
        self.api = api
        self.options = given(options)
        self.purge_tags = purge_tags

    def wanted(self, current: State | None) -> State:
        wanted = dict(self.options)
        if "tags" in wanted:
            wanted["tags"] = merge_tags((current or {}).get("tags"), wanted["tags"], self.purge_tags)
        return wanted


def run_set(
    module: Any,
    key: str,
    stages: Sequence[Sequence[Resource]],
    find: Callable[[Tags], Iterable[Candidate]],
    extra: Callable[[list[State]], dict[str, Any]] = lambda _states: {},
) -> NoReturn:
    """Bring the listed things to their state, deal with the unlisted ones, and end the module.

    :param key: under what the states are returned, in the order of the list.
    :param stages: the listed things; each stage may need the one before it (removed in reverse).
    :param find: what may belong to the scope; at the least all that does.
    :param extra: what else to return, made from the states of the listed things.
    """
    outcomes: list[Outcome] = []
    absent = module.params["state"] == "absent"
    for stage in reversed(stages) if absent else stages:
        outcomes += ensure_all(module, stage)

    unlisted = _unlisted(module, [r for stage in stages for r in stage], find)
    named = set(module.params["remove"] or ())
    surplus = [resource for resource in unlisted if module.params["purge"] or resource.name in named]
    removed = ensure_all(module, surplus, "absent")
    report(
        module,
        key,
        [*outcomes, *removed],
        many=True,
        unlisted=sorted(resource.name for resource in unlisted if resource not in surplus),
        removed=sorted(outcome.resource.name for outcome in removed if outcome.changed),
        **extra([outcome.after for outcome in outcomes if outcome.after is not None]),
    )


def _unlisted(
    module: Any, listed: Sequence[Resource], find: Callable[[Tags], Iterable[Candidate]]
) -> list[Resource]:
    scope: Tags = module.params["scope"]
    if not scope:
        return []
    known = [resource.identity() for resource in listed]
    try:
        candidates = [candidate for candidate in find(scope) if candidate.resource.identity() not in known]
        all_tags = side_by_side(lambda candidate: candidate.read_tags(), candidates)
    except AwsError as error:
        module.fail_json(
            msg=f"What else belongs to {scope} could not be listed ({error.operation}): {error.cause}. "
            f"To mend it: {error.remedy or 'see the message'}.",
            error_code=error.code,
        )
        raise AssertionError("fail_json does not return") from error
    return [
        candidate.resource
        for candidate, tags in zip(candidates, all_tags, strict=True)
        if all(tags.get(key) == value for key, value in scope.items())
    ]
