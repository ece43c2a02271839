# SPDX-License-Identifier: GPL-3.0-or-later
"""A loaded model: llama.cpp's server inside this process, and the calls to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import xllamacpp

from pasture_local.engine import gguf
from pasture_local.engine.errors import ApiError

# 499 is what Ollama says to a client that has gone; nobody reads it.
_CLIENT_GONE = 499


@dataclass(frozen=True)
class Profile:
    """What a model is loaded with. A request for another profile loads it again."""

    weights: Path
    embedding: bool
    num_ctx: int
    shift: bool
    num_batch: int
    num_thread: int
    use_mmap: bool
    num_parallel: int
    cache_ram_mib: int


class Cancellation:
    """Lets another thread end a call to a model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self.cancelled = False

    def watch(self, connection: http.client.HTTPConnection | None) -> None:
        """Say which connection to cut; None when the call is over."""
        with self._lock:
            self._connection = connection
            if self.cancelled and connection:
                _cut(connection)

    def cancel(self) -> None:
        """Cut the connection, upon which llama.cpp stops generating."""
        with self._lock:
            self.cancelled = True
            if self._connection:
                _cut(self._connection)


def _cut(connection: http.client.HTTPConnection) -> None:
    if connection.sock:
        # Unlike close(), it wakes a thread that is reading.
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


class Runner:
    """A model in memory."""

    def __init__(self, profile: Profile) -> None:
        """Load it; takes half a second for the packaged model.

        :raises ApiError: when llama.cpp cannot load it.
        """
        self.profile = profile
        self.slots = threading.BoundedSemaphore(profile.num_parallel)
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(profile.weights)
        parameters.hostnames = ["127.0.0.1"]
        parameters.port = 0
        parameters.verbosity = -1
        # llama.cpp divides its context among the slots; Ollama gives each slot all of num_ctx.
        parameters.n_ctx = profile.num_ctx * profile.num_parallel
        parameters.n_parallel = profile.num_parallel
        parameters.n_batch = profile.num_batch
        parameters.ctx_shift = profile.shift
        parameters.cache_ram_mib = profile.cache_ram_mib
        # Otherwise llama.cpp takes less context than asked for when it thinks that memory is short.
        parameters.fit_params = False
        parameters.warmup = False
        # llama.cpp's threads wait for each other in a loop: one for every core, as Ollama has it, makes each token
        # take ten times as long when the machine has anything else to do, and here it runs a whole cloud.
        threads = profile.num_thread or max(1, (os.cpu_count() or 1) // 2)
        parameters.cpuparams.n_threads = threads
        parameters.cpuparams_batch.n_threads = threads
        if profile.embedding:
            parameters.embedding = True
            parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
            # An input is embedded in one piece.
            parameters.n_batch = parameters.n_ubatch = profile.num_ctx
        try:
            self._server = xllamacpp.Server(parameters)
        except RuntimeError as error:
            raise ApiError(500, f"unable to load model: {profile.weights}: {error}") from error
        address = urlsplit(self._server.listening_address)
        self._host, self._port = str(address.hostname), int(address.port or 0)

    def close(self) -> None:
        """Unload the model."""
        del self._server

    def memory(self) -> int:
        """Bytes of weights and key-value cache, about."""
        metadata = gguf.read(self.profile.weights)
        prefix = metadata["general.architecture"]
        heads = metadata[f"{prefix}.attention.head_count"]
        per_head = metadata[f"{prefix}.embedding_length"] // heads
        kv_heads = metadata.get(f"{prefix}.attention.head_count_kv", heads)
        # Keys and values, of 16 bits each.
        per_token = 2 * 2 * kv_heads * per_head * metadata[f"{prefix}.block_count"]
        cache = per_token * self.profile.num_ctx * self.profile.num_parallel
        return self.profile.weights.stat().st_size + int(cache)

    def tokenize(self, text: str) -> list[int]:
        """The tokens of a text, with those that the model's prompt begins with."""
        body = {"content": text, "add_special": True, "parse_special": True}
        return list(self._json("/tokenize", body)["tokens"])

    def detokenize(self, tokens: list[int]) -> str:
        """The text of tokens."""
        return str(self._json("/detokenize", {"tokens": tokens})["content"])

    def apply_template(self, messages: list[dict[str, Any]]) -> str:
        """The prompt that the model's own chat template makes of messages."""
        return str(self._json("/apply-template", {"messages": messages})["prompt"])

    def embed(self, text: str, cancellation: Cancellation) -> tuple[list[float], int]:
        """The vector of a text, and its number of tokens.

        :raises ApiError: when llama.cpp cannot make it.
        """
        with self.slots:
            answer = self._json("/embeddings", {"content": text}, cancellation)
        vector = answer[0]["embedding"][0]
        return [float(number) for number in vector], len(self.tokenize(text))

    def complete(self, body: dict[str, Any], cancellation: Cancellation) -> Iterator[dict[str, Any]]:
        """What llama.cpp's ``/completion`` streams.

        :raises ApiError: with llama.cpp's status and body, when it refuses.
        """
        with self.slots, self._post("/completion", body, cancellation) as response:
            for line in response:
                if line.startswith(b"data: "):
                    event: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
                    yield event
                    if event.get("stop"):
                        return
                elif line.startswith(b"error: "):
                    raise ApiError(500, line.removeprefix(b"error: ").decode().strip())
            if cancellation.cancelled:
                raise ApiError(_CLIENT_GONE, "request canceled")

    def _json(self, path: str, body: dict[str, Any], cancellation: Cancellation | None = None) -> Any:
        with self._post(path, body, cancellation or Cancellation()) as response:
            return json.loads(response.read())

    @contextlib.contextmanager
    def _post(
        self, path: str, body: dict[str, Any], cancellation: Cancellation
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self._host, self._port)
        try:
            connection.connect()
            cancellation.watch(connection)
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status >= 400:
                raise ApiError(response.status, response.read().decode().strip())
            yield response
        except (OSError, http.client.HTTPException) as error:
            if cancellation.cancelled:
                raise ApiError(_CLIENT_GONE, "request canceled") from error
            raise ApiError(500, f"model runner has unexpectedly stopped: {error}") from error
        finally:
            cancellation.watch(None)
            connection.close()
