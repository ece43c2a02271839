# SPDX-License-Identifier: GPL-3.0-or-later
"""The least that a worker has to be told."""

from __future__ import annotations

NEEDED = {
    "PASTURE_STACK": "t",
    "PASTURE_PROCESSOR": "p",
    "PASTURE_QUEUE_URL": "-",
    "PASTURE_RESULTS_BUCKET": "-",
    "PASTURE_MODEL_PARAMETER": "-",
    "PASTURE_PROMPT": "Q",
}
