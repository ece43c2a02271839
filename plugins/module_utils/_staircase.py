# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The staircase of a step-scaling policy: how many tasks for how many outstanding documents.

For internal use of this collection only.
"""

from __future__ import annotations

from dataclasses import dataclass

# "You can have up to 20 step adjustments per step scaling policy"
# https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-limits.html
MAX_STEPS = 20


@dataclass(frozen=True)
class Step:
    """From C(lower) outstanding documents on, below C(upper) (None: no end), run C(tasks) tasks."""

    lower: int
    upper: int | None
    tasks: int


def staircase(max_tasks: int, documents_per_task: int, max_steps: int = MAX_STEPS) -> list[Step]:
    """The steps from one outstanding document to the maximum of tasks.

    Where the steps are enough, each has one task more than the last and begins with the first
    document that the tasks before it are not meant for. Otherwise the task counts grow
    geometrically: few tasks differ by one where one more matters, many by a share. A step has as
    many tasks as its last document needs, so the staircase never asks for fewer than
    C(ceil(documents / documents_per_task)), up to the maximum.

    :param max_tasks: at least 1.
    :param documents_per_task: outstanding documents that one task is to clear, at least 1.
    :raises ValueError: when either is below 1.
    """
    if max_tasks < 1 or documents_per_task < 1:
        raise ValueError("A staircase needs at least one task and one document per task.")
    counts = _task_counts(max_tasks, max_steps)
    steps = []
    lower = 1
    for tasks in counts[:-1]:
        upper = tasks * documents_per_task + 1
        steps.append(Step(lower, upper, tasks))
        lower = upper
    return [*steps, Step(lower, None, counts[-1])]


def _task_counts(max_tasks: int, max_steps: int) -> list[int]:
    """Rising numbers of tasks, from 1 to C(max_tasks), at most C(max_steps) of them."""
    if max_tasks <= max_steps:
        return list(range(1, max_tasks + 1))
    counts = [1]
    while len(counts) < max_steps:
        remaining = max_steps - len(counts)
        ratio = (max_tasks / counts[-1]) ** (1 / remaining)
        counts.append(max(counts[-1] + 1, round(counts[-1] * ratio)))
    counts[-1] = max_tasks
    return counts


def step_adjustments(steps: list[Step], threshold: int = 1) -> list[dict[str, int]]:
    """The steps as Application Auto Scaling wants them: bounds relative to the alarm's threshold."""
    adjustments = []
    for step in steps:
        adjustment = {
            "metric_interval_lower_bound": step.lower - threshold,
            "scaling_adjustment": step.tasks,
        }
        if step.upper is not None:
            adjustment["metric_interval_upper_bound"] = step.upper - threshold
        adjustments.append(adjustment)
    return adjustments
