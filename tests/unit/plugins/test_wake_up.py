# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The function that wakes services: at most one update, whatever happens around it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ClientError

SOURCE = Path(__file__).parents[3] / "roles" / "scaling" / "files" / "wake_up" / "wake_up.py"
EVENT = {
    "stack": "docs",
    "processor": "summarize",
    "cluster": "pasture-docs",
    "service": "pasture-docs-summarize",
    "auto_scaling_group": "pasture-docs-summarize",
    "queue": "pasture-docs-summarize",
    "documents_per_task": 4,
    "max_tasks": 10,
    "tasks_per_instance": 2,
}


@pytest.fixture(scope="module")
def wake_up() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wake_up", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclass looks for the types of its fields
    spec.loader.exec_module(module)
    return module


class Account:
    """The services the function talks to, with one ECS service, one Auto Scaling group and one queue."""

    def __init__(self, desired: int = 0, capacity: int = 0, status: str = "ACTIVE") -> None:
        self.services = [{"desiredCount": desired, "status": status}]
        self.groups = [{"DesiredCapacity": capacity}]
        self.documents = 1
        self.calls: list[str] = []
        self.refused: dict[str, str] = {}

    def client(self, _service: str) -> Account:
        return self

    def _called(self, operation: str) -> None:
        self.calls.append(operation)
        code = self.refused.get(operation)
        if code:
            raise ClientError({"Error": {"Code": code, "Message": code}}, operation)

    def describe_services(self, **_: Any) -> dict[str, Any]:
        self._called("describe_services")
        return {"services": [dict(service) for service in self.services]}

    def update_service(self, *, cluster: str, service: str, desiredCount: int) -> None:  # noqa: N803 - AWS's name
        self._called("update_service")
        assert (cluster, service) == (EVENT["cluster"], EVENT["service"])
        self.services[0]["desiredCount"] = desiredCount

    def describe_auto_scaling_groups(self, **_: Any) -> dict[str, Any]:
        self._called("describe_auto_scaling_groups")
        return {"AutoScalingGroups": self.groups}

    def set_desired_capacity(self, **request: Any) -> None:
        self._called("set_desired_capacity")
        self.groups[0]["DesiredCapacity"] = request["DesiredCapacity"]

    def get_queue_url(self, *, QueueName: str) -> dict[str, str]:  # noqa: N803 - AWS's name
        self._called("get_queue_url")
        return {"QueueUrl": f"https://sqs.eu-west-1.amazonaws.com/123456789012/{QueueName}"}

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        self._called("get_queue_attributes")
        return {"Attributes": {"ApproximateNumberOfMessages": str(self.documents)}}

    def put_metric_data(self, **_: Any) -> None:
        self._called("put_metric_data")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def woken(wake_up: ModuleType, account: Account, clock: Clock | None = None) -> Any:
    return wake_up.WakeUp(account.client, clock or Clock())


def test_a_service_at_zero_gets_one_task_and_one_instance(wake_up: ModuleType) -> None:
    account = Account()
    assert woken(wake_up, account).wake(wake_up.Target(**EVENT)) == "woken"
    assert account.services[0]["desiredCount"] == 1
    assert account.groups[0]["DesiredCapacity"] == 1


@pytest.mark.parametrize(
    ("documents", "tasks", "instances"), [(0, 1, 1), (4, 1, 1), (5, 2, 1), (9, 3, 2), (1_000_000, 10, 5)]
)
def test_a_burst_is_met_with_the_tasks_it_needs(
    wake_up: ModuleType, documents: int, tasks: int, instances: int
) -> None:
    account = Account()
    account.documents = documents
    assert woken(wake_up, account).wake(wake_up.Target(**EVENT)) == "woken"
    assert account.services[0]["desiredCount"] == tasks
    assert account.groups[0]["DesiredCapacity"] == instances
    assert account.calls.count("update_service") == 1


@pytest.mark.parametrize("operation", ["get_queue_url", "get_queue_attributes"])
def test_documents_that_cannot_be_counted_are_at_least_one(wake_up: ModuleType, operation: str) -> None:
    account = Account()
    account.refused = {operation: "AccessDenied"}
    assert woken(wake_up, account).wake(wake_up.Target(**EVENT)) == "woken"
    assert account.services[0]["desiredCount"] == 1


def test_the_metrics_of_every_queue_are_kept_alive(
    wake_up: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account = Account()
    monkeypatch.setattr(wake_up, "_client", account.client)
    wake_up._wake_up.cache_clear()
    assert wake_up.handler({"queues": ["one", "two"]}, None) == {"outcome": "kept 2"}
    assert account.calls.count("get_queue_attributes") == 2
    account.refused = {"get_queue_url": "AWS.SimpleQueueService.NonExistentQueue"}
    assert wake_up.handler({"queues": ["gone"]}, None) == {"outcome": "kept 0"}
    assert '"queue": "gone"' in capsys.readouterr().out


def test_the_idle_alarm_is_told_before_the_service_is_woken(wake_up: ModuleType) -> None:
    account = Account()
    woken(wake_up, account).wake(wake_up.Target(**EVENT))
    assert account.calls.index("put_metric_data") < account.calls.index("update_service")


def test_a_service_above_zero_is_left_alone(wake_up: ModuleType) -> None:
    account = Account(desired=7, capacity=3)
    assert woken(wake_up, account).wake(wake_up.Target(**EVENT)) == "awake"
    assert account.calls == ["describe_services"]
    assert account.services[0]["desiredCount"] == 7


def test_instances_that_are_still_there_are_not_taken_away(wake_up: ModuleType) -> None:
    account = Account(capacity=4)
    assert woken(wake_up, account).wake(wake_up.Target(**EVENT)) == "woken"
    assert account.groups[0]["DesiredCapacity"] == 4
    assert "set_desired_capacity" not in account.calls


def test_a_thousand_events_make_one_update_and_one_look(wake_up: ModuleType) -> None:
    account = Account()
    function = woken(wake_up, account)
    outcomes = [function.wake(wake_up.Target(**EVENT)) for _time in range(1000)]
    assert outcomes == ["woken"] + ["awake"] * 999
    assert account.calls.count("update_service") == 1
    assert account.calls.count("describe_services") == 1


def test_two_sandboxes_make_one_update(wake_up: ModuleType) -> None:
    account = Account()
    sandboxes = [woken(wake_up, account) for _time in range(2)]
    outcomes = [sandbox.wake(wake_up.Target(**EVENT)) for sandbox in sandboxes]
    assert outcomes == ["woken", "awake"]
    assert account.calls.count("update_service") == 1


def test_it_looks_again_later_and_wakes_again_after_the_service_went_to_zero(wake_up: ModuleType) -> None:
    account, clock = Account(), Clock()
    function = woken(wake_up, account, clock)
    function.wake(wake_up.Target(**EVENT))
    account.services[0]["desiredCount"] = 0
    clock.now = wake_up.SEEN_FOR - 1
    assert function.wake(wake_up.Target(**EVENT)) == "awake"
    clock.now = wake_up.SEEN_FOR
    assert function.wake(wake_up.Target(**EVENT)) == "woken"


def test_two_processors_do_not_hide_each_other(wake_up: ModuleType) -> None:
    account = Account()
    function = woken(wake_up, account)
    assert function.wake(wake_up.Target(**EVENT)) == "woken"
    account.services[0]["desiredCount"] = 0
    assert function.wake(wake_up.Target(**{**EVENT, "processor": "translate"})) == "woken"


@pytest.mark.parametrize("code", ["ThrottlingException", "Throttling", "RequestLimitExceeded"])
@pytest.mark.parametrize("operation", ["describe_services", "update_service"])
def test_a_throttled_function_gives_up_without_a_second_try(
    wake_up: ModuleType, operation: str, code: str
) -> None:
    account = Account()
    account.refused = {operation: code}
    assert woken(wake_up, account).wake(wake_up.Target(**EVENT)) == "throttled"
    assert account.calls.count(operation) == 1
    assert account.services[0]["desiredCount"] == 0


@pytest.mark.parametrize(
    "operation", ["put_metric_data", "describe_auto_scaling_groups", "set_desired_capacity"]
)
def test_the_service_is_woken_although_the_rest_is_refused(wake_up: ModuleType, operation: str) -> None:
    account = Account()
    account.refused = {operation: "ThrottlingException"}
    assert woken(wake_up, account).wake(wake_up.Target(**EVENT)) == "woken"
    assert account.services[0]["desiredCount"] == 1


def test_a_service_or_cluster_that_is_not_there_is_no_error(wake_up: ModuleType) -> None:
    gone = Account()
    gone.services = []
    assert woken(wake_up, gone).wake(wake_up.Target(**EVENT)) == "missing"
    no_cluster = Account()
    no_cluster.refused = {"describe_services": "ClusterNotFoundException"}
    assert woken(wake_up, no_cluster).wake(wake_up.Target(**EVENT)) == "missing"


def test_a_service_that_is_being_deleted_stays_asleep(wake_up: ModuleType) -> None:
    account = Account(status="DRAINING")
    assert woken(wake_up, account).wake(wake_up.Target(**EVENT)) == "missing"
    assert account.calls == ["describe_services"]


def test_a_missing_permission_is_an_error_that_shows(wake_up: ModuleType) -> None:
    account = Account()
    account.refused = {"update_service": "AccessDeniedException"}
    with pytest.raises(ClientError, match="AccessDenied"):
        woken(wake_up, account).wake(wake_up.Target(**EVENT))


def test_the_handler_tells_in_one_line_of_json(
    wake_up: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account = Account()
    monkeypatch.setattr(wake_up, "_client", account.client)
    wake_up._wake_up.cache_clear()
    assert wake_up.handler(EVENT, None) == {"outcome": "woken"}
    assert capsys.readouterr().out == '{"message": "woken", "stack": "docs", "processor": "summarize"}\n'
    assert wake_up.handler(EVENT, None) == {"outcome": "awake"}
    assert capsys.readouterr().out == ""
