# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shared core of this collection's modules: read, compare, act, wait, report.

A module describes its resource by a subclass of C(Resource) and hands it to C(ensure); check mode,
diff mode, change detection and error messages are the same for all.

For internal use of this collection only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, NoReturn, TypeVar

from ansible_collections.pasture.ollama.plugins.module_utils._aws import AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import is_unknown

State = dict[str, Any]
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

# Enough to hide the latency of AWS behind each other, few enough not to be throttled.
_PARALLEL = 8


class WaitTimeout(Exception):
    """The resource did not get where it was going in time; C(last) is how it stood."""

    def __init__(self, waited_for: str, seconds: float, last: State | None) -> None:
        super().__init__(f"still not {waited_for} after {seconds:.0f} s (last seen: {last})")
        self.last = last


class Refusal(Exception):
    """What was asked cannot be done to the resource as it stands; the message says so and what to do."""


class Resource(ABC):
    """One AWS resource.

    States are dictionaries in the terms of the module's options (snake case, tags as a plain
    dictionary), so that a diff reads like the playbook.
    """

    #: What it is called in messages, such as C(EFS access point).
    kind: str

    #: Keys that are compared whole: AWS fills nothing in there, so that what is too much is a change too.
    exact_keys: frozenset[str] = frozenset({"tags"})

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def read(self) -> State | None:
        """The state it has now, or None when it does not exist."""

    @abstractmethod
    def wanted(self, current: State | None) -> State:
        """The state it should have. Keys that are left out are nobody's business."""

    @abstractmethod
    def create(self, wanted: State) -> None: ...

    @abstractmethod
    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None: ...

    @abstractmethod
    def delete(self, current: State) -> None: ...

    def identity(self) -> Any:
        """What it is found by. With a placeholder in it, it cannot exist yet and AWS is not asked."""
        return self.name

    def computed(self) -> State:
        """Placeholders for the keys that only AWS can fill in; shown by check mode before it exists."""
        return {}

    def settle(self, present: bool) -> None:  # noqa: B027 - most changes take effect at once
        """Wait until a change has taken effect. Called after create, update and delete."""


@dataclass(frozen=True)
class Outcome:
    """What C(ensure) did, or in check mode would do, to one resource."""

    resource: Resource
    changed: bool
    before: State | None
    after: State | None

    @property
    def diff(self) -> dict[str, Any]:
        """Before and after of the keys that changed, for Ansible's C(--diff)."""
        name = f"{self.resource.kind} {self.resource.name}"
        before, after = self.before or {}, self.after or {}
        if self.before is not None and self.after is not None:
            keys = {key for key in after if before.get(key) != after.get(key)} if self.changed else set()
            before = {key: before[key] for key in sorted(keys) if key in before}
            after = {key: after[key] for key in sorted(keys)}
        return {"before_header": name, "after_header": name, "before": before, "after": after}


def differing_keys(current: State, wanted: State, exact: frozenset[str] = Resource.exact_keys) -> set[str]:
    """The keys of C(wanted) whose value C(current) does not already have.

    Dictionaries are compared by the keys that C(wanted) names, at every depth, since AWS fills in
    defaults for the others. The keys of C(exact) are compared whole, such as C(tags), of which
    C(merge_tags) has already kept those that stay: a surplus one is to go.
    """
    return {
        key
        for key, value in wanted.items()
        if (current.get(key) != value if key in exact else not _covers(current.get(key), value))
    }


def _covers(current: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(current, dict):
        return all(_covers(current.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(current, list):
        return len(current) == len(wanted) and all(map(_covers, current, wanted))
    return bool(current == wanted)


def merge_tags(current: dict[str, str] | None, given: dict[str, str] | None, purge: bool) -> dict[str, str]:
    """The tags a resource should have: C(given) is None leaves them alone; C(aws:) tags are AWS's own."""
    present = current or {}
    if given is None:
        return present
    kept = {key: value for key, value in present.items() if key.startswith("aws:") or not purge}
    return {**kept, **given}


def ensure(resource: Resource, state: str = "present", check_mode: bool = False) -> Outcome:
    """Bring one resource to C(state).

    :raises AwsError: when AWS refuses.
    :raises Refusal: when the module does.
    :raises WaitTimeout: when it does not settle.
    """
    current = None if is_unknown(resource.identity()) else resource.read()
    if state == "absent":
        if current is None:
            return Outcome(resource, False, None, None)
        if not check_mode:
            resource.delete(current)
            resource.settle(present=False)
        return Outcome(resource, True, current, None)

    wanted = resource.wanted(current)
    if current is None:
        if check_mode:
            return Outcome(resource, True, None, {**resource.computed(), **wanted})
        resource.create(wanted)
        resource.settle(present=True)
        return Outcome(resource, True, None, resource.read() or wanted)

    keys = differing_keys(current, wanted, resource.exact_keys)
    if not keys:
        return Outcome(resource, False, current, current)
    if check_mode:
        return Outcome(resource, True, current, {**current, **wanted})
    resource.update(current, wanted, keys)
    resource.settle(present=True)
    return Outcome(resource, True, current, resource.read() or wanted)


def ensure_all(module: Any, resources: Sequence[Resource], state: str | None = None) -> list[Outcome]:
    """Bring like resources to their state side by side; end the module when one of them fails.

    All are tried, so that one refusal does not hide the others; what was done is reported with the
    failure, and the next run finds it.
    """
    target = state or module.params.get("state") or "present"

    def attempt(resource: Resource) -> Outcome | Exception:
        try:
            return ensure(resource, target, module.check_mode)
        except (AwsError, Refusal, WaitTimeout) as error:
            return error

    results = side_by_side(attempt, resources)
    failures = [(r, e) for r, e in zip(resources, results, strict=True) if isinstance(e, Exception)]
    done = [outcome for outcome in results if isinstance(outcome, Outcome)]
    if failures:
        _fail(module, failures, done, "removed" if target == "absent" else "brought to the wanted state")
    return done


def side_by_side(function: Callable[[_Given], _Made], things: Sequence[_Given]) -> list[_Made]:
    """What C(function) makes of each of C(things), in their order; it may wait for AWS.

    :raises Exception: the first that one of the calls raised.
    """
    if len(things) <= 1:
        return [function(thing) for thing in things]
    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        return list(pool.map(function, things))


def _fail(
    module: Any, failures: Sequence[tuple[Resource, Exception]], done: Sequence[Outcome], goal: str
) -> NoReturn:
    sentences = []
    for resource, error in failures:
        remedy = error.remedy if isinstance(error, AwsError) else ""
        cause = error.cause if isinstance(error, AwsError) else error
        operation = f" ({error.operation})" if isinstance(error, AwsError) else ""
        ending = f". To mend it: {remedy}." if remedy else "."
        sentences.append(
            f"{resource.kind} {resource.name} could not be {goal}{operation}: {str(cause).rstrip('.')}{ending}"
        )
    first = failures[0][1]
    details: dict[str, Any] = {
        "changed": any(outcome.changed for outcome in done),
        "completed": [
            f"{outcome.resource.kind} {outcome.resource.name}" for outcome in done if outcome.changed
        ],
    }
    if isinstance(first, AwsError):
        details["error_code"] = first.code
    module.fail_json(msg=" ".join(sentences), **details)
    raise AssertionError("fail_json does not return")  # for the type checker: AnsibleModule is untyped


def report(module: Any, key: str, outcomes: Sequence[Outcome], many: bool = False, **extra: Any) -> NoReturn:
    """End the module well: C(changed), C(diff), and the state or states under C(key)."""
    states = [outcome.after for outcome in outcomes if outcome.after is not None or not many]
    result: dict[str, Any] = {"changed": any(outcome.changed for outcome in outcomes), **extra}
    result[key] = states if many else (states[0] if states else None)
    if getattr(module, "_diff", False):
        diffs = [outcome.diff for outcome in outcomes if outcome.changed or not many]
        result["diff"] = diffs if many else diffs[0]
    module.exit_json(**result)
    raise AssertionError("exit_json does not return")  # for the type checker: AnsibleModule is untyped


def wait_until(
    waited_for: str,
    probe: Callable[[], State | None],
    reached: Callable[[State | None], bool],
    timeout: float,
    interval: float = 5.0,
) -> State | None:
    """Poll C(probe) every C(interval) seconds, sooner at first, until C(reached) says so.

    :raises WaitTimeout: after C(timeout) seconds, with the last state.
    """
    deadline = monotonic() + timeout
    pause = min(0.5, interval)
    while True:
        last = probe()
        if reached(last):
            return last
        if monotonic() + pause > deadline:
            raise WaitTimeout(waited_for, timeout, last)
        sleep(pause)
        pause = min(interval, pause * 2)
