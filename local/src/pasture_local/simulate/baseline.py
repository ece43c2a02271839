# SPDX-License-Identifier: GPL-3.0-or-later
"""The baseline: how Project Lakechain scales its Ollama processor.

Each minute a function counts the visible documents and starts tasks for them, as
``packages/constructs/ecs-cluster/src/lambdas/ecs-task-autoscaler/index.ts`` of
https://github.com/awslabs/project-lakechain does with ``maxMessagesPerTask: 2``
(``packages/middlewares/text-processors/ollama-processor/src/index.ts``). A task takes one document at
a time and ends after a poll of 20 seconds that brought nothing.
"""

from __future__ import annotations

from pasture_local.simulate.plant import Decision, View

_NOTHING = Decision()


class Lakechain:
    """A function each minute; tasks that leave by themselves."""

    leaves_after: float | None = 20.0

    def __init__(self, max_tasks: int, documents_per_task: int = 2) -> None:
        self._max_tasks = max_tasks
        self._documents_per_task = documents_per_task

    def on_arrival(self, view: View) -> Decision:
        """Nothing: it looks once a minute only."""
        del view
        return _NOTHING

    def every_minute(self, view: View) -> Decision:
        """Start tasks as its ``calculateTasksToRun`` says."""
        scheduled = view.tasks_ready + view.tasks_pending
        if view.visible == 0 or scheduled >= self._max_tasks:
            return _NOTHING
        potential = view.tasks_pending * self._documents_per_task
        count = view.visible // potential if potential else -(-view.visible // self._documents_per_task)
        return Decision(desired=scheduled + min(count, self._max_tasks - scheduled))
