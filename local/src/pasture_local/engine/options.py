# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request may set: options, the time a model stays loaded, and the server's own settings."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pasture_local.engine.errors import ApiError

# Ollama's defaults: https://docs.ollama.com/modelfile#valid-parameters-and-values and its api/types.go.
_DEFAULTS: dict[str, Any] = {
    "num_predict": -1,
    "num_keep": 4,
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repeat_last_n": 64,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "seed": -1,
    "stop": None,
    "num_batch": 512,
    "num_thread": 0,
    "use_mmap": None,
    "num_gpu": -1,
}
_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    **dict.fromkeys(
        [
            "num_ctx",
            "num_predict",
            "num_keep",
            "top_k",
            "repeat_last_n",
            "seed",
            "num_batch",
            "num_thread",
            "num_gpu",
        ],
        (int, "integer"),
    ),
    **dict.fromkeys(
        [
            "temperature",
            "top_p",
            "min_p",
            "typical_p",
            "repeat_penalty",
            "presence_penalty",
            "frequency_penalty",
        ],
        ((int, float), "float32"),
    ),
    "use_mmap": (bool, "boolean"),
    "stop": (list, "array of strings"),
}
_DURATION = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Settings:
    """The environment of ``serve``, read once."""

    host: str
    port: int
    models: Path
    num_parallel: int
    keep_alive: float  # seconds
    max_queue: int
    context_length: int  # tokens, when a request does not say
    prune: bool
    cache_ram_mib: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """The settings that the environment makes, with Ollama's defaults.

        :raises ValueError: with a sentence, when one of them is no number.
        """

        def number(name: str, default: int) -> int:
            text = environment.get(name, "")
            try:
                return int(text) if text else default
            except ValueError as error:
                raise ValueError(f"{name}={text} is not a whole number.") from error

        host, port = address(environment.get("OLLAMA_HOST", ""))
        default_models = Path(environment.get("HOME", "~")).expanduser() / ".ollama" / "models"
        try:
            keep_alive = duration(environment.get("OLLAMA_KEEP_ALIVE") or "5m", bare_seconds=True)
        except ApiError as error:
            raise ValueError(f"OLLAMA_KEEP_ALIVE: {error.message}.") from error
        return cls(
            host=host,
            port=port,
            models=Path(environment.get("OLLAMA_MODELS") or default_models),
            num_parallel=max(1, number("OLLAMA_NUM_PARALLEL", 1)),
            keep_alive=keep_alive,
            max_queue=number("OLLAMA_MAX_QUEUE", 512),
            # Below 23 GiB of GPU memory Ollama's default is 4096, and this server has no GPU.
            context_length=number("OLLAMA_CONTEXT_LENGTH", 4096) or 4096,
            prune=environment.get("OLLAMA_NOPRUNE", "").lower() in ("", "0", "false"),
            cache_ram_mib=number("LLAMA_ARG_CACHE_RAM", 8192),
        )


def address(text: str) -> tuple[str, int]:
    """Host and port of OLLAMA_HOST, such as ``127.0.0.1:11434``, ``:8080`` or ``http://localhost``.

    :raises ValueError: when the port is none.
    """
    scheme, separator, rest = text.strip().rpartition("://")
    default = {"http": 80, "https": 443}.get(scheme, 11434) if separator else 11434
    host, _, port = (
        rest.partition("/")[0].rpartition(":") if ":" in rest else (rest.partition("/")[0], "", "")
    )
    if port and not port.isdigit():
        raise ValueError(f"OLLAMA_HOST={text}: '{port}' is not a port.")
    return host.strip("[]") or "127.0.0.1", int(port) if port else default


def duration(value: Any, *, bare_seconds: bool = False) -> float:
    """Seconds of a ``keep_alive``: a number of seconds, or text such as ``5m``; infinity when negative.

    :param bare_seconds: also take text that is a bare number, as OLLAMA_KEEP_ALIVE does.
    :raises ApiError: when it is neither.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return math.inf if value < 0 else float(value)
    if not isinstance(value, str):
        raise ApiError(400, f"Unsupported type: '{type(value).__name__}'")
    text = value.strip()
    if bare_seconds and re.fullmatch(r"-?\d+", text):
        return duration(int(text))
    if text == "0":
        return 0.0
    body = text.lstrip("+-")
    if not body or _DURATION.sub("", body):
        problem = "missing unit in" if re.fullmatch(r"[0-9.]+", body) else "invalid"
        raise ApiError(400, f'time: {problem} duration "{value}"')
    if text.startswith("-"):
        return math.inf
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(body))


def merge(model: Mapping[str, Any], request: Mapping[str, Any] | None, num_ctx: int) -> dict[str, Any]:
    """All options: the request's over the model's over the defaults. Unknown ones are ignored.

    :raises ApiError: when one has a value of the wrong type.
    """
    merged = {**_DEFAULTS, "num_ctx": num_ctx, **model}
    for name, given in (request or {}).items():
        if name not in _KINDS or given is None:
            continue
        kind, text = _KINDS[name]
        value = int(given) if kind is int and isinstance(given, float) and given.is_integer() else given
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ApiError(500, f'option "{name}" must be of type {text}')
        merged[name] = value
    return merged
