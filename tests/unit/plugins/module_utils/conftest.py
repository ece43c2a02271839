# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that a user may write for a model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from ansible_collections.pasture.ollama.plugins.module_utils import _catalogue
from ansible_collections.pasture.ollama.plugins.module_utils._definition import CAPABILITIES, OPTIONS
from ansible_collections.pasture.ollama.plugins.module_utils._mime_types import SUFFIXES

# What each option can be, from the table that checks it.
_VALUES = {int: st.integers(-1, 10**6), float: st.floats(0, 2), bool: st.booleans(), str: st.text(max_size=5)}
_options = st.dictionaries(st.sampled_from(sorted(OPTIONS)), st.none(), max_size=6).flatmap(
    lambda chosen: st.fixed_dictionaries(
        {
            name: st.lists(st.text(max_size=5), max_size=3)
            if list in OPTIONS[name]
            else st.one_of([_VALUES[kind] for kind in OPTIONS[name]])
            for name in chosen
        }
    )
)
_parts = st.from_regex(r"\A[a-z0-9_][A-Za-z0-9_.-]{0,20}\Z")
_types = st.lists(st.sampled_from([*SUFFIXES, "image/*"]), min_size=1, max_size=8)
# Weights of one's own, with or without what goes with them.
_own = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {"from": st.just("s3://models/a.gguf")},
        optional={
            "digest": st.from_regex(r"\A[0-9a-fA-F]{64}\Z"),
            "modelfile": st.just("s3://models/a.Modelfile"),
            "size": st.integers(1, 10**12),
        },
    ),
)
_described = st.fixed_dictionaries(
    {
        "name": _parts,
        "inputs": _types,
        "outputs": st.lists(st.sampled_from(sorted(SUFFIXES)), min_size=1, max_size=3),
    },
    optional={
        "tag": _parts,
        "options": _options,
        "capabilities": st.lists(st.sampled_from(CAPABILITIES), unique=True),
        "context_length": st.integers(1, 10**7),
    },
)
_specs = st.one_of(
    st.sampled_from(_catalogue.names()),
    st.builds(lambda model, weights: {**model, **weights}, _described, _own),
)


@pytest.fixture(scope="session")
def specs() -> st.SearchStrategy[Any]:
    """Names of the catalogue, and full definitions, with and without weights of one's own."""
    return _specs
