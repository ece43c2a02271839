# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of models: ``[[host/]namespace/]model[:tag]``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HOST, NAMESPACE, TAG = "registry.ollama.ai", "library", "latest"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")


class InvalidNameError(ValueError):
    """The text is not the name of a model."""


@dataclass(frozen=True)
class ModelName:
    """A complete name."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def path(self) -> Path:
        """Where its manifest is, below the folder of manifests."""
        return Path(self.host, self.namespace, self.model, self.tag)

    @property
    def shortest(self) -> str:
        """As people write it, always with the tag."""
        if self.host != HOST:
            return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"
        if self.namespace != NAMESPACE:
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"


def parse(text: str) -> ModelName:
    """The complete name that a text stands for.

    :raises InvalidNameError: when it is none.
    """
    head, _, last = text.rpartition("/")
    model, _, tag = last.partition(":")
    host, _, namespace = head.rpartition("/")
    name = ModelName(host or HOST, namespace or NAMESPACE, model, tag or TAG)
    parts = (name.namespace, name.model, name.tag)
    if not _HOST.fullmatch(name.host) or not all(_PART.fullmatch(part) for part in parts):
        raise InvalidNameError(text)
    return name
