# SPDX-License-Identifier: GPL-3.0-or-later
"""Ollama's HTTP API, as far as the worker uses it.

Every call that runs the model says ``num_ctx``, ``truncate: false`` and ``shift: false``. Without them
Ollama drops the front of a prompt that does not fit, or forgets the beginning while it writes, and
answers as if nothing had happened.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from ollama_worker.errors import (
    ContextExceededError,
    EngineUnavailableError,
    PermanentError,
    RetryableError,
    WorkerError,
)

_OVERFLOW_TYPE = "exceed_context_size_error"
# What Ollama says when it was not llama.cpp that counted (server/prompt.go, runner/ollamarunner).
_OVERFLOW_WORDS = (
    "exceeds maximum context length",
    "longer than the context length",
    "exceeds the context length",
    "exceed_context_size_error",
    "exceeds the available context size",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One question to the model. `think` None leaves the model's own default."""

    prompt: str
    system: str = ""
    images: Sequence[bytes] = ()
    format: str | Mapping[str, Any] | None = None
    think: bool | str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer.

    :ivar done_reason: ``stop``, or ``length`` when the model was cut off.
    :ivar prompt_tokens: tokens read, as the engine counts them.
    """

    text: str
    done_reason: str
    prompt_tokens: int
    output_tokens: int
    thinking: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a model is loaded with. The same in every call: a change of one makes Ollama reload it."""

    model: str
    options: Mapping[str, Any]
    keep_alive: int | str = -1


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded model, as ``/api/ps`` tells: bytes in all, bytes on the GPU, tokens of context."""

    size: int
    size_vram: int
    context_length: int


class OllamaClient:
    """Calls of one engine. Safe to use from many threads."""

    def __init__(self, base_url: str, *, silence_seconds: float, connections: int = 16) -> None:
        """:param silence_seconds: how long the engine may say nothing during a call."""
        self.base_url = base_url
        limits = httpx.Limits(max_connections=connections + 4, max_keepalive_connections=connections)
        # trust_env: a proxy of the environment must never see documents on their way to loopback.
        self._http = httpx.Client(
            base_url=base_url,
            limits=limits,
            timeout=httpx.Timeout(silence_seconds, connect=5.0),
            trust_env=False,
        )

    def close(self) -> None:
        """Close all connections; calls under way fail with `EngineUnavailableError`."""
        self._http.close()

    def version(self, timeout: float = 5.0) -> str:
        """The engine's version.

        :raises EngineUnavailableError: when it does not answer.
        """
        return str(self._json("GET", "/api/version", timeout=timeout).get("version", ""))

    def show(self, model: str) -> dict[str, Any] | None:
        """What the engine knows of a model, None when it has it not."""
        try:
            return self._json("POST", "/api/show", {"model": model}, timeout=60)
        except _NotFoundError:
            return None

    def digest(self, model: str) -> str:
        """The digest of a model's manifest, ``""`` when the engine does not list it."""
        wanted = _full_name(model)
        for entry in self._json("GET", "/api/tags", timeout=60).get("models") or []:
            if wanted in (_full_name(str(entry.get("name"))), _full_name(str(entry.get("model")))):
                return str(entry.get("digest", ""))
        return ""

    def loaded(self, model: str) -> Loaded | None:
        """The model as it is loaded now, None when it is not."""
        wanted = _full_name(model)
        for entry in self._json("GET", "/api/ps", timeout=60).get("models") or []:
            if wanted in (_full_name(str(entry.get("name"))), _full_name(str(entry.get("model")))):
                return Loaded(
                    size=int(entry.get("size") or 0),
                    size_vram=int(entry.get("size_vram") or 0),
                    context_length=int(entry.get("context_length") or 0),
                )
        return None

    def preload(self, profile: Profile, *, embedding: bool, timeout: float) -> None:
        """Load the model and wait for it: a client that leaves while a model loads aborts the load."""
        body: dict[str, Any] = {
            "model": profile.model,
            "options": dict(profile.options),
            "keep_alive": profile.keep_alive,
        }
        if embedding:
            self._json("POST", "/api/embed", {**body, "input": ""}, timeout=timeout)
        else:
            self._json("POST", "/api/generate", {**body, "prompt": "", "stream": False}, timeout=timeout)

    def create(
        self, model: str, recipe: Mapping[str, Any], progress: Callable[[str, int, int], None]
    ) -> None:
        """Make a model of GGUF files that are blobs of the engine's store already.

        https://github.com/ollama/ollama/blob/main/docs/api.md#create-a-model

        :param recipe: fields of the request: ``files``, and what a Modelfile says.
        :raises RetryableError: when it fails.
        :raises PermanentError: when the engine refuses the recipe.
        """
        finished = False
        for line in self._stream("/api/create", {**recipe, "model": model, "stream": True}):
            finished = line.get("status") == "success"
            progress(str(line.get("status", "")), 0, 0)
        if not finished:
            raise RetryableError(f"The engine did not finish making {model}.", slug="create-failed")

    def pull(self, model: str, progress: Callable[[str, int, int], None]) -> None:
        """Pull a model into the engine's store.

        :param progress: called with status, bytes done and bytes in all.
        :raises RetryableError: when the pull fails.
        """
        finished = False
        for line in self._stream("/api/pull", {"model": model, "stream": True}):
            finished = line.get("status") == "success"
            progress(
                str(line.get("status", "")), int(line.get("completed") or 0), int(line.get("total") or 0)
            )
        if not finished:
            raise RetryableError(f"The pull of {model} ended before it was complete.", slug="pull-failed")

    def chat(self, profile: Profile, call: Call, *, stopped: Callable[[], bool] | None = None) -> Reply:
        """Ask the model.

        :param stopped: looked at between pieces of the answer; True gives the call up.
        :raises ContextExceededError: when the prompt does not fit.
        :raises EngineUnavailableError: when the engine goes away, or the answer ends without ``done``.
        :raises PermanentError: when the engine refuses the request.
        """
        message: dict[str, Any] = {"role": "user", "content": call.prompt}
        if call.images:
            message["images"] = [base64.b64encode(image).decode() for image in call.images]
        messages = [{"role": "system", "content": call.system}] if call.system else []
        body: dict[str, Any] = {
            "model": profile.model,
            "messages": [*messages, message],
            "options": dict(profile.options),
            "keep_alive": profile.keep_alive,
            "stream": True,
            "truncate": False,
            "shift": False,
        }
        if call.format is not None:
            body["format"] = call.format
        if call.think is not None:
            body["think"] = call.think
        text: list[str] = []
        thinking: list[str] = []
        for line in self._stream("/api/chat", body):
            piece = line.get("message") or {}
            text.append(piece.get("content") or "")
            thinking.append(piece.get("thinking") or "")
            if line.get("done"):
                return Reply(
                    text="".join(text),
                    done_reason=str(line.get("done_reason") or "stop"),
                    prompt_tokens=int(line.get("prompt_eval_count") or 0),
                    output_tokens=int(line.get("eval_count") or 0),
                    thinking="".join(thinking),
                )
            if stopped is not None and stopped():
                raise EngineUnavailableError("The call was given up because the worker stops.")
        raise EngineUnavailableError("The engine's answer ended without 'done'.", slug="incomplete-answer")

    def embed(self, profile: Profile, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """Vectors of texts, and the tokens that were read.

        :raises ContextExceededError: when one of the texts does not fit.
        """
        body = {
            "model": profile.model,
            "input": list(texts),
            "options": dict(profile.options),
            "keep_alive": profile.keep_alive,
            "truncate": False,
        }
        answer = self._json("POST", "/api/embed", body)
        vectors = answer.get("embeddings")
        if not isinstance(vectors, list) or len(vectors) != len(texts):
            raise EngineUnavailableError(
                "The engine returned another number of embeddings than it was asked for.",
                slug="incomplete-answer",
            )
        return vectors, int(answer.get("prompt_eval_count") or 0)

    def _json(
        self, method: str, path: str, body: object | None = None, *, timeout: float | None = None
    ) -> dict[str, Any]:
        with _translated(path):
            response = self._http.request(
                method, path, json=body, timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else timeout
            )
        if response.status_code >= 400:
            raise _error(response.status_code, response.text)
        return _object(response.content, path)

    def _stream(self, path: str, body: object) -> Iterator[dict[str, Any]]:
        with _translated(path), self._http.stream("POST", path, json=body) as response:
            if response.status_code >= 400:
                response.read()
                raise _error(response.status_code, response.text)
            pending = b""
            for piece in response.iter_raw():
                *lines, pending = (pending + piece).split(b"\n")
                for raw in lines:
                    if raw.strip():
                        yield _checked(_object(raw, path))
            if pending.strip():
                yield _checked(_object(pending, path))


class _NotFoundError(PermanentError):
    slug = "model-not-found"


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise EngineUnavailableError(
            f"The engine was silent for too long at {path}: {type(error).__name__}.", slug="engine-timeout"
        ) from error
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise EngineUnavailableError(f"The engine is not reachable at {path}: {error}") from error
    except RuntimeError as error:
        # httpx: "Cannot send a request, as the client has been closed."
        raise EngineUnavailableError(f"The engine's connection was closed at {path}: {error}") from error


def _object(raw: bytes, path: str) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError:
        raise EngineUnavailableError(f"The engine's answer at {path} is not JSON: {raw[:200]!r}") from None
    if not isinstance(value, dict):
        raise EngineUnavailableError(f"The engine's answer at {path} is not an object: {raw[:200]!r}")
    return value


def _checked(line: dict[str, Any]) -> dict[str, Any]:
    # An error in the middle of a stream comes under status 200.
    if "error" in line:
        raise _error(200, json.dumps(line))
    return line


def _error(status: int, text: str) -> WorkerError:
    """The error that an answer of the engine means."""
    message, detail = _error_detail(text)
    if detail.get("type") == _OVERFLOW_TYPE or any(words in message for words in _OVERFLOW_WORDS):
        return ContextExceededError(
            message, int(detail.get("n_prompt_tokens") or 0), int(detail.get("n_ctx") or 0)
        )
    if status == 404:
        return _NotFoundError(f"The engine does not know it: {message}")
    if status in (408, 429) or status >= 500 or status == 200:
        return EngineUnavailableError(
            f"The engine failed with status {status}: {message}", slug="engine-failed"
        )
    return PermanentError(
        f"The engine refused the request with status {status}: {message}", slug="engine-refused"
    )


def _error_detail(text: str) -> tuple[str, dict[str, Any]]:
    """Message and details of an error body: ``error`` may be a string that is itself JSON."""
    value: Any = text
    for _ in range(4):
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                return value.strip()[:500], {}
        elif isinstance(value, dict) and "error" in value:
            value = value["error"]
        else:
            break
    detail = value if isinstance(value, dict) else {}
    return str(detail.get("message") or value)[:500], detail


def _full_name(model: str) -> str:
    return model if ":" in model.rsplit("/", 1)[-1] else model + ":latest"
