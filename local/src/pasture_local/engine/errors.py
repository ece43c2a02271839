# SPDX-License-Identifier: GPL-3.0-or-later
"""An error as a client sees it."""

from __future__ import annotations


class ApiError(Exception):
    """An HTTP status, and the text of the ``error`` field."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
