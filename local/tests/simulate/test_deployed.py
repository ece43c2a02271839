# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployed scaling, run: the alarms and policies that were read back, with the delays of AWS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pasture_local.simulate.deployed import Delays, Deployed, Scaling, ScalingError, read
from pasture_local.simulate.plant import Load, Record, View, simulate
from pasture_local.simulate.results import changes_of_direction, waits
from pasture_local.simulate.trace import parse_trace

ROOT = Path(__file__).parents[3]
# At most 5 instances with a task each, 2 documents for a task, idle for 5 minutes: the collection's defaults.
DEFAULT = Scaling.load(ROOT / "docs" / "scaling" / "default.json")
AT_ONCE = Load(document_seconds=10, boot_seconds=0, pull_seconds=0, load_seconds=0, provider_seconds=0)
DELAYS = Delays(metric=60, revival=900)
DAY = 86_400


def run(trace: str, scaling: Scaling = DEFAULT, load: Load = AT_ONCE, delays: Delays = DELAYS) -> Record:
    return simulate(parse_trace(trace).per_tick(1), 1, load, Deployed(scaling, delays), DAY)


def view(second: int, visible: int, desired: int = 0, **changes: int) -> View:
    seen = View(second, visible, 0, desired, 0, desired, desired, visible)
    return replace(seen, **changes)


@pytest.mark.parametrize(("documents", "tasks"), [(1, 1), (2, 1), (3, 2), (9, 5), (1000, 5)])
def test_documents_that_find_the_service_at_zero_wake_what_they_need(documents: int, tasks: int) -> None:
    decision = Deployed(DEFAULT, DELAYS).on_arrival(view(30, documents))
    assert (decision.desired, decision.instances) == (tasks, tasks)


def test_a_service_above_zero_is_left_to_the_alarms() -> None:
    assert Deployed(DEFAULT, DELAYS).on_arrival(view(30, 1000, desired=1)).desired is None


def test_without_a_wake_up_function_the_alarm_does_it_when_the_metrics_come() -> None:
    record = run("burst:100,at=30", replace(DEFAULT, wake_up=None))
    # Landed in the first minute, published with it, seen a minute later.
    assert int(record.desired.nonzero()[0][0]) == 120
    assert record.desired[120] == 5


def test_no_metric_comes_sooner_than_its_delay() -> None:
    late = run("burst:100,at=30", replace(DEFAULT, wake_up=None), delays=Delays(metric=180, revival=900))
    assert int(late.desired.nonzero()[0][0]) == 240


def test_metrics_of_a_queue_that_was_quiet_for_six_hours_come_back_late() -> None:
    kept = replace(DEFAULT, wake_up=None)
    forgotten = replace(kept, keeps_metrics=False)
    trace = "trickle:28800,hours=9"
    assert waits(run(trace, kept)).max() <= 120
    assert 900 <= waits(run(trace, forgotten))[-1] <= 1020


def test_the_idle_minutes_are_counted_from_the_last_document() -> None:
    record = run("burst:5,at=0")
    done = int(record.starts.nonzero()[0][-1]) + 10
    zero = int(record.desired.nonzero()[0][-1]) + 1
    # Five periods of a minute, seen a minute late, and evaluated at the end of the minute.
    assert 5 * 60 <= zero - done <= 7 * 60
    assert record.instances[-1] == 0


@settings(max_examples=60, deadline=None)
@given(documents=st.integers(1, 2000), seconds=st.integers(1, 90), at=st.integers(0, 59))
def test_a_burst_turns_once_and_never_passes_the_maximum(documents: int, seconds: int, at: int) -> None:
    load = Load(document_seconds=seconds)
    record = run(f"burst:{documents},at={at}", load=load)
    assert record.starts.sum() == documents
    assert changes_of_direction(record.desired) == 1
    assert record.desired.max() <= 5
    assert record.instances.max() <= 5
    assert record.instances[-1] == 0


def test_a_saved_scaling_is_read_back_as_it_was(tmp_path: Path) -> None:
    DEFAULT.save(tmp_path / "saved.json")
    assert Scaling.load(tmp_path / "saved.json") == DEFAULT


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is no scaling written by"),
        ('{"name": 1}', "is no scaling written by"),
    ],
)
def test_a_file_that_is_no_scaling_is_refused_in_words(
    tmp_path: Path, content: str | None, sentence: str
) -> None:
    file = tmp_path / "scaling.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ScalingError, match=sentence):
        Scaling.load(file)


class Account:
    """An account that answers what it is given, by operation."""

    region_name = "eu-west-1"

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def client(self, _service: str) -> Any:
        return self

    def get_paginator(self, operation: str) -> Any:
        class Paginator:
            def paginate(_self, **_: Any) -> list[Any]:  # noqa: N805 - self is the account
                return [self.answers[operation]]

        return Paginator()

    def __getattr__(self, operation: str) -> Any:
        return lambda **_: self.answers[operation]


def test_a_processor_that_is_not_deployed_is_named() -> None:
    account = Account(describe_scalable_targets={"ScalableTargets": []})
    with pytest.raises(ScalingError, match="no processor 'summarise' of a stack 'docs' in eu-west-1: deploy"):
        read(account, "docs", "summarise")


def test_a_deploy_that_stopped_half_way_is_told() -> None:
    account = Account(
        describe_scalable_targets={"ScalableTargets": [{"MinCapacity": 0, "MaxCapacity": 5}]},
        describe_auto_scaling_groups={"AutoScalingGroups": [{"MaxSize": 5}]},
        describe_scaling_policies={"ScalingPolicies": []},
        describe_policies={"ScalingPolicies": []},
        describe_alarms={"MetricAlarms": [{"AlarmName": "x", "AlarmActions": ["arn:aws:sns:x"]}]},
    )
    with pytest.raises(ScalingError, match="run the deploy playbook to the end"):
        read(account, "docs", "summarize")
