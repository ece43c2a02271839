# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reader is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ollama_worker.settings import Limits


@dataclass(frozen=True, slots=True)
class Request:
    """A document to read.

    :ivar vision: whether pictures are of use to the model.
    """

    path: Path
    kind: str
    limits: Limits
    vision: bool
