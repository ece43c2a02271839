# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS asks of a request and botocore does not look at: name patterns, lengths, ranges and values.

botocore checks before it sends that what is required is there and of the right type, and that texts are not too
short; AWS checks the rest. ``model`` knows what the service models say (the very files that botocore has),
``documented`` what only the API reference does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pasture_local.emulator.constraints import documented, model


def violations(service: str, operation: str, parameters: Mapping[str, Any]) -> list[str]:
    """One sentence for each constraint that a request does not meet, as AWS words them.

    :param service: as botocore calls it.
    :param operation: as in the API reference.
    :param parameters: as botocore takes them.
    """
    return [
        *model.violations(service, operation, parameters),
        *documented.violations(service, operation, parameters),
    ]
