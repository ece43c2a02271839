# SPDX-License-Identifier: GPL-3.0-or-later
"""Constraints that the service models state.

botocore reads them with the shapes and leaves them alone, but for the least length of texts and the least of
numbers (https://github.com/boto/botocore/blob/develop/botocore/validate.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from moto.core.utils import get_service_model

from pasture_local.emulator.constraints._check import broken, sentence


def violations(service: str, operation: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each constraint of the operation's input that is not met."""
    shape = get_service_model(service).operation_model(operation).input_shape
    if shape is not None:
        yield from _violations(shape, parameters, "")


def _violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    if value is None:
        return
    for constraint in broken(value, shape.metadata):
        yield sentence(path, value, constraint)
    if shape.type_name == "structure" and isinstance(value, Mapping):
        for name, member in shape.members.items():
            yield from _violations(member, value.get(name), f"{path}.{name}" if path else name)
    elif shape.type_name == "list" and isinstance(value, list):
        for index, element in enumerate(value, 1):
            yield from _violations(shape.member, element, f"{path}.{index}.member")
    elif shape.type_name == "map" and isinstance(value, Mapping):
        for key, element in value.items():
            yield from _violations(shape.key, key, f"{path}.{key}.key")
            yield from _violations(shape.value, element, f"{path}.{key}.value")
