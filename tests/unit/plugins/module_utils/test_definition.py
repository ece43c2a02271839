# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pasture.ollama.plugins.module_utils._definition import (
    MAX_BYTES,
    Definition,
    DefinitionError,
    check_registry,
    decode,
    define,
    encode,
    split_reference,
)


def refusal(spec: Any) -> str:
    with pytest.raises(DefinitionError) as caught:
        define(spec)
    return str(caught.value)


def test_a_catalogue_name_needs_nothing_else() -> None:
    model = define("llama2")
    assert (model.name, model.tag, model.family) == ("llama2", "latest", "llama")
    assert model.context_length == 4096
    assert "text/plain" in model.inputs
    assert model.outputs == ("text/plain",)


@pytest.mark.parametrize(
    "spec", ["llama2:13b", {"name": "llama2", "tag": "13b"}, {"name": "llama2:13b"}, "library/llama2:13b"]
)
def test_a_tag_can_stand_in_the_name_or_by_itself(spec: Any) -> None:
    assert define(spec).reference == "llama2:13b"


def test_what_is_given_goes_before_what_the_catalogue_knows() -> None:
    model = define(
        {"name": "llava", "inputs": ["image/png", "IMAGE/JPG", "image/png"], "options": {"seed": 1}}
    )
    assert model.inputs == ("image/png", "image/jpeg")
    assert model.options == {"seed": 1}
    assert model.size > 4e9


def test_a_model_outside_the_catalogue_needs_inputs_and_outputs() -> None:
    assert refusal("my-model") == (
        "Model my-model is not in the catalogue, so its inputs and outputs must be given, such as inputs: "
        "[text/plain] "
        "and outputs: [text/plain]."
    )
    assert "so its outputs must be given" in refusal({"name": "my-model", "inputs": ["text/plain"]})
    assert "Did you mean 'llama3.1'?" in refusal("lama3.1")
    model = define({"name": "me/my-model", "inputs": ["image/*"], "outputs": ["text/plain"]})
    assert (model.reference, model.capabilities) == ("me/my-model:latest", ("completion", "vision"))


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("", "is not the name of a model"),
        ("a/b/c/d", "is not the name of a model"),
        ("llama 3", "is not the name of a model"),
        ("host:11434/model", "is not a tag that Ollama takes"),
        ("llama2:13 b", "'13 b' is not a tag that Ollama takes (model llama2)"),
        ("llama2:", "'' is not a tag"),
        ("llama2:" + "x" * 81, "is not a tag that Ollama takes"),
        ({"name": "llama2:7b", "tag": "13b"}, "has two tags: '7b' in its name and '13b'"),
        ({"name": "llava", "inputs": ["png"]}, "Model llava, inputs: 'png' is not a mime-type"),
        ({"name": "llava", "outputs": ["text/*"]}, "'text/*' is a range"),
        ({"name": "llava", "inputs": ["text/plain; q=1"]}, "has a parameter"),
        ({"name": "llava", "capabilities": ["smell"]}, "which Ollama does not know"),
        (
            {"name": "llama2", "context_length": "many"},
            "has the context length 'many', which is no number of tokens.",
        ),
        ({"name": "llama2", "size": 0}, "has the size 0, which is no number of bytes."),
        ({"name": "llama2", "options": {"temprature": 0}}, "Did you mean 'temperature'?"),
        ({"name": "llama2", "options": {"num_ctx": "big"}}, "to 'big', which is not int"),
        ({"name": "llama2", "options": {"seed": True}}, "to True, which is not int"),
        ({"name": "llama2", "options": [1]}, "not a mapping"),
        ({"name": "llama2", "from": "https://x/y"}, "not of the form s3://bucket/key"),
        ({"name": "llama2", "from": "s3://models/a.gguf", "digest": "abc"}, "not a SHA-256"),
        ({"name": "llama2", "digest": "0" * 64}, "has a digest but no 'from'"),
        ({"name": "llama2", "modelfile": "s3://models/Modelfile"}, "has a Modelfile but no 'from'"),
        (
            {"name": "llama2", "from": "s3://models/a.gguf", "modelfile": "Modelfile"},
            "has its Modelfile at 'Modelfile', which is not of the form s3://bucket/key",
        ),
        ({"name": "llama2", "options": {"stop": ["x" * 4096]}}, f"and a parameter holds {MAX_BYTES}"),
    ],
)
def test_what_ollama_or_aws_would_refuse_is_one_clear_sentence(spec: Any, sentence: str) -> None:
    message = refusal(spec)
    assert sentence in message
    assert "\n" not in message
    assert message.endswith((".", "?"))


def test_weights_of_ones_own_have_no_size_of_the_catalogue() -> None:
    model = define({"name": "llama2", "from": "s3://models/llama2.gguf", "digest": "AB" * 32})
    assert define({"name": "llama2", "from": "s3://models/llama2.gguf", "size": 7}).size == 7
    assert (model.size, model.origin, model.digest) == (0, "s3://models/llama2.gguf", f"sha256:{'ab' * 32}")


def test_a_size_that_is_too_small_to_see_reads_text_alone() -> None:
    assert "image/png" in define("gemma3:4b").inputs
    for tag in ("1b", "270m-it-qat"):
        small = define(f"gemma3:{tag}")
        assert "vision" not in small.capabilities
        assert "image/png" not in small.inputs


def test_the_parameter_is_named_after_name_and_tag() -> None:
    assert define("llama3.1:8b").parameter("/pasture/docs/") == "/pasture/docs/models/llama3.1/8b"


@pytest.mark.parametrize("registry", ["pasture", "", "/pasture//docs", "/aws/x", "/pasture/do cs"])
def test_registries_that_parameter_store_would_refuse(registry: str) -> None:
    with pytest.raises(DefinitionError, match="not the path of a registry"):
        check_registry(registry)


@given(data=st.data())
def test_what_is_stored_is_what_is_read(specs: st.SearchStrategy[Any], data: st.DataObject) -> None:
    model = define(data.draw(specs))
    text = encode(model)
    assert len(text.encode()) <= MAX_BYTES
    assert decode(text, "p") == model
    assert split_reference(model.reference) == (model.name, model.tag)


@given(data=st.data(), later=st.dictionaries(st.text(max_size=8), st.integers(), max_size=3))
def test_keys_of_later_releases_are_ignored(
    specs: st.SearchStrategy[Any], data: st.DataObject, later: dict[str, int]
) -> None:
    model = define(data.draw(specs))
    stored = {f"x-{key}": value for key, value in later.items()} | json.loads(encode(model))
    assert decode(json.dumps(stored), "p") == model


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", '{"schema_version": "new"}', '{"schema_version": 1, "name": "x", "tag": "y"}'],
)
def test_a_broken_definition_is_said_to_be_broken(text: str) -> None:
    with pytest.raises(
        DefinitionError, match=r"The model definition in /a/b is broken .*: register the model again\."
    ):
        decode(text, "/a/b")


def test_a_later_schema_is_said_to_be_later() -> None:
    with pytest.raises(DefinitionError, match="has schema version 2, and this release reads 1"):
        decode('{"schema_version": 2, "anything": []}', "/a/b")


def test_the_stored_form_is_the_one_that_was_promised() -> None:
    stored = json.loads(encode(define("llama3.1:8b")))
    assert stored.pop("inputs")[0] == "text/plain"
    assert stored == {
        "schema_version": 1,
        "name": "llama3.1",
        "tag": "8b",
        "family": "llama",
        "capabilities": ["completion", "tools"],
        "outputs": ["text/plain"],
        "context_length": 131072,
        "size": 4920738944,
        "options": {},
        "from": None,
    }


def test_definitions_are_values() -> None:
    assert define("llama2") == define({"name": "llama2", "tag": "latest"})
    assert isinstance(define("llama2"), Definition)
