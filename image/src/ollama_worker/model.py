# SPDX-License-Identifier: GPL-3.0-or-later
"""The model's definition, as `pasture.ollama.ollama_model` stores it in SSM Parameter Store."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ollama_worker.errors import SettingsError

#: The schema of definitions that this worker reads; it ignores keys it does not know.
SCHEMA_VERSION = 1

_S3_URL = re.compile(r"s3://[^/\s]+/\S+")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ModelDefinition:
    """A model that the registry knows.

    :ivar context_length: tokens that the model was trained for, 0 when unknown.
    :ivar options: Ollama options that always go with the model.
    :ivar origin: where the model comes from when not from Ollama's library (``s3://bucket/key``).
    :ivar digest: ``sha256:...`` that the object at `origin` must have; None when any will do.
    :ivar modelfile: where the Modelfile is that goes with a GGUF file at `origin` (``s3://bucket/key``).
    """

    name: str
    tag: str
    family: str = ""
    capabilities: tuple[str, ...] = ("completion",)
    inputs: tuple[str, ...] = ("text/plain",)
    outputs: tuple[str, ...] = ("text/plain",)
    context_length: int = 0
    size: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    origin: str | None = None
    digest: str | None = None
    modelfile: str | None = None

    @property
    def origin_mark(self) -> str:
        """Which weights of the user's own it is made of; empty for a model of Ollama's library."""
        return (
            " ".join([self.origin, self.digest or "", *filter(None, [self.modelfile])]) if self.origin else ""
        )

    @property
    def reference(self) -> str:
        """``name:tag``."""
        return f"{self.name}:{self.tag}"

    @property
    def vision(self) -> bool:
        """Whether the model reads images."""
        return "vision" in self.capabilities or any(name.startswith("image/") for name in self.inputs)


def parse_definition(text: str, parameter: str) -> ModelDefinition:
    """Read a stored definition.

    :param parameter: the name of the parameter, for messages.
    :raises SettingsError: when the definition is broken or of a later schema.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"The model definition in {parameter} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise SettingsError(f"The model definition in {parameter} is not a JSON object.")
    version = value.get("schema_version")
    if not isinstance(version, int) or version < 1:
        raise SettingsError(f"The model definition in {parameter} has no schema_version.")
    if version > SCHEMA_VERSION:
        raise SettingsError(
            f"The model definition in {parameter} has schema version {version}; this worker reads up to "
            f"{SCHEMA_VERSION}. Deploy an image of the same release as the collection."
        )
    context_length = value.get("context_length")
    size = value.get("size")
    options = value.get("options") or {}
    if not isinstance(options, dict):
        raise SettingsError(f"The model definition in {parameter} has 'options' that are no object.")
    return ModelDefinition(
        name=_text(value, "name", parameter),
        tag=_text(value, "tag", parameter),
        family=str(value.get("family") or ""),
        capabilities=_list(value, "capabilities", parameter, ("completion",)),
        inputs=_list(value, "inputs", parameter),
        outputs=_list(value, "outputs", parameter),
        context_length=context_length if isinstance(context_length, int) else 0,
        size=size if isinstance(size, int) else 0,
        options=options,
        origin=_optional(value, "from", _S3_URL, parameter),
        digest=_optional(value, "digest", _DIGEST, parameter),
        modelfile=_optional(value, "modelfile", _S3_URL, parameter),
    )


def _text(value: Mapping[str, Any], name: str, parameter: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not text:
        raise SettingsError(f"The model definition in {parameter} has no '{name}'; register the model again.")
    return text


def _optional(value: Mapping[str, Any], name: str, form: re.Pattern[str], parameter: str) -> str | None:
    # What is there and not understood may not be passed over: another model would be run in its place.
    text = value.get(name)
    if text is None:
        return None
    if not isinstance(text, str) or not form.fullmatch(text):
        raise SettingsError(
            f"The model definition in {parameter} has '{name}': {json.dumps(text)}; register the model again."
        )
    return text


def _list(
    value: Mapping[str, Any], name: str, parameter: str, default: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    entries = value.get(name, default)
    if not isinstance(entries, list | tuple) or not entries or not all(isinstance(e, str) for e in entries):
        raise SettingsError(f"The model definition in {parameter} has no list '{name}'; register it again.")
    return tuple(entries)
