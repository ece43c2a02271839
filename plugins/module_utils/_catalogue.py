# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalogue of models, as objects.

For internal use of this collection only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from ansible_collections.pasture.ollama.plugins.module_utils._mime_types import IMAGE_INPUTS, TEXT_INPUTS

if TYPE_CHECKING:
    from ansible_collections.pasture.ollama.plugins.module_utils._catalogue_data import ModelRow, ShapeRow


@dataclass(frozen=True)
class Shape:
    """What decides how many keys and values a model keeps per token.

    :ivar window: tokens that the windowed layers look back on; 0 when every layer looks back on all.
    :ivar full_layers: the layers without a window.
    """

    layers: int
    kv_heads: int
    key_width: int
    value_width: int
    window: int
    full_layers: int


@dataclass(frozen=True)
class Tag:
    """One tag of a model: bytes of its weights, tokens of its context, and its shape where it is known."""

    name: str
    size: int
    context_length: int
    shape: Shape | None


@dataclass(frozen=True)
class Model:
    """One model of the catalogue."""

    name: str
    family: str
    capabilities: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    default_tag: str
    tags: dict[str, Tag]
    text_only: tuple[str, ...] = ()

    def at(self, tag: str) -> Model:
        """The model as it is at one tag: some are too small to see."""
        if tag.split("-", maxsplit=1)[0] not in self.text_only:
            return self
        seeing = replace(self, capabilities=tuple(c for c in self.capabilities if c != "vision"))
        return replace(seeing, inputs=TEXT_INPUTS)


#: What an embedding model's documents become: one JSON object per chunk and line.
EMBEDDING_OUTPUT = "application/x-ndjson"

_READS = {"text": TEXT_INPUTS, "image": IMAGE_INPUTS, "any": TEXT_INPUTS + IMAGE_INPUTS}


@cache
def _data() -> tuple[dict[str, ModelRow], dict[str, ShapeRow]]:
    """The rows of the catalogue: models, and shapes.

    Ansible compiles what it loads anew in the process of each task that uses any filter of the collection; this large
    part of it is left out until it is asked for.
    """
    from ansible_collections.pasture.ollama.plugins.module_utils import (  # noqa: PLC0415 - see above
        _catalogue_data,
    )

    return _catalogue_data.MODELS, _catalogue_data.SHAPES


def find(name: str) -> Model | None:
    """The model of that name, or None when the catalogue does not have it."""
    models, shapes = _data()
    row = models.get(name)
    if row is None:
        return None
    tags = {
        tag: Tag(tag, size, context_length, Shape(*shapes[shape]) if shape else None)
        for tag, (size, context_length, shape) in row["tags"].items()
    }
    embeds = "embedding" in row["capabilities"]
    return Model(
        name=name,
        family=row["family"],
        capabilities=row["capabilities"],
        inputs=_READS[row["reads"]],
        outputs=(EMBEDDING_OUTPUT,) if embeds else ("text/plain",),
        default_tag=row["default_tag"],
        tags=tags,
        text_only=row.get("text_only", ()),
    )


def names() -> list[str]:
    """The names of all models, sorted."""
    return sorted(_data()[0])


def search(text: str = "", capability: str = "", max_size: int | None = None) -> list[Model]:
    """The models whose name, family or capabilities contain C(text), sorted by name.

    :param capability: only models that have it, such as C(vision).
    :param max_size: only models with a tag of at most this many bytes.
    """
    needle = text.strip().lower()
    found = []
    for model in filter(None, map(find, names())):
        if needle and not any(needle in field for field in (model.name, model.family, *model.capabilities)):
            continue
        if capability and capability not in model.capabilities:
            continue
        if max_size is not None and all(tag.size > max_size for tag in model.tags.values()):
            continue
        found.append(model)
    return found


# Bits per weight of llama.cpp's formats, as `llama-quantize --help` and its README give them for an 8B model.
# https://github.com/ggml-org/llama.cpp/blob/master/tools/quantize/README.md
_BITS = {
    "q2_k": 3.16,
    "q3_k_s": 3.64,
    "q3_k_m": 4.0,
    "q3_k_l": 4.3,
    "q4_0": 4.65,
    "q4_1": 5.1,
    "q4_k_s": 4.67,
    "q4_k_m": 4.89,
    "q5_0": 5.57,
    "q5_1": 6.06,
    "q5_k_s": 5.57,
    "q5_k_m": 5.7,
    "q6_k": 6.56,
    "q8_0": 8.5,
    "fp16": 16.0,
    "f16": 16.0,
    "bf16": 16.0,
    "fp32": 32.0,
}
_PARAMETERS = re.compile(r"^(?:(?P<experts>\d+)x)?(?P<count>\d+(?:\.\d+)?)(?P<unit>[bm])(?=-|$)")


def estimate_size(model: Model, tag: str) -> int:
    """Bytes of the weights of a tag that the catalogue does not list, such as C(8b-instruct-q8_0).

    From a listed tag of the same number of parameters where there is one, else from the number itself;
    0 when the tag tells too little.
    """
    lowered = tag.lower()
    parameters = _PARAMETERS.match(lowered)
    if parameters is None:
        return 0
    bits = next(
        (_BITS[name] for name in sorted(_BITS, key=len, reverse=True) if lowered.endswith(name)), None
    )
    sibling = model.tags.get(parameters.group(0))
    if bits is None:
        return sibling.size if sibling else 0
    if parameters["experts"]:
        # Experts share the attention, so 8x7b has fewer weights than 56 thousand million.
        return round(sibling.size * bits / _BITS["q4_0"]) if sibling else 0
    count = float(parameters["count"]) * (1e9 if parameters["unit"] == "b" else 1e6)
    return round(count * bits / 8)
