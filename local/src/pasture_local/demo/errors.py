# SPDX-License-Identifier: GPL-3.0-or-later
"""How a demonstration fails."""

from __future__ import annotations


class DemoError(Exception):
    """It did not end as it should; the message is a sentence for the user."""
