# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One C(module_defaults) reaches every module."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]


def test_the_action_group_lists_every_module_that_talks_to_aws() -> None:
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())
    listed = [entry for entry in runtime["action_groups"]["aws"] if isinstance(entry, str)]
    modules = sorted(
        path.stem
        for path in (ROOT / "plugins" / "modules").glob("*.py")
        if "AnsibleAWSModule(" in path.read_text(encoding="utf-8")
    )
    assert listed == modules
