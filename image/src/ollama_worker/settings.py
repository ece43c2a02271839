# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings: one frozen object, made once from the environment in `cli.main` and passed down."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from ollama_worker.errors import SettingsError
from ollama_worker.prompts import DEFAULT_COMBINE_PROMPT, check_template

MIB = 1024 * 1024

Task = Literal["generate", "embed"]
Think = bool | Literal["low", "medium", "high"] | None

_NAME = re.compile(r"^[a-z][a-z0-9-]{0,23}$")
_ENGINE_VARIABLES = ("OLLAMA_", "LLAMA_ARG_", "CUDA_", "NVIDIA_", "GGML_")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a document may cost. Each has a variable ``PASTURE_<NAME>``."""

    #: Bytes of an object that are downloaded at most; larger is a permanent error.
    max_document_bytes: int = 256 * MIB
    #: Bytes kept in memory of one document; what is larger streams to a file.
    max_memory_bytes: int = 8 * MIB
    #: Characters of extracted text; more is a permanent error.
    max_text_characters: int = 20_000_000
    #: Pages, slides or sheets of one document.
    max_pages: int = 5_000
    #: Bytes that a packed document (docx, epub, ...) may unpack to.
    max_unpacked_bytes: int = 512 * MIB
    #: Pixels of one image.
    max_image_pixels: int = 100_000_000
    #: Longest side, in pixels, of an image as it is given to the model.
    max_image_side: int = 2048
    #: Parts that one document may be split into.
    max_parts: int = 2_000
    #: Seconds that the extraction of one document may take.
    extract_seconds: int = 120
    #: Bytes of memory that the extraction of one document may use.
    extract_memory_bytes: int = 1024 * MIB
    #: Seconds that the engine may be silent during one call.
    engine_silence_seconds: int = 900
    #: Seconds that one document may take in all; SQS forgets a receipt after twelve hours.
    document_seconds: int = 6 * 3600


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the environment says, checked. See `from_environment` for the variables."""

    stack: str
    processor: str
    queue_url: str
    dlq_url: str | None
    results_bucket: str
    event_bus: str | None
    model_parameter: str
    prompt: str
    task: Task = "generate"
    combine_prompt: str = DEFAULT_COMBINE_PROMPT
    system: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    format: str | Mapping[str, Any] | None = None
    think: Think = None
    on_overflow: Literal["combine", "fail"] = "combine"
    on_length: Literal["fail", "accept"] = "fail"
    num_ctx: int = 8192
    slots: int = 1
    gpus: int = 0
    sniff: bool = False
    store: Path = Path("/mnt/models")
    stop_timeout: float = 120.0
    kms_key_id: str | None = None
    log_level: str = "INFO"
    poll_seconds: int = 5
    visibility_seconds: int = 180
    start_seconds: float = 1800.0
    seed_seconds: float = 7200.0
    format_retries: int = 2
    limits: Limits = field(default_factory=Limits)
    engine_host: str | None = None
    engine_environment: Mapping[str, str] = field(default_factory=dict)
    work_dir: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    region: str | None = None
    ecs_agent_uri: str | None = None

    @property
    def source(self) -> str:
        """The name that this processor's events carry as their source."""
        return f"/pasture/{self.stack}/{self.processor}"


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read and check the settings.

    :param environment: the environment of the process.
    :raises SettingsError: when a variable is missing or wrong; the message names it.
    """
    read = _Reader(environment)
    task = read.choice("PASTURE_TASK", ("generate", "embed"), "generate")
    prompt = read.template("PASTURE_PROMPT", "")
    if task == "generate" and not prompt.strip():
        raise SettingsError("PASTURE_PROMPT is empty: say what the model is to do with each document.")
    stop_timeout = read.number("PASTURE_STOP_TIMEOUT", 120.0, low=2, high=172_800)
    return Settings(
        stack=read.name("PASTURE_STACK"),
        processor=read.name("PASTURE_PROCESSOR"),
        queue_url=read.required("PASTURE_QUEUE_URL"),
        dlq_url=read.optional("PASTURE_DLQ_URL"),
        results_bucket=read.required("PASTURE_RESULTS_BUCKET"),
        event_bus=read.optional("PASTURE_EVENT_BUS"),
        model_parameter=read.required("PASTURE_MODEL_PARAMETER"),
        prompt=prompt,
        task=cast(Task, task),
        combine_prompt=read.template("PASTURE_COMBINE_PROMPT", DEFAULT_COMBINE_PROMPT),
        system=environment.get("PASTURE_SYSTEM", ""),
        options=read.options("PASTURE_OPTIONS"),
        format=read.format("PASTURE_FORMAT"),
        think=read.think("PASTURE_THINK"),
        on_overflow=cast(
            Literal["combine", "fail"], read.choice("PASTURE_ON_OVERFLOW", ("combine", "fail"), "combine")
        ),
        on_length=cast(
            Literal["fail", "accept"], read.choice("PASTURE_ON_LENGTH", ("fail", "accept"), "fail")
        ),
        num_ctx=read.integer("PASTURE_NUM_CTX", 8192, low=64, high=16_777_216),
        slots=read.integer("PASTURE_SLOTS", 1, low=1, high=256),
        gpus=read.integer("PASTURE_GPUS", 0, low=0, high=64),
        sniff=read.boolean("PASTURE_SNIFF", default=False),
        store=Path(read.optional("PASTURE_STORE") or "/mnt/models"),
        stop_timeout=stop_timeout,
        kms_key_id=read.optional("PASTURE_KMS_KEY_ID"),
        log_level=read.choice("PASTURE_LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"),
        poll_seconds=read.integer("PASTURE_POLL_SECONDS", 5, low=0, high=20),
        visibility_seconds=read.integer("PASTURE_VISIBILITY_SECONDS", 180, low=6, high=43_200),
        start_seconds=read.number("PASTURE_START_SECONDS", 1800.0, low=1, high=86_400),
        seed_seconds=read.number("PASTURE_SEED_SECONDS", 7200.0, low=1, high=86_400),
        format_retries=read.integer("PASTURE_FORMAT_RETRIES", 2, low=0, high=10),
        limits=read.limits(),
        engine_host=engine_url(environment.get("OLLAMA_HOST", "")),
        engine_environment=engine_variables(environment),
        work_dir=Path(tempfile.gettempdir()),
        region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"),
        ecs_agent_uri=read.optional("ECS_AGENT_URI"),
    )


def engine_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are the engine's, not the worker's."""
    return {name: value for name, value in environment.items() if name.startswith(_ENGINE_VARIABLES)}


def engine_url(host: str) -> str | None:
    """The URL that an ``OLLAMA_HOST`` means, as Ollama's own client reads it; None when it is empty."""
    host = host.strip().rstrip("/")
    if not host:
        return None
    default_port = ":11434"
    if "://" in host:
        # https://docs.ollama.com/faq: a scheme brings its own port along.
        default_port = ":443" if host.startswith("https://") else ":80"
    else:
        host = "http://" + host
    scheme, _, rest = host.partition("://")
    authority, slash, path = rest.partition("/")
    if not re.search(r":\d+$", authority):
        authority += default_port
    return f"{scheme}://{authority}{slash}{path}"


class _Reader:
    """Typed reads of variables; each failure is a sentence that names the variable."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def optional(self, name: str) -> str | None:
        return self._environment.get(name, "").strip() or None

    def required(self, name: str) -> str:
        value = self.optional(name)
        if value is None:
            raise SettingsError(f"{name} is not set. The processor role sets it in the task definition.")
        return value

    def name(self, name: str) -> str:
        value = self.required(name)
        if not _NAME.match(value):
            raise SettingsError(
                f"{name} is '{value}'; it must begin with a letter and hold a-z, 0-9 and '-' only."
            )
        return value

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        value = self.optional(name) or default
        for choice in choices:
            if value.lower() == choice.lower():
                return choice
        raise SettingsError(f"{name} is '{value}'; it must be one of {', '.join(choices)}.")

    def boolean(self, name: str, *, default: bool) -> bool:
        value = (self.optional(name) or str(default)).lower()
        if value not in ("true", "false", "yes", "no", "1", "0"):
            raise SettingsError(f"{name} is '{value}'; it must be true or false.")
        return value in ("true", "yes", "1")

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        return self._number(name, default, int, low, high)

    def number(self, name: str, default: float, *, low: float, high: float) -> float:
        return self._number(name, default, float, low, high)

    def _number(self, name: str, default: T, kind: Callable[[str], T], low: float, high: float) -> T:
        text = self.optional(name)
        if text is None:
            return default
        try:
            value = kind(text)
        except ValueError:
            raise SettingsError(f"{name} is '{text}'; it must be a number.") from None
        if not low <= cast(float, value) <= high:
            raise SettingsError(f"{name} is {text}; it must be between {low} and {high}.")
        return value

    def template(self, name: str, default: str) -> str:
        value = self._environment.get(name, "")
        if not value.strip():
            return default
        try:
            check_template(value)
        except ValueError as error:
            raise SettingsError(f"{name}: {error}") from None
        return value

    def options(self, name: str) -> dict[str, Any]:
        text = self.optional(name)
        if text is None:
            return {}
        try:
            value = json.loads(text)
        except ValueError as error:
            raise SettingsError(f"{name} is not JSON: {error}.") from None
        if not isinstance(value, dict):
            raise SettingsError(f'{name} must be a JSON object of Ollama options, such as {{"seed": 1}}.')
        return value

    def format(self, name: str) -> str | dict[str, Any] | None:
        text = self.optional(name)
        if text is None:
            return None
        if text == "json":
            return text
        try:
            value = json.loads(text)
        except ValueError as error:
            raise SettingsError(f"{name} must be empty, 'json' or a JSON schema: {error}.") from None
        if not isinstance(value, dict):
            raise SettingsError(f"{name} must be empty, 'json' or a JSON schema (an object).")
        return value

    def think(self, name: str) -> Think:
        value = (self.optional(name) or "").lower()
        if value in ("true", "false"):
            return value == "true"
        if value in ("", "low", "medium", "high"):
            return cast(Think, value or None)
        raise SettingsError(f"{name} is '{value}'; it must be empty, true, false, low, medium or high.")

    def limits(self) -> Limits:
        defaults = Limits()
        values = {
            name: self.integer(f"PASTURE_{name.upper()}", getattr(defaults, name), low=1, high=2**40)
            for name in Limits.__slots__
        }
        return Limits(**values)
