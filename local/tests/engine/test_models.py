# SPDX-License-Identifier: GPL-3.0-or-later
"""Models: pulling, listing, showing, copying, deleting; the store; the command line."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import ollama
import pytest


def test_a_pull_tells_its_progress(engine: Any) -> None:
    parts = engine.lines("/api/pull")
    assert parts[0] == {"status": "pulling manifest"}
    assert parts[-1] == {"status": "success"}
    weights = next(part for part in parts if part.get("completed"))
    assert weights["status"] == f"pulling {weights['digest'].removeprefix('sha256:')[:12]}"
    assert weights["completed"] == weights["total"] > 90_000_000


def test_the_store_has_ollamas_layout_and_true_digests(engine: Any) -> None:
    manifest = json.loads((engine.models / "manifests/registry.ollama.ai/library/smollm2/135m").read_bytes())
    blobs = [manifest["config"], *manifest["layers"]]
    kinds = [blob["mediaType"].rpartition(".")[2] for blob in manifest["layers"]]
    assert kinds == ["model", "template", "system", "license", "params"]
    for blob in blobs:
        content = (engine.models / "blobs" / blob["digest"].replace(":", "-")).read_bytes()
        assert len(content) == blob["size"]
        assert "sha256:" + hashlib.sha256(content).hexdigest() == blob["digest"]
    config = json.loads(
        (engine.models / "blobs" / manifest["config"]["digest"].replace(":", "-")).read_bytes()
    )
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]


def test_the_digest_that_is_listed_is_the_manifests(engine: Any) -> None:
    raw = (engine.models / "manifests/registry.ollama.ai/library/smollm2/135m").read_bytes()
    listed = {model["name"]: model for model in engine.json("GET", "/api/tags")[1]["models"]}
    assert listed["smollm2:135m"]["digest"] == hashlib.sha256(raw).hexdigest()
    assert listed["smollm2:135m"]["details"]["quantization_level"] == "Q4_1"


def test_a_model_that_the_library_lacks_cannot_be_pulled(engine: Any) -> None:
    parts = engine.lines("/api/pull", model="llama3.1:8b")
    assert parts == [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]
    assert engine.post("/api/pull", model="llama3.1:8b") == (
        500,
        {"error": "pull model manifest: file does not exist"},
    )
    assert engine.post("/api/pull", model="not/a/valid/name/at/all:x:y")[0] in (400, 500)


def test_show_tells_what_a_model_is(engine: Any) -> None:
    status, shown = engine.post("/api/show")
    assert status == 200
    assert shown["capabilities"] == ["completion"]
    assert shown["model_info"]["llama.context_length"] == 8192
    assert shown["model_info"]["general.architecture"] == "llama"
    assert shown["model_info"]["tokenizer.ggml.tokens"] is None
    assert "<|im_start|>" in shown["template"]
    assert shown["details"]["parameter_size"] == "134.52M"


def test_a_model_is_copied_and_deleted_without_harm_to_the_first(engine: Any) -> None:
    body = {"source": "smollm2:135m", "destination": "mine/copy"}
    assert engine.request("POST", "/api/copy", body) == (200, "")
    assert "mine/copy:latest" in [m["name"] for m in engine.json("GET", "/api/tags")[1]["models"]]
    assert engine.request("DELETE", "/api/delete", {"model": "mine/copy"}) == (200, "")
    assert engine.json("DELETE", "/api/delete", {"model": "mine/copy"}) == (
        404,
        {"error": "model 'mine/copy' not found"},
    )
    assert engine.post("/api/show")[0] == 200


def test_a_model_is_made_from_another(engine: Any) -> None:
    made = engine.lines(
        "/api/create",
        **{"model": "pirate", "from": "smollm2:135m"},
        system="You are a pirate.",
        parameters={"num_ctx": 512, "stop": ["X"]},
    )
    assert made[-1] == {"status": "success"}
    shown = engine.post("/api/show", model="pirate")[1]
    assert shown["system"] == "You are a pirate."
    assert "num_ctx" in shown["parameters"]
    engine.post("/api/generate", model="pirate")
    assert [one["context_length"] for one in engine.loaded("pirate:latest")] == [512]
    engine.post("/api/generate", model="pirate", keep_alive=0)
    engine.request("DELETE", "/api/delete", {"model": "pirate"})


def test_the_commands_talk_to_the_server(engine: Any) -> None:
    assert engine.command("--version").stdout.startswith("ollama version is ")
    assert "success" in engine.command("pull", "smollm2:135m").stdout
    assert "smollm2:135m" in engine.command("list").stdout
    assert "134.52M" in engine.command("show", "smollm2:135m").stdout
    assert "NAME" in engine.command("ps").stdout
    failed = engine.command("pull", "missing")
    assert failed.returncode == 1
    assert failed.stderr == "Error: pull model manifest: file does not exist\n"


def test_a_command_without_a_server_says_so(engine: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        lonely = type(engine)(unused.getsockname()[1], engine.models, engine.process)
        failed = lonely.command("list")
    assert failed.returncode == 1
    assert "is it running?" in failed.stderr


def test_a_port_in_use_is_one_sentence(engine: Any) -> None:
    failed = engine.command("serve")
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"Error: listen tcp 127.0.0.1:{engine.port}: ")


def test_unused_blobs_are_removed_at_the_start_unless_told_not_to(start: Any, tmp_path: Path) -> None:
    stray = tmp_path / "blobs" / "sha256-stray-partial"
    stray.parent.mkdir()
    stray.touch()
    with start(tmp_path, OLLAMA_NOPRUNE="1"):
        assert stray.exists()
    with start(tmp_path):
        assert not stray.exists()


def test_a_model_leaves_when_its_time_is_over(engine: Any, start: Any) -> None:
    with start(engine.models, OLLAMA_KEEP_ALIVE="4s", OLLAMA_NOPRUNE="1") as other:
        other.post("/api/generate", options={"num_ctx": 256})
        assert other.json("GET", "/api/ps")[1]["models"]
        deadline = time.monotonic() + 60
        while other.json("GET", "/api/ps")[1]["models"]:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_a_model_that_answers_and_makes_embeddings_is_listed_once(engine: Any) -> None:
    engine.post("/api/generate", options={"num_ctx": 256})
    (alone,) = engine.loaded()
    engine.post("/api/embed", input="text")
    (both,) = engine.loaded()
    assert both["size"] > alone["size"]
    engine.post("/api/generate", keep_alive=0)
    assert engine.loaded() == []


def test_sigterm_ends_it_at_once_even_while_it_generates(engine: Any, start: Any) -> None:
    with (
        start(engine.models, OLLAMA_NOPRUNE="1") as other,
        socket.create_connection(("127.0.0.1", other.port)) as client,
    ):
        body = json.dumps({"model": "smollm2:135m", "prompt": "Tell a story.", "raw": True})
        client.sendall(f"POST /api/generate HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        client.recv(100)
        other.process.send_signal(signal.SIGTERM)
        # Far less than the story takes.
        assert other.process.wait(20) == 0


def test_the_ollama_client_library_works_with_it(engine: Any) -> None:
    client = ollama.Client(host=engine.url)
    assert any(model.model == "smollm2:135m" for model in client.list().models)
    assert client.show("smollm2:135m").modelinfo["llama.context_length"] == 8192
    options = {"num_ctx": 512, "num_predict": 4, "temperature": 0}
    answer = client.chat("smollm2:135m", [{"role": "user", "content": "Hi"}], options=options)
    assert answer.message.content
    parts = list(client.generate("smollm2:135m", "Hi", stream=True, options=options))
    assert parts[-1].done_reason == "length"
    assert len(client.embed("smollm2:135m", "Hi").embeddings[0]) == 576
    with pytest.raises(ollama.ResponseError) as missing:
        client.chat("missing", [{"role": "user", "content": "Hi"}])
    assert missing.value.status_code == 404
