# SPDX-License-Identifier: GPL-3.0-or-later
"""What moto lacks or gets wrong, mended in place: one module per AWS service.

Each patch says what moto does, and which page of the AWS documentation says what it should do. A patch
changes moto in the memory of the emulator's process only.
"""

from __future__ import annotations


def apply(functions_url: str | None) -> None:
    """Apply all patches. Call it once, before the server is made."""
    del functions_url
