# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pasture.ollama.plugins.module_utils._staircase import (
    MAX_STEPS,
    Step,
    staircase,
    step_adjustments,
)

maximums = st.integers(1, 1000)
shares = st.integers(1, 500)


def tasks_for(documents: int, steps: list[Step]) -> int:
    (found,) = [s.tasks for s in steps if s.lower <= documents and (s.upper is None or documents < s.upper)]
    return found


def test_a_small_staircase_has_one_step_per_task() -> None:
    assert staircase(3, 2) == [Step(1, 3, 1), Step(3, 5, 2), Step(5, None, 3)]


def test_one_task_is_one_open_step() -> None:
    assert staircase(1, 500) == [Step(1, None, 1)]


@given(maximums, shares)
def test_steps_cover_every_number_of_documents_once_and_end_open(max_tasks: int, share: int) -> None:
    steps = staircase(max_tasks, share)
    assert 1 <= len(steps) <= MAX_STEPS
    assert steps[0].lower == 1
    assert steps[-1].upper is None
    assert all(left.upper == right.lower for left, right in itertools.pairwise(steps))
    assert all(step.upper is None or step.lower < step.upper for step in steps)


@given(maximums, shares)
def test_tasks_rise_from_one_to_the_maximum(max_tasks: int, share: int) -> None:
    counts = [step.tasks for step in staircase(max_tasks, share)]
    assert counts[0] == 1
    assert counts[-1] == max_tasks
    assert counts == sorted(set(counts))


@given(maximums, shares, st.integers(1, 1_000_000))
def test_there_are_always_enough_tasks_and_never_far_too_many(
    max_tasks: int, share: int, documents: int
) -> None:
    tasks = tasks_for(documents, staircase(max_tasks, share))
    needed = min(max_tasks, math.ceil(documents / share))
    assert needed <= tasks <= max_tasks
    # 20 steps over three orders of magnitude: neighbours differ by less than half, or by one.
    assert tasks <= max(needed + 1, needed * 1.6)


@given(maximums, shares, st.integers(1, 100))
def test_bounds_are_relative_to_the_threshold(max_tasks: int, share: int, threshold: int) -> None:
    steps = staircase(max_tasks, share)
    for step, adjustment in zip(steps, step_adjustments(steps, threshold), strict=True):
        assert adjustment["metric_interval_lower_bound"] + threshold == step.lower
        assert adjustment.get("metric_interval_upper_bound", -1) == (
            -1 if step.upper is None else step.upper - threshold
        )


@pytest.mark.parametrize(("max_tasks", "share"), [(0, 1), (1, 0), (-3, 2)])
def test_nonsense_is_refused(max_tasks: int, share: int) -> None:
    with pytest.raises(ValueError, match="at least one task"):
        staircase(max_tasks, share)
