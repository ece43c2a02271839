# SPDX-License-Identifier: GPL-3.0-or-later
"""A small Ollama server for tests: its API's shapes and status codes, answers of a known speed.

Tokens are counted as one per four characters, rounded up. Every chat is recorded.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TEMPLATE_TOKENS = 10

Answer = Callable[[dict[str, Any]], str]


def digest_answer(body: dict[str, Any]) -> str:
    """An answer that depends on all of the question."""
    text = json.dumps([m["content"] for m in body["messages"]], ensure_ascii=False)
    return "answer " + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class FakeOllama:
    """The server; attributes may be changed while it runs."""

    def __init__(
        self, port: int = 0, *, model: str = "tiny:latest", parallel: int = 64, seconds: float = 0.0
    ):
        self.model = model
        self.is_known: Callable[[], bool] = lambda: True
        self.on_pull: Callable[[str], bool] = lambda model: True
        self.on_create: Callable[[dict[str, Any]], None] = lambda body: None
        self.seconds = seconds
        self.answer: Answer = digest_answer
        self.fail: Callable[[dict[str, Any]], tuple[int, Any] | None] = lambda body: None
        self.done_reason = "stop"
        self.forget_done = False
        self.size_vram_share = 1.0
        self.context_length = 0
        self.capabilities = ["completion"]
        self.family = "llama"
        self.digest = "sha256:" + "d" * 64
        self.chats: list[dict[str, Any]] = []
        self.refused: list[dict[str, Any]] = []
        self.embeds: list[dict[str, Any]] = []
        self.pulls: list[str] = []
        self.loaded = False
        self.busy = 0
        self.most_busy = 0
        self.lock = threading.Lock()
        self.gate = threading.BoundedSemaphore(parallel)
        owner = self

        class Handler(_Handler):
            fake = owner

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

        self.server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> FakeOllama:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def prompts(self) -> list[str]:
        """The prompts that were answered."""
        return [body["messages"][-1]["content"] for body in self.chats]


def count(text: str) -> int:
    return -(-len(text) // 4)


def _full(model: Any) -> str:
    return str(model) if ":" in str(model) else f"{model}:latest"


class _Handler(BaseHTTPRequestHandler):
    fake: FakeOllama
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def send(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def lines(self, values: list[Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        out = b""
        for value in values:
            raw = json.dumps(value).encode() + b"\n"
            out += b"%x\r\n%s\r\n" % (len(raw), raw)
        self.wfile.write(out + b"0\r\n\r\n")

    def do_GET(self) -> None:
        fake = self.fake
        entry = {"name": fake.model, "model": fake.model, "digest": fake.digest, "size": 1000}
        if self.path == "/api/version":
            self.send(200, {"version": "0.0.0-fake"})
        elif self.path == "/api/tags":
            self.send(200, {"models": [entry] if fake.is_known() else []})
        elif self.path == "/api/ps":
            ps = {
                **entry,
                "size_vram": int(1000 * fake.size_vram_share),
                "context_length": fake.context_length,
            }
            self.send(200, {"models": [ps] if fake.loaded else []})
        else:
            self.send(404, {"error": "not found"})

    def do_POST(self) -> None:
        fake = self.fake
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/api/pull":
            fake.pulls.append(body["model"])
            if fake.on_pull(body["model"]):
                self.lines([{"status": "pulling", "total": 10, "completed": 5}, {"status": "success"}])
            else:
                self.lines(
                    [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]
                )
            return
        if self.path == "/api/create":
            fake.on_create(body)
            self.lines([{"status": "parsing GGUF"}, {"status": "success"}])
            return
        if not fake.is_known() or _full(body.get("model")) != fake.model:
            self.send(404, {"error": f"model '{body.get('model')}' not found"})
            return
        if self.path == "/api/show":
            self.send(200, {"capabilities": fake.capabilities, "details": {"family": fake.family}})
            return
        fake.loaded = True
        fake.context_length = body.get("options", {}).get("num_ctx", 4096)
        if self.path == "/api/generate":
            self.send(200, {"model": fake.model, "done": True, "done_reason": "load", "response": ""})
        elif self.path == "/api/embed":
            self.embed(body)
        elif self.path == "/api/chat":
            self.chat(body)
        else:
            self.send(404, {"error": "not found"})

    def overflow(self, body: dict[str, Any], tokens: int) -> bool:
        limit = body.get("options", {}).get("num_ctx", 4096)
        if tokens < limit:
            return False
        inner = {
            "code": 400,
            "type": "exceed_context_size_error",
            "message": "the request exceeds the available context size, try increasing it",
            "n_prompt_tokens": tokens,
            "n_ctx": limit,
        }
        self.fake.refused.append(body)
        # The error is a string that is itself JSON, as Ollama sends it.
        self.send(400, {"error": json.dumps({"error": inner})})
        return True

    def embed(self, body: dict[str, Any]) -> None:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        texts = [text for text in texts if text]
        if texts and self.overflow(body, max(map(count, texts))):
            return
        self.fake.embeds.append(body)
        vectors = [[len(text) / 1000, 0.5, -0.25] for text in texts]
        self.send(200, {"embeddings": vectors, "prompt_eval_count": sum(map(count, texts))})

    def chat(self, body: dict[str, Any]) -> None:
        fake = self.fake
        tokens = TEMPLATE_TOKENS + sum(count(m["content"]) for m in body["messages"])
        failure = fake.fail(body)
        if failure is not None:
            status, value = failure
            if status == 200:
                self.lines([{"message": {"content": "half an"}, "done": False}, value])
            elif status == 0:
                self.close_connection = True
            else:
                self.send(status, value)
            return
        if self.overflow(body, tokens):
            return
        with fake.gate:
            with fake.lock:
                fake.busy += 1
                fake.most_busy = max(fake.most_busy, fake.busy)
            if fake.seconds:
                time.sleep(fake.seconds)
            with fake.lock:
                fake.busy -= 1
                fake.chats.append(body)
        text = fake.answer(body)
        half = len(text) // 2
        last = {
            "message": {"role": "assistant", "content": ""},
            "done": True,
            "done_reason": fake.done_reason,
            "prompt_eval_count": tokens,
            "eval_count": count(text),
        }
        pieces = [
            {"message": {"role": "assistant", "content": part}, "done": False}
            for part in (text[:half], text[half:])
        ]
        self.lines(pieces if fake.forget_done else [*pieces, last])


def serve_store() -> None:
    """``ollama serve``: what is known is what the store holds; a pull writes into it."""
    store = Path(os.environ["OLLAMA_MODELS"])
    port = int(os.environ["OLLAMA_HOST"].rpartition(":")[2])
    fake = FakeOllama(port, seconds=float(os.environ.get("FAKE_SECONDS", "0")))
    manifest = store / "manifests/registry.ollama.ai/library/tiny/latest"
    shared = store.parent.parent if store.parent.name == ".staging" else store
    shared.mkdir(parents=True, exist_ok=True)
    with (shared / "pids").open("a") as file:
        file.write(f"{os.getpid()}\n")

    def answer(body: dict[str, Any]) -> str:
        return digest_answer(body)

    def pull(model: str) -> bool:
        if not model.startswith("tiny"):
            return False
        blobs = store / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        layers = []
        for data in (b"config", b"weights" * 1000):
            digest = hashlib.sha256(data).hexdigest()
            (blobs / f"sha256-{digest}").write_bytes(data)
            layers.append({"digest": f"sha256:{digest}", "size": len(data)})
        time.sleep(0.5)
        manifest.parent.mkdir(parents=True, exist_ok=True)
        manifest.write_text(json.dumps({"config": layers[0], "layers": layers[1:]}))
        return True

    def create(body: dict[str, Any]) -> None:
        layers = [
            {"digest": digest, "size": (store / "blobs" / digest.replace(":", "-")).stat().st_size}
            for digest in body["files"].values()
        ]
        # What it was asked for is kept where a test can read it.
        asked = json.dumps(body).encode()
        digest = f"sha256:{hashlib.sha256(asked).hexdigest()}"
        (store / "blobs" / digest.replace(":", "-")).write_bytes(asked)
        config = {"digest": digest, "size": len(asked)}
        manifest.parent.mkdir(parents=True, exist_ok=True)
        manifest.write_text(json.dumps({"config": config, "layers": layers}))

    def fail(body: dict[str, Any]) -> None:
        (store / "chats").touch()

    fake.answer = answer
    fake.on_pull = pull
    fake.on_create = create
    fake.fail = fail
    fake.is_known = manifest.exists
    fake.server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve_store()
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.0)
    options = parser.parse_args()
    server = FakeOllama(options.port, parallel=options.parallel, seconds=options.seconds)
    print(server.url, flush=True)
    server.server.serve_forever()
