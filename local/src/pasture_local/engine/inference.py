# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate, chat and embed: from a request to what is answered.

The order of the checks, the texts and the status codes are those of Ollama's server/routes.go and
llm/llama_server.go of August 2026.
"""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pasture_local.engine import gguf, library, names, options, template
from pasture_local.engine.errors import ApiError
from pasture_local.engine.runner import Cancellation, Profile, Runner
from pasture_local.engine.scheduler import Scheduler
from pasture_local.engine.store import NotFoundError, Store, Stored

Body = dict[str, Any]

# An answer without a limit of its own may take this many contexts, so that it ends some day.
_OPEN_ENDED_CONTEXTS = 10
# The same piece of text this often in a row, and the model has lost its way.
_MAX_REPEATS = 30
_TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)


@dataclass
class _Call:
    """One request to a model."""

    body: Body
    model: Stored
    options: dict[str, Any]
    keep_alive: float | None
    started: float
    cancellation: Cancellation

    @property
    def name(self) -> str:
        return str(self.body["model"])

    @property
    def truncate(self) -> bool:
        return self.body.get("truncate") is not False

    @property
    def shift(self) -> bool:
        return self.body.get("shift") is not False


class Inference:
    """Answers what needs a loaded model."""

    def __init__(self, store: Store, scheduler: Scheduler, settings: options.Settings) -> None:
        self._store, self._scheduler, self._settings = store, scheduler, settings

    # --- generate
    # ----------------------------------------------------------------------------------------------

    def generate(self, body: Body, cancellation: Cancellation) -> Iterator[Body]:
        """``POST /api/generate``."""
        call = self._call(body, cancellation, missing=404)
        prompt = str(body.get("prompt") or "")
        if not prompt and call.keep_alive == 0:
            self._scheduler.expire(call.model)
            yield _answer(call, response="", done=True, done_reason="unload")
            return
        if body.get("raw") and (body.get("template") or body.get("system") or body.get("context")):
            raise ApiError(400, "raw mode does not support template, system, or context")
        if body.get("suffix"):
            raise ApiError(400, f"{_full_name(call.model)} does not support insert")
        _refuse_thinking(call)
        with self._scheduler.use(call.model, self._profile(call), call.keep_alive) as runner:
            loaded = time.monotonic()
            if not prompt:
                yield _answer(call, response="", done=True, done_reason="load")
                return
            text = self._generate_prompt(call, runner, prompt)
            content = []
            for chunk in _completion(call, runner, text, body.get("images") or []):
                content.append(chunk["content"])
                if not chunk["done"]:
                    yield _answer(call, response=chunk["content"], done=False)
                    continue
                # Ollama's context is what the answer's model has seen, to be sent with the next prompt.
                context = {} if body.get("raw") else {"context": runner.tokenize(text + "".join(content))}
                yield {
                    **_answer(call, response=chunk["content"], done=True, done_reason=chunk["done_reason"]),
                    **context,
                    **_durations(call, loaded, chunk),
                }

    def _generate_prompt(self, call: _Call, runner: Runner, prompt: str) -> str:
        body = call.body
        if body.get("raw"):
            return prompt
        before = runner.detokenize(body["context"]) if body.get("context") else ""
        system = body.get("system") or self._store.text(call.model, library.SYSTEM_TYPE)
        if body.get("template"):
            try:
                return before + template.render(body["template"], {"System": system, "Prompt": prompt})
            except template.TemplateError as error:
                raise ApiError(500, str(error)) from error
        messages = [*self._first_messages(call), *([{"role": "system", "content": system}] if system else [])]
        marks = "".join(f"[img-{n}]" for n in range(len(body.get("images") or [])))
        return before + self._writer(call, runner)([*messages, {"role": "user", "content": marks + prompt}])

    # --- chat
    # --------------------------------------------------------------------------------------------------

    def chat(self, body: Body, cancellation: Cancellation) -> Iterator[Body]:
        """``POST /api/chat``."""
        call = self._call(body, cancellation, missing=404)
        messages = list(body.get("messages") or [])
        nothing = {"role": "assistant", "content": ""}
        if not messages and call.keep_alive == 0:
            self._scheduler.expire(call.model)
            yield _answer(call, message=nothing, done=True, done_reason="unload")
            return
        if body.get("tools"):
            raise ApiError(400, f"{_full_name(call.model)} does not support tools")
        _refuse_thinking(call)
        with self._scheduler.use(call.model, self._profile(call), call.keep_alive) as runner:
            loaded = time.monotonic()
            if not messages:
                yield _answer(call, message=nothing, done=True, done_reason="load")
                return
            system = self._store.text(call.model, library.SYSTEM_TYPE)
            first = self._first_messages(call)
            if system and messages[0].get("role") != "system":
                first.insert(0, {"role": "system", "content": system})
            messages = [*first, *messages]
            images = [image for message in messages for image in message.get("images") or []]
            prompt = _chat_prompt(runner, self._writer(call, runner), messages, truncate=call.truncate)
            for chunk in _completion(call, runner, prompt, images):
                message = {"role": "assistant", "content": chunk["content"]}
                if chunk["done"]:
                    yield {
                        **_answer(call, message=message, done=True, done_reason=chunk["done_reason"]),
                        **_durations(call, loaded, chunk),
                    }
                else:
                    yield _answer(call, message=message, done=False)

    # --- embed
    # -------------------------------------------------------------------------------------------------

    def embed(self, body: Body, cancellation: Cancellation) -> Body:
        """``POST /api/embed``."""
        given = body.get("input")
        if isinstance(given, str):
            inputs = [given] if given else []
        elif isinstance(given, list) and all(isinstance(text, str) for text in given):
            inputs = given
        elif given is None:
            inputs = []
        else:
            raise ApiError(400, "invalid input type")
        call = self._call(body, cancellation, missing=404)
        with self._scheduler.use(call.model, self._profile(call, embedding=True), call.keep_alive) as runner:
            loaded = time.monotonic()
            if not inputs:
                return {"model": call.name, "embeddings": []}

            def one(text: str) -> tuple[list[float], int]:
                return runner.embed(_fitting(call, runner, text), cancellation)

            with ThreadPoolExecutor(max_workers=4) as pool:
                results = list(pool.map(one, inputs))
        dimensions = body.get("dimensions") or 0
        vectors = [_normalised(vector) for vector, _ in results]
        if dimensions > 0:
            vectors = [_normalised(v[:dimensions]) if dimensions < len(v) else v for v in vectors]
        return {
            "model": call.name,
            "embeddings": vectors,
            "total_duration": _nanoseconds(time.monotonic() - call.started),
            "load_duration": _nanoseconds(loaded - call.started),
            "prompt_eval_count": sum(count for _, count in results),
        }

    def embeddings(self, body: Body, cancellation: Cancellation) -> Body:
        """``POST /api/embeddings``, the older form: one prompt, and its vector as the model gives it."""
        call = self._call(body, cancellation, missing=404)
        with self._scheduler.use(call.model, self._profile(call, embedding=True), call.keep_alive) as runner:
            prompt = body.get("prompt") or ""
            return {"embedding": runner.embed(prompt, cancellation)[0] if prompt else []}

    # --- what they share
    # ---------------------------------------------------------------------------------------

    def _call(self, body: Body, cancellation: Cancellation, *, missing: int) -> _Call:
        started = time.monotonic()
        keep_alive = body.get("keep_alive")
        given = str(body.get("model") or "")
        try:
            model = self._store.get(names.parse(given))
        except (names.InvalidNameError, NotFoundError) as error:
            raise ApiError(missing if given else 400, _missing(given)) from error
        parameters = json.loads(self._store.text(model, library.PARAMETERS_TYPE) or "{}")
        return _Call(
            body=body,
            model=model,
            options=options.merge(parameters, body.get("options"), self._settings.context_length),
            keep_alive=None if keep_alive is None else options.duration(keep_alive),
            started=started,
            cancellation=cancellation,
        )

    def _first_messages(self, call: _Call) -> list[Body]:
        """The messages of a Modelfile, with which every conversation begins."""
        return list(json.loads(self._store.text(call.model, library.MESSAGES_TYPE) or "[]"))

    def _writer(self, call: _Call, runner: Runner) -> Callable[[list[Body]], str]:
        """What makes a prompt of messages: the template of a Modelfile, else the one in the weights."""
        own = self._store.text(call.model, library.TEMPLATE_TYPE)
        in_weights = gguf.read(self._store.weights(call.model)).get("tokenizer.chat_template")
        if own in {"", library.TEMPLATE, in_weights}:
            return runner.apply_template
        return lambda messages: template.render_chat(own, messages)

    def _profile(self, call: _Call, *, embedding: bool = False) -> Profile:
        weights = self._store.weights(call.model)
        metadata = gguf.read(weights)
        trained = metadata[f"{metadata['general.architecture']}.context_length"]
        return Profile(
            weights=weights,
            embedding=embedding,
            num_ctx=min(max(call.options["num_ctx"], 4), trained),
            shift=call.shift and not embedding,
            num_batch=call.options["num_batch"],
            num_thread=call.options["num_thread"],
            use_mmap=call.options["use_mmap"] is not False,
            num_parallel=1 if embedding else self._settings.num_parallel,
            cache_ram_mib=self._settings.cache_ram_mib,
        )


def _missing(name: str) -> str:
    return f"model '{name}' not found" if name else "model is required"


def _full_name(model: Stored) -> str:
    return "/".join((model.name.host, model.name.namespace, f"{model.name.model}:{model.name.tag}"))


def _refuse_thinking(call: _Call) -> None:
    if call.body.get("think"):
        raise ApiError(400, f'"{call.name}" does not support thinking')


def _answer(call: _Call, **fields: Any) -> Body:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {"model": call.name, "created_at": now, **fields}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _durations(call: _Call, loaded: float, chunk: Body) -> Body:
    return {
        "total_duration": _nanoseconds(time.monotonic() - call.started),
        "load_duration": _nanoseconds(loaded - call.started),
        **chunk["metrics"],
    }


def _chat_prompt(
    runner: Runner, write: Callable[[list[Body]], str], messages: list[Body], *, truncate: bool
) -> str:
    """The prompt of a conversation; the oldest messages are left out when it does not fit and may be cut."""
    plain, image = [], 0
    for message in messages:
        marks = ""
        for _ in message.get("images") or []:
            marks += f"[img-{image}]"
            image += 1
        content = marks + str(message.get("content") or "")
        plain.append({"role": message.get("role", "user"), "content": content})
    prompt = write(plain)
    if not truncate:
        return prompt
    for start in range(len(plain)):
        systems = [message for message in plain[:start] if message["role"] == "system"]
        prompt = write(systems + plain[start:])
        if len(runner.tokenize(prompt)) <= runner.profile.num_ctx:
            break
    return prompt


def _completion(call: _Call, runner: Runner, prompt: str, images: list[str]) -> Iterator[Body]:
    """Pieces of the answer; the last one, which is missing when the model repeats itself, has ``done``."""
    opts = call.options
    limit = _OPEN_ENDED_CONTEXTS * runner.profile.num_ctx
    request: Body = {
        "prompt": _media(prompt, images) if images else _prompt(call, runner, prompt),
        "stream": True,
        "cache_prompt": True,
        "n_predict": limit if opts["num_predict"] < 0 else min(opts["num_predict"], limit),
        "n_keep": opts["num_keep"],
        "stop": opts["stop"] or [],
        "frequency_penalty": opts["frequency_penalty"],
        **{
            name: opts[name]
            for name in [
                "temperature",
                "top_k",
                "top_p",
                "min_p",
                "typical_p",
                "repeat_last_n",
                "repeat_penalty",
            ]
        },
        "presence_penalty": opts["presence_penalty"],
        "seed": opts["seed"],
        **_format(call.body.get("format")),
    }
    last, repeats = "", 0
    for event in runner.complete(request, call.cancellation):
        content = event.get("content", "")
        repeats = repeats + 1 if content.strip() == last else 0
        last = content.strip()
        if repeats > _MAX_REPEATS:
            return
        if event.get("stop"):
            timings = event.get("timings", {})
            yield {
                "content": content,
                "done": True,
                "done_reason": "length" if event.get("stop_type") == "limit" else "stop",
                "metrics": {
                    "prompt_eval_count": timings.get("cache_n", 0) + timings.get("prompt_n", 0),
                    "prompt_eval_duration": int(timings.get("prompt_ms", 0) * 1e6),
                    "eval_count": timings.get("predicted_n", 0),
                    "eval_duration": int(timings.get("predicted_ms", 0) * 1e6),
                },
            }
        elif content:
            yield {"content": content, "done": False}


def _prompt(call: _Call, runner: Runner, prompt: str) -> str | list[int]:
    """The prompt, cut from the front to about half of the context when it does not fit and may be cut."""
    num_ctx = runner.profile.num_ctx
    if not call.truncate or len(prompt) < num_ctx:
        return prompt
    tokens = runner.tokenize(prompt)
    if len(tokens) <= num_ctx - 1:
        return prompt
    if not call.shift:
        raise ApiError(400, _TOO_LONG)
    keep = call.options["num_keep"]
    keep = min(len(tokens) if keep < 0 else keep, num_ctx - 1)
    limit = num_ctx - max((num_ctx - keep) // 2, 1)
    return tokens[:keep] + tokens[len(tokens) - (limit - keep) :]


def _media(prompt: str, images: list[str]) -> Body:
    """A prompt with images, which llama.cpp refuses for a model that cannot see."""
    for image in images:
        try:
            base64.b64decode(image, validate=True)
        except ValueError as error:
            raise ApiError(400, f"illegal base64 data at input byte 0: {error}") from error
    return {"prompt_string": prompt, "multimodal_data": images}


def _format(wanted: Any) -> Body:
    if wanted in (None, ""):
        return {}
    if wanted == "json":
        return {"json_schema": {"type": "object"}}
    if isinstance(wanted, dict):
        return {"json_schema": wanted}
    raise ApiError(
        500,
        f'invalid format: {json.dumps(json.dumps(wanted))}; expected "json" or a valid JSON Schema object',
    )


def _fitting(call: _Call, runner: Runner, text: str) -> str:
    """An input that fits into the context, cut at its end if it may be."""
    # One place for the token with which the model ends an input.
    limit = runner.profile.num_ctx - 1
    tokens = runner.tokenize(text)
    if len(tokens) <= limit:
        return text
    if not call.truncate:
        raise ApiError(400, "the input length exceeds the context length")
    return runner.detokenize(tokens[:limit])


def _normalised(vector: list[float]) -> list[float]:
    norm = max(math.sqrt(math.fsum(number * number for number in vector)), 1e-12)
    return [number / norm for number in vector]
