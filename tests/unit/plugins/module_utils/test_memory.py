# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pasture.ollama.plugins.module_utils import _catalogue
from ansible_collections.pasture.ollama.plugins.module_utils._catalogue_data import MODELS, SHAPES
from ansible_collections.pasture.ollama.plugins.module_utils._memory import (
    GIB,
    MIB,
    Weights,
    cpu_bytes,
    gpu_bytes,
    kv_cache_bytes,
    least,
    plan,
    usable_gpu_bytes,
)


def weights(name: str, tag: str = "latest") -> Weights:
    model = _catalogue.find(name)
    assert model
    found = model.tags[tag]
    return Weights(
        found.size, found.shape, found.context_length, model.family, "embedding" in model.capabilities
    )


# https://huggingface.co/blog/llama31#inference-memory-requirements (the table's 16k and 128k are thousands).
@pytest.mark.parametrize(
    ("tag", "tokens", "gib"),
    [
        ("8b", 1024, 0.125),
        ("8b", 16_000, 1.95),
        ("8b", 128_000, 15.62),
        ("70b", 1024, 0.313),
        ("70b", 16_000, 4.88),
        ("70b", 128_000, 39.06),
    ],
)
def test_keys_and_values_take_what_was_published_for_llama(tag: str, tokens: int, gib: float) -> None:
    assert kv_cache_bytes(weights("llama3.1", tag), tokens) / GIB == pytest.approx(gib, abs=0.01)


def test_keys_and_values_of_the_largest_llama_take_504_kib_a_token() -> None:
    # 2 x 126 layers x 8 heads x 128 x 2 bytes, as its config.json has them. The table above still counts 16 heads.
    assert kv_cache_bytes(weights("llama3.1", "405b"), 1) == 504 * 1024


def test_a_model_takes_what_ollama_ps_shows_in_its_documentation() -> None:
    # https://docs.ollama.com/faq: "llama3:70b ... 42 GB ... 100% GPU", from the days of a context of 2048.
    assert gpu_bytes(weights("llama3", "70b"), 2048, 1, 1) / 1e9 == pytest.approx(42, abs=0.5)


def test_windowed_layers_keep_their_window_and_a_batch() -> None:
    # gemma3:27b: 10 of 62 layers look back on everything, 52 on 1024 tokens (and a batch of 512).
    per_layer = 2 * 16 * (128 + 128)
    assert kv_cache_bytes(weights("gemma3", "27b"), 32768) == per_layer * (10 * 32768 + 52 * 1536)
    # Below the window there is no difference.
    assert kv_cache_bytes(weights("gemma3", "27b"), 1024) == per_layer * 62 * 1024


def test_encoders_keep_nothing() -> None:
    assert kv_cache_bytes(weights("nomic-embed-text"), 8192) == 0


def test_the_estimate_for_unknown_shapes_is_above_models_with_the_usual_attention() -> None:
    for row in MODELS.values():
        for size, context_length, shape in row["tags"].values():
            known = weights_of(size, context_length, shape)
            if known.shape is None or known.shape.kv_heads > 8 or known.shape.key_width > 128:
                continue
            if known.shape.layers > 100:  # models that were glued together of two
                continue
            estimated = Weights(size, None, context_length)
            assert kv_cache_bytes(estimated, 8192) >= kv_cache_bytes(known, 8192), (size, shape)


def test_the_documentation_names_the_models_whose_shape_is_estimated() -> None:
    page = (Path(_catalogue.__file__).parents[2] / "docs" / "memory.md").read_text(encoding="utf-8")
    listed = page[page.index("with the catalogue. -->") : page.index("<!-- End of the list. -->")]
    named = set(listed.split("-->")[1].replace(",", " ").split())
    assert named == {
        name
        for name, row in MODELS.items()
        if "completion" in row["capabilities"] and not all(tag[-1] for tag in row["tags"].values())
    }


def weights_of(size: int, context_length: int, shape: str) -> Weights:
    return Weights(size, _catalogue.Shape(*SHAPES[shape]) if shape else None, context_length)


@pytest.mark.parametrize(
    ("model", "tag", "gpu_mib", "gpus", "num_ctx", "slots"),
    [
        ("llama3.1", "8b", 22888, 1, 16384, 4),  # g5.xlarge, g6.xlarge
        ("llama3.1", "8b", 16384, 1, 16384, 4),  # g4dn.xlarge
        ("llama2", "13b", 16384, 1, 4096, 2),  # no grouped attention: 0.8 MiB a token
        ("llama3.1", "70b", 22888, 4, 32768, 4),  # g5.12xlarge
        ("mixtral", "8x7b", 22888, 8, 32768, 4),  # g5.48xlarge
        ("llama3.2-vision", "11b", 22888, 1, 32768, 1),  # Ollama runs one at a time
        ("nomic-embed-text", "latest", 16384, 1, 2048, 1),
    ],
)
def test_what_is_left_open_is_chosen_to_fit(
    model: str, tag: str, gpu_mib: int, gpus: int, num_ctx: int, slots: int
) -> None:
    chosen = plan(weights(model, tag), usable_gpu_bytes(gpu_mib, gpus), gpus)
    assert chosen
    assert (chosen.num_ctx, chosen.slots) == (num_ctx, slots)


def test_what_does_not_fit_has_no_plan() -> None:
    assert plan(weights("llama3.1", "70b"), usable_gpu_bytes(22888, 1), 1) is None
    assert plan(weights("llama3.1", "8b"), 4 * GIB, 0) is None
    assert plan(weights("llama3.1", "8b"), usable_gpu_bytes(16384, 1), 1, num_ctx=131072) is None


def test_a_tight_fit_gets_a_shorter_context_rather_than_none() -> None:
    tight = weights("gemma2", "27b")
    chosen = plan(tight, gpu_bytes(tight, 4096, 1, 1), 1)
    assert chosen
    assert (chosen.num_ctx, chosen.slots) == (4096, 1)


def test_on_a_cpu_the_default_stays() -> None:
    chosen = plan(weights("smollm2", "135m"), 64 * GIB, 0)
    assert chosen
    assert (chosen.num_ctx, chosen.slots) == (8192, 1)


def test_weights_of_unknown_size_are_not_refused_and_not_stretched() -> None:
    chosen = plan(Weights(0, None, 0), 15000 * MIB, 1)
    assert chosen
    assert (chosen.num_ctx, chosen.slots) == (8192, 1)


every_tag = st.sampled_from([(name, tag) for name, row in MODELS.items() for tag in row["tags"]])


@given(
    every_tag,
    st.sampled_from([16384, 22888, 45776, 81920]),
    st.integers(0, 8),
    st.none() | st.integers(64, 65536),
    st.none() | st.integers(1, 8),
)
def test_every_plan_fits_and_keeps_what_was_given(
    choice: tuple[str, str], gpu_mib: int, gpus: int, num_ctx: int | None, slots: int | None
) -> None:
    model = weights(*choice)
    budget = usable_gpu_bytes(gpu_mib, gpus) if gpus else 64 * GIB
    chosen = plan(model, budget, gpus, num_ctx, slots)
    if chosen is None:
        assert least(model, gpus, num_ctx, slots) > budget
        return
    assert chosen.needed <= budget
    assert num_ctx in {None, chosen.num_ctx}
    assert slots in {None, chosen.slots}
    if num_ctx is None:
        assert chosen.num_ctx <= model.context_length
    if slots is None and model.single_slot:
        assert chosen.slots == 1


@given(every_tag, st.integers(64, 65536), st.integers(1, 8))
def test_more_context_and_more_documents_never_take_less(
    choice: tuple[str, str], num_ctx: int, slots: int
) -> None:
    model = weights(*choice)
    assert gpu_bytes(model, num_ctx, slots, 1) <= gpu_bytes(model, num_ctx + 1, slots, 1)
    assert gpu_bytes(model, num_ctx, slots, 1) <= gpu_bytes(model, num_ctx, slots + 1, 1)
    assert cpu_bytes(model, num_ctx, slots) >= model.size
