# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The worker decides by the same table of mime-types as the rules that feed it.

The two are distributions of their own, so that neither can import the other's.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils import _mime_types

WORKER = Path(_mime_types.__file__).parents[2] / "image" / "src" / "ollama_worker" / "mime.py"


@pytest.fixture(scope="module")
def mime() -> ModuleType:
    spec = importlib.util.spec_from_file_location("worker_mime", WORKER)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["TEXT_INPUTS", "IMAGE_INPUTS", "SUFFIXES", "ALIASES"])
def test_the_worker_has_the_same_table(mime: ModuleType, name: str) -> None:
    assert getattr(mime, name) == getattr(_mime_types, name)
