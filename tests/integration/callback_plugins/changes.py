# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes down what a run changed, or in check mode would change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: changes
type: notification
short_description: Write down what changed
description:
  - For tests that compare what a run foretold with what the next one did.
  - Writes one line of JSON for each changed task, with its name and its diff.
options:
  file:
    description: Where to.
    env:
      - name: PASTURE_CHANGES
    type: path
author:
  - Contributors to the pasture.ollama project (@pasture)
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible ships no types
    """Appends to the file."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "changes"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_ok(self, result: Any) -> None:
        told = result.result if hasattr(result, "result") else result._result
        path = self.get_option("file")
        if not path or not told.get("changed"):
            return
        task = result.task if hasattr(result, "task") else result._task
        line = {"task": task.get_name(), "diff": told.get("diff")}
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")
