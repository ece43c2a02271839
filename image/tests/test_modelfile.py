# SPDX-License-Identifier: GPL-3.0-or-later
"""Modelfiles are read as Ollama's command line reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ollama_worker.engine.modelfile import PARAMETERS, Modelfile, parse
from ollama_worker.errors import PermanentError


def test_a_modelfile_becomes_the_fields_of_create() -> None:
    text = '''\ufeff# Contracts, and nothing else
FROM ./contracts.gguf
from mmproj.gguf
TEMPLATE """{{ if .System }}<|system|>
{{ .System }}{{ end }}
# no comment
<|user|>"{{ .Prompt }}"
"""
system "  You read contracts.  "
PARAMETER temperature 0.5
PARAMETER num_ctx 4096
PARAMETER stop "<|user|>"
PARAMETER stop <|end|>
PARAMETER use_mmap false
PARAMETER mirostat 1
MESSAGE user Who are you?
MESSAGE assistant """A reader
of contracts."""
LICENSE one
LICENSE two
RENDERER qwen3-coder
'''
    assert parse(text, "it") == Modelfile(
        weights=["./contracts.gguf", "mmproj.gguf"],
        fields={
            "template": '{{ if .System }}<|system|>\n{{ .System }}{{ end }}\n# no comment\n<|user|>"{{ .Prompt }}"\n',
            "system": "  You read contracts.  ",
            "parameters": {
                "temperature": 0.5,
                "num_ctx": 4096,
                "stop": ["<|user|>", "<|end|>"],
                "use_mmap": False,
            },
            "messages": [
                {"role": "user", "content": "Who are you?"},
                {"role": "assistant", "content": "A reader\nof contracts."},
            ],
            "license": ["one", "two"],
            "renderer": "qwen3-coder",
        },
    )


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_any_end_of_line_will_do(end: str) -> None:
    text = end.join(["FROM\ta.gguf  ", 'SYSTEM """one', 'two"""', "# three", ""])
    assert parse(text, "it") == Modelfile(["a.gguf"], {"system": f"one{end}two"})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "It has no FROM line."),
        ("SYSTEM x", "It has no FROM line."),
        ("FROM", "It, line 1: 'FROM' is not an instruction with a value."),
        ("FROM a\nWHAT is this", "It, line 2: WHAT: Ollama has no such instruction."),
        ("FROM a\n\nhello", "It, line 3: 'hello' is not an instruction with a value."),
        ('FROM a\nSYSTEM """x\ny', "It, line 2: the quotes of SYSTEM are never closed."),
        (
            "FROM a\nADAPTER ./lora",
            "It, line 2: ADAPTER: Ollama runs no LoRA adapters any more; merge it into the weights.",
        ),
        ("FROM a\nDRAFT b.gguf", "It, line 2: DRAFT: a draft model cannot be brought."),
        ("FROM a\nPARAMETER warmth 1", "It, line 2: PARAMETER: 'warmth' is not a parameter of Ollama's."),
        ("FROM a\nPARAMETER num_ctx big", "It, line 2: PARAMETER: 'big' is no value of num_ctx."),
        ("FROM a\nPARAMETER use_mmap maybe", "It, line 2: PARAMETER: 'maybe' is no value of use_mmap."),
        ("FROM a\nPARAMETER stop", "It, line 2: PARAMETER stop has no value."),
        ("FROM a\nMESSAGE nobody hi", "It, line 2: MESSAGE: 'nobody' is not system, user or assistant."),
    ],
)
def test_what_ollama_would_refuse_is_one_sentence_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(PermanentError, match=f"^{re.escape(sentence)}$"):
        parse(text, "It")


def test_the_parameters_are_those_that_the_collection_takes_as_options() -> None:
    """Both are the options of Ollama's API."""
    path = Path(__file__).parents[2] / "plugins/module_utils/_definition.py"
    source = path.read_text(encoding="utf-8")
    block = source[source.index("OPTIONS: dict") : source.index("_S3_URL")]
    known: dict[str, Any] = dict(re.findall(r'"(\w+)": \(([\w, ]+)\)', block))
    assert set(known) == set(PARAMETERS)
    kinds = {"int": int, "float": float, "list": str}
    for name, types in known.items():
        last = types.rstrip(", ").split(", ")[-1]
        assert PARAMETERS[name] is kinds.get(last, PARAMETERS[name]), name
