# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ends ansible-playbook, as a power cut would, when a number of tasks have been done."""

from __future__ import annotations

import os
import signal
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: stop_after
type: notification
short_description: End the playbook after a number of tasks
description:
  - For tests of what an interrupted run leaves behind.
  - Tasks that ask no AWS service leave nothing and are not counted.
options:
  tasks:
    description: How many tasks are done before the end.
    env:
      - name: PASTURE_STOP_AFTER
    type: int
    default: 0
author:
  - Contributors to the pasture.ollama project (@pasture)
"""

COLLECTIONS = ("pasture.ollama.", "amazon.aws.", "community.aws.")


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible ships no types
    """Counts, and ends the process."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "stop_after"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._done = 0

    def v2_runner_on_ok(self, result: Any) -> None:
        task = result.task if hasattr(result, "task") else result._task
        if not str(task.resolved_action or task.action).startswith(COLLECTIONS):
            return
        self._done += 1
        if self._done == self.get_option("tasks"):
            self._display.display(f"stopped after: {task.get_name()}")
            os.kill(os.getpid(), signal.SIGKILL)
