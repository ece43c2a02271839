# SPDX-License-Identifier: GPL-3.0-or-later
"""A deploy that is cut off anywhere is completed by the next one, and what it has left is removed by destroy.

``PASTURE_INTERRUPT_EVERY=1`` stops after every task that asks AWS; the default is what a build machine has time for.
"""

from __future__ import annotations

import pytest
from trial import EVERY, Account

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_a_deploy_that_stops_after_any_task_can_be_completed_or_removed(account: Account) -> None:
    tasks = EVERY
    while (interrupted := account.deploy(stop_after=tasks)).stopped:
        completed, removed = account.copy(), account.copy()
        runs = completed.start("deploy"), removed.start("destroy")
        for run in runs:
            assert run.wait().well, f"{interrupted.text[-200:]}\n{run.text}"
        assert removed.left() == [], interrupted.text[-200:]
        for copy in (completed, removed):
            copy.end()
        tasks += EVERY
    # It was interrupted as often as that, and is whole all the same.
    assert interrupted.well, interrupted.text
    assert account.deploy().changed == 0
