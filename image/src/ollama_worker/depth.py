# SPDX-License-Identifier: GPL-3.0-or-later
"""How many documents to hold around those in inference, so that the engine never waits for one."""

from __future__ import annotations

import math

# Enough to hide the calls to AWS, some 0.2 s, behind answers of a few hundredths of a second (embeddings).
_MOST = 16
# Of the newest document in the running average.
_WEIGHT = 0.2


class Depth:
    """The number of messages to have in hand besides one for each slot.

    By Little's law a document that takes `inside` seconds in its slot and `around` seconds before and
    after it needs ``slots * around / inside`` others on their way to keep the slots full. As many as there
    are slots cover answers of seconds that end together; only short answers need more.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._around = 0.0
        self._inside = 0.0

    def observe(self, around: float, inside: float) -> None:
        """Learn from a document that is done.

        :param around: seconds in hand, but for those in inference and waiting for it.
        :param inside: seconds in inference.
        """
        known = self._inside > 0.0
        self._around = self._around + _WEIGHT * (around - self._around) if known else around
        self._inside = self._inside + _WEIGHT * (inside - self._inside) if known else inside

    @property
    def ahead(self) -> int:
        """Messages in hand besides one for each slot."""
        least = max(2, self._slots)
        if self._inside <= 0.0:
            return least
        needed = math.ceil(self._slots * self._around / self._inside) + 1
        return max(least, min(needed, max(_MOST, self._slots)))
