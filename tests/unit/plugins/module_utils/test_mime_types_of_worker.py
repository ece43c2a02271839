# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The worker decides by the same table of mime-types as the rules that feed it."""

from __future__ import annotations

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils import _mime_types

mime = pytest.importorskip("ollama_worker.mime", reason="the worker is not installed in this environment")


@pytest.mark.parametrize("name", ["TEXT_INPUTS", "IMAGE_INPUTS", "SUFFIXES", "ALIASES"])
def test_the_worker_has_the_same_table(name: str) -> None:
    assert getattr(mime, name) == getattr(_mime_types, name)
