# SPDX-License-Identifier: GPL-3.0-or-later
"""Models of one's own weights: blobs that are brought, and what a Modelfile makes of them."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pasture_local.engine import library, names
from pasture_local.engine.template import TemplateError, render_chat

SMALL = {"num_ctx": 512, "temperature": 0, "num_predict": 8}


def packaged() -> Path:
    release = library.find(names.parse("smollm2:135m"))
    assert release is not None
    assert isinstance(release.layers[0].content, Path)
    return release.layers[0].content


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def send(engine: Any, digest: str, data: bytes) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=60)
    connection.request("POST", f"/api/blobs/{digest}", data)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@contextmanager
def made(engine: Any, **body: Any) -> Iterator[str]:
    parts = engine.lines("/api/create", **{"model": "mine", **body})
    assert parts[-1] == {"status": "success"}, parts
    try:
        yield "mine"
    finally:
        engine.post("/api/generate", model="mine", keep_alive=0)
        engine.request("DELETE", "/api/delete", {"model": "mine"})


@pytest.fixture(scope="module")
def weights(engine: Any) -> str:
    """The digest of the packaged weights, brought as a client brings a file of its own."""
    data = packaged().read_bytes()
    assert send(engine, digest_of(data), data)[0] in (200, 201)
    return digest_of(data)


def test_a_blob_is_taken_once_and_only_with_its_digest(engine: Any) -> None:
    data = b"a blob" * 1000
    path = f"/api/blobs/{digest_of(data)}"
    assert engine.request("HEAD", path)[0] == 404
    status, text = send(engine, digest_of(b"else"), data)
    assert (status, "digest mismatch" in text) == (400, True)
    assert send(engine, "sha256:../../etc", data)[0] == 400
    assert send(engine, digest_of(data), data)[0] == 201
    assert send(engine, digest_of(data), data)[0] == 200
    assert engine.request("HEAD", path)[0] == 200
    assert not list(engine.models.glob("blobs/upload-*"))


def test_a_gguf_file_is_a_model(engine: Any, weights: str) -> None:
    with made(engine, files={"mine.gguf": weights}) as name:
        shown = engine.post("/api/show", model=name)[1]
        assert shown["details"]["family"] == "llama"
        assert "<|im_start|>" in shown["template"]
        assert "system" not in shown
        status, answer = engine.post("/api/generate", model=name, prompt="What is the sea?", options=SMALL)
        assert status == 200
        assert answer["response"]


def test_a_modelfile_shows_in_what_the_model_does(engine: Any, weights: str) -> None:
    recipe = {
        "files": {"mine.gguf": weights},
        "template": "{{ .System }}|{{ .Prompt }}|{{ .Response }}",
        "system": "count",
        "messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}],
        "parameters": {"num_predict": 8, "temperature": 0, "stop": [" zzz"]},
        "license": ["A", "B"],
    }
    with made(engine, **recipe) as name:
        shown = engine.post("/api/show", model=name)[1]
        assert shown["template"] == recipe["template"]
        assert "num_predict" in shown["parameters"]
        _, chat = engine.post(
            "/api/chat", model=name, messages=[{"role": "user", "content": "three"}], options={"num_ctx": 512}
        )
        raw = {"raw": True, "prompt": "count|one|two|three|", "options": {"num_ctx": 512}}
        _, same = engine.post("/api/generate", model=name, **raw)
        assert chat["message"]["content"] == same["response"]
        assert chat["eval_count"] <= 8


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "neither 'from' or 'files' was specified"),
        ({"files": {"a.gguf": digest_of(b"nothing")}}, "blob not found for a.gguf"),
        ({"files": {"../a.gguf": digest_of(b"nothing")}}, "file path must be relative"),
        ({"files": {"a.gguf": "x", "b.gguf": "y"}}, "one GGUF file"),
        ({"files": {"a.gguf": "x"}, "adapters": {"b.gguf": "y"}}, "LoRA adapters are no longer supported"),
    ],
)
def test_what_cannot_be_made_is_refused(engine: Any, body: dict[str, Any], message: str) -> None:
    status, answer = engine.json("POST", "/api/create", {"model": "mine", "stream": False, **body})
    assert status == 400
    assert message in answer["error"]


def test_what_is_no_gguf_file_or_template_is_refused(engine: Any, weights: str) -> None:
    send(engine, digest_of(b"GGUF, not"), b"GGUF, not")
    for body, message in (
        ({"files": {"a.gguf": digest_of(b"GGUF, not")}}, "not in GGUF format"),
        ({"files": {"a.gguf": weights}, "template": "{{ if .System }}"}, "template error"),
    ):
        status, answer = engine.json("POST", "/api/create", {"model": "mine", "stream": False, **body})
        assert status == 400
        assert message in answer["error"]
    assert engine.post("/api/show", model="mine")[0] == 404


def test_a_template_is_filled_once_for_each_turn() -> None:
    turns = [
        {"role": role, "content": content}
        for role, content in (
            ("system", "S"),
            ("user", "one"),
            ("assistant", "two"),
            ("user", "three"),
        )
    ]
    text = "{{ if .System }}[{{ .System }}]{{ end }}<{{ .Prompt }}>{{ .Response }}$"
    assert render_chat(text, turns) == "[S]<one>two$<three>"
    # What the answer begins with, as Ollama has it, is part of the prompt.
    assert render_chat(text, [*turns, {"role": "assistant", "content": "fo"}]) == "[S]<one>two$<three>fo"
    with pytest.raises(TemplateError, match="does not know"):
        render_chat("{{ range .Messages }}{{ end }}", turns)
