# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils import _catalogue
from ansible_collections.pasture.ollama.plugins.module_utils._catalogue_data import MODELS, SHAPES
from ansible_collections.pasture.ollama.plugins.module_utils._definition import CAPABILITIES, split_reference

# The names of the system that this one re-imagines: 79 models for text and images, 7 for embeddings.
OF_THE_SOURCE_SYSTEM = [
    "gemma",
    "gemma2",
    "llama2",
    "llama3",
    "llama3.1",
    "mistral",
    "mixtral",
    "mistral-large",
    "mistral-openorca",
    "dolphin-mistral",
    "yarn-mistral",
    "samantha-mistral",
    "mistrallite",
    "mistral-nemo",
    "mathstral",
    "llava",
    "neural-chat",
    "codellama",
    "dolphin-mixtral",
    "llama2-uncensored",
    "orca-mini",
    "phi",
    "phi3",
    "deepseek-coder",
    "deepseek-coder-v2",
    "vicuna",
    "zephyr",
    "openhermes",
    "wizardcoder",
    "phind-codellama",
    "llama2-chinese",
    "tinyllama",
    "openchat",
    "qwen",
    "qwen2",
    "orca2",
    "falcon",
    "wizard-math",
    "nous-hermes",
    "dolphin-phi",
    "starling-lm",
    "codeup",
    "starcoder",
    "starcoder2",
    "medllama2",
    "yi",
    "everythinglm",
    "bakllava",
    "stable-code",
    "stable-beluga",
    "solar",
    "sqlcoder",
    "tinydolphin",
    "dolphincoder",
    "meditron",
    "magicoder",
    "stablelm2",
    "llama-pro",
    "codebooga",
    "nexusraven",
    "goliath",
    "notux",
    "alfred",
    "megadolphin",
    "wizardlm",
    "wizardlm2",
    "notus",
    "duckdb-nsql",
    "command-r",
    "command-r-plus",
    "dbrx",
    "aya",
    "nomic-embed-text",
    "mxbai-embed-large",
    "all-minilm",
    "snowflake-arctic-embed",
    "bge-m3",
    "bge-large",
    "paraphrase-multilingual",
]

IN_WIDE_USE = [
    "llama3.2",
    "llama3.2-vision",
    "llama3.3",
    "llama4",
    "gemma3",
    "gemma3n",
    "qwen2.5",
    "qwen2.5-coder",
    "qwen2.5vl",
    "qwen3",
    "qwen3-vl",
    "qwq",
    "deepseek-r1",
    "deepseek-v3",
    "phi4",
    "phi4-mini",
    "mistral-small",
    "mistral-small3.2",
    "magistral",
    "devstral",
    "gpt-oss",
    "granite3.3",
    "granite4",
    "smollm2",
    "minicpm-v",
    "moondream",
    "embeddinggemma",
    "qwen3-embedding",
    "granite-embedding",
]


@pytest.mark.parametrize("name", OF_THE_SOURCE_SYSTEM + IN_WIDE_USE)
def test_the_catalogue_has_it(name: str) -> None:
    model = _catalogue.find(name)
    assert model is not None
    assert model.default_tag in model.tags


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_row_has_the_shape_that_everything_relies_on(name: str) -> None:
    row = MODELS[name]
    assert split_reference(name) == (name, None)
    assert row["family"]
    assert set(row["capabilities"]) <= set(CAPABILITIES)
    assert ("embedding" in row["capabilities"]) != ("completion" in row["capabilities"])
    assert row["reads"] in {"text", "image", "any"}
    assert (row["reads"] == "text") == ("vision" not in row["capabilities"])
    assert row["default_tag"] in row["tags"]
    for tag, (size, context_length, shape) in row["tags"].items():
        assert split_reference(f"{name}:{tag}") == (name, tag)
        assert 20_000_000 < size < 2_000_000_000_000
        assert 256 <= context_length <= 10 * 1024 * 1024
        assert shape in SHAPES or shape == ""


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_shape_makes_sense(name: str) -> None:
    shape = _catalogue.Shape(*SHAPES[name])
    assert 0 <= shape.full_layers <= shape.layers
    assert (shape.window == 0) == (shape.full_layers == shape.layers)
    assert any(row[2] == name for model in MODELS.values() for row in model["tags"].values()), "unused"


def test_latest_is_the_default_tag_as_in_the_source_system() -> None:
    for name in set(OF_THE_SOURCE_SYSTEM) - {"wizardlm"}:  # the library has no wizardlm:latest any more
        assert MODELS[name]["default_tag"] == "latest"


def test_vision_models_read_images_and_embedding_models_write_vectors() -> None:
    llava, nomic = _catalogue.find("llava"), _catalogue.find("nomic-embed-text")
    assert llava
    assert llava.inputs == ("image/png", "image/jpeg", "image/webp")
    assert nomic
    assert nomic.outputs == ("application/x-ndjson",)


def test_search_looks_at_names_families_and_capabilities() -> None:
    assert "qwen2.5vl" in {model.name for model in _catalogue.search("vision")}
    assert "qwq" in {model.name for model in _catalogue.search("qwen2")}
    assert {m.name for m in _catalogue.search("SMOLLM")} == {"smollm", "smollm2"}
    assert all("tools" in model.capabilities for model in _catalogue.search(capability="tools"))
    assert [m.name for m in _catalogue.search("dbrx", max_size=10**9)] == []
    assert _catalogue.search("no such model") == []


# Sizes as the library's pages tell them, for tags that the catalogue does not list.
@pytest.mark.parametrize(
    ("model", "tag", "published"),
    [
        ("llama3.1", "8b-instruct-q8_0", 8.5e9),
        ("llama3.1", "8b-instruct-fp16", 16e9),
        ("llama3.1", "8b-instruct-q2_K", 3.2e9),
        ("llama3.1", "70b-instruct-q5_K_M", 50e9),
        ("llama3.2", "1b-instruct-q4_0", 771e6),
        ("qwen2.5", "14b-instruct-q6_K", 12e9),
        ("mistral", "7b-instruct-q4_K_M", 4.4e9),
        ("mixtral", "8x7b-instruct-v0.1-q8_0", 50e9),
        ("gemma2", "27b-instruct-q8_0", 29e9),
        ("smollm2", "360m-instruct-q8_0", 386e6),
    ],
)
def test_the_size_of_an_unlisted_tag_is_estimated_within_a_quarter(
    model: str, tag: str, published: float
) -> None:
    found = _catalogue.find(model)
    assert found
    assert _catalogue.estimate_size(found, tag) == pytest.approx(published, rel=0.25)


@pytest.mark.parametrize("tag", ["latest", "instruct", "e4b-it-q4_K_M"])
def test_a_tag_that_tells_no_size_is_not_guessed(tag: str) -> None:
    found = _catalogue.find("llama3.1")
    assert found
    assert _catalogue.estimate_size(found, tag) == 0
