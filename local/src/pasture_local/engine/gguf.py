# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata of a GGUF file.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
# general.file_type, as far as models this small are made: llama.cpp's enum llama_ftype.
_FILE_TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 15: "Q4_K_M", 18: "Q6_K", 32: "BF16"}


class NotGgufError(ValueError):
    """The file is not a GGUF file of a version that is known here."""


def read(path: Path) -> dict[str, Any]:
    """All key-value pairs, and ``general.parameter_count`` made from the shapes of the tensors.

    :raises NotGgufError: when the file is none.
    """
    with path.open("rb") as file:
        if file.read(4) != b"GGUF" or _scalar(file, "I") not in (2, 3):
            raise NotGgufError(f"{path} is not a GGUF file of version 2 or 3.")
        tensors, pairs = _scalar(file, "Q"), _scalar(file, "Q")
        metadata: dict[str, Any] = {}
        for _ in range(pairs):
            key = _string(file)
            metadata[key] = _value(file, _scalar(file, "I"))
        metadata["general.parameter_count"] = sum(_elements(file) for _ in range(tensors))
        return metadata


def file_type(metadata: dict[str, Any]) -> str:
    """The quantisation, such as ``Q4_1``."""
    return _FILE_TYPES.get(metadata.get("general.file_type", -1), "unknown")


def parameter_size(metadata: dict[str, Any]) -> str:
    """The number of parameters for people, such as ``134.52M``."""
    count = float(metadata["general.parameter_count"])
    unit, name = (1e9, "B") if count >= 1e9 else (1e6, "M")
    return f"{count / unit:.2f}".rstrip("0").rstrip(".") + name


def _scalar(file: BinaryIO, code: str) -> Any:
    return struct.unpack(f"<{code}", file.read(struct.calcsize(f"<{code}")))[0]


def _string(file: BinaryIO) -> str:
    return file.read(_scalar(file, "Q")).decode("utf-8", "replace")


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        element, count = _scalar(file, "I"), _scalar(file, "Q")
        return [_value(file, element) for _ in range(count)]
    return _scalar(file, _SCALARS[kind])


def _elements(file: BinaryIO) -> int:
    _string(file)
    elements = 1
    for _ in range(_scalar(file, "I")):
        elements *= _scalar(file, "Q")
    _scalar(file, "I")
    _scalar(file, "Q")
    return elements
