# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompt templates: plain substitution of a few names, in one pass.

There is no language in these templates on purpose. A document is untrusted text, and what is put in
is never looked at again, so a document that says ``{{ key }}`` keeps saying so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: What the answers about the parts of a document are combined with when the user names no other.
DEFAULT_COMBINE_PROMPT = (
    "{{ document }}\n\n"
    "The numbered texts above are about the parts of one document, in its order. Use all of them, say nothing "
    "twice, do not mention parts or numbers, and do this for the whole document: {{ prompt }}"
)

NAMES = ("document", "metadata", "key", "prompt", "parts")

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.]*)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Context:
    """What the placeholders of a template stand for."""

    document: str
    key: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = ""
    parts: int = 1

    def value(self, name: str) -> str:
        """The text of a placeholder; a path below ``metadata`` that is not there is empty."""
        root, _, path = name.partition(".")
        if root == "metadata":
            return _metadata(self.metadata, path)
        return str(getattr(self, root))


def check_template(template: str) -> None:
    """Refuse a template that names something unknown.

    :raises ValueError: with a sentence that lists what can be named.
    """
    for match in _PLACEHOLDER.finditer(template):
        root, dot, _ = match.group(1).partition(".")
        if root not in NAMES or (dot and root != "metadata"):
            raise ValueError(
                f"'{match.group(0)}' is unknown; a prompt can name {', '.join(NAMES)} and metadata.<name>."
            )


def render(template: str, context: Context) -> str:
    """The prompt for a document: the template with its placeholders filled in.

    A template that does not say where the document goes gets it at its end.
    """
    filled = _PLACEHOLDER.sub(lambda match: context.value(match.group(1)), template)
    if names(template, "document") or not context.document:
        return filled
    return f"{filled}\n\n{context.document}"


def names(template: str, root: str) -> bool:
    """Whether a template has a placeholder for `root`."""
    return any(match.group(1).partition(".")[0] == root for match in _PLACEHOLDER.finditer(template))


def _metadata(metadata: Mapping[str, Any], path: str) -> str:
    value: Any = metadata
    for name in filter(None, path.split(".")):
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
