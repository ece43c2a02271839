# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps one engine usable: starts it, loads the model, watches it, starts it again.

While the engine is down the pipeline waits at `wait_ready` with its documents in hand (they are kept
invisible by the heartbeat), and takes no more. That is the circuit breaker: an outage of the engine
costs no receives.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ollama_worker import log
from ollama_worker.age import process_age
from ollama_worker.engine.client import OllamaClient, Profile
from ollama_worker.engine.process import EngineProcess
from ollama_worker.engine.pull import Progress, ensure_in_store
from ollama_worker.engine.store import ModelStore
from ollama_worker.errors import (
    EngineError,
    EngineUnavailableError,
    PermanentError,
    RetryableError,
    StoppingError,
    WorkerError,
)
from ollama_worker.model import ModelDefinition
from ollama_worker.settings import Settings

# Ollama runs these architectures one request at a time whatever OLLAMA_NUM_PARALLEL says
# (`load` in https://github.com/ollama/ollama/blob/main/server/sched.go). What a llama-server was started with is
# read back where it can be seen; this is for an engine elsewhere, and for Ollama's other runners.
_SERIAL_FAMILIES = frozenset(
    {
        "mllama",
        "qwen3vl",
        "qwen3vlmoe",
        "qwen35",
        "qwen35moe",
        "qwen3next",
        "lfm2",
        "lfm2moe",
        "nemotron_h",
        "nemotron_h_moe",
        "nemotron_h_omni",
    }
)

# MiB of prompt cache in host RAM; llama-server's own default of 8 GiB is outside Ollama's accounting.
_CACHE_RAM_MIB = "512"

_WATCH_SECONDS = 1.0
_MAX_RESTARTS = 7
_RESTART_WINDOW = 600.0


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What is known of the engine once the model is loaded.

    :ivar slots: requests that it really runs side by side.
    :ivar num_ctx: tokens of context that it really has for each.
    """

    version: str
    digest: str
    capabilities: tuple[str, ...]
    family: str
    slots: int
    num_ctx: int


def launch(settings: Settings) -> EngineProcess | None:
    """Start the engine's process without waiting for it; None where another server is used.

    :raises EngineError: when there is no engine.
    """
    if settings.engine_host is not None:
        return None
    return EngineProcess(
        settings.store,
        {
            "LLAMA_ARG_CACHE_RAM": _CACHE_RAM_MIB,
            **settings.engine_environment,
            "OLLAMA_KEEP_ALIVE": "-1",
            "OLLAMA_NUM_PARALLEL": str(settings.slots),
        },
    )


class EngineManager:
    """The engine of one worker."""

    def __init__(
        self,
        settings: Settings,
        model: ModelDefinition,
        metrics: log.Metrics,
        stopping: Callable[[], bool],
        launched: EngineProcess | None = None,
    ) -> None:
        """Make it; `start` comes next.

        :param launched: what `launch` has started already; it is the manager's from now on.
        """
        self._launched = launched
        self._settings = settings
        self._model = model
        self._metrics = metrics
        self._stopping = stopping
        self._ready = threading.Event()
        self._closed = threading.Event()
        self._suspect = threading.Event()
        self._process: EngineProcess | None = None
        self._client: OllamaClient | None = None
        self._facts: EngineFacts | None = None
        self._restarts: list[float] = []
        self.failure: WorkerError | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def profile(self) -> Profile:
        """What the model is loaded with."""
        return Profile(self._model.reference, {**_load_options(self._settings, self._model)})

    @property
    def client(self) -> OllamaClient:
        """The client of the engine that runs now.

        :raises EngineUnavailableError: when none does.
        """
        client = self._client
        if client is None:
            raise EngineUnavailableError("The engine is not running.")
        return client

    @property
    def facts(self) -> EngineFacts:
        """What is known since it was first ready."""
        if self._facts is None:
            raise EngineUnavailableError("The engine has not been ready yet.")
        return self._facts

    @property
    def ready(self) -> bool:
        """Whether the model can be used now."""
        return self._ready.is_set()

    def start(self) -> None:
        """Begin to start it, in a thread."""
        self._thread.start()

    def wait_ready(self, seconds: float | None = None) -> bool:
        """Wait until the model can be used.

        :returns: whether it can; False after `seconds`.
        :raises EngineError: when it never will.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._ready.wait(0.2):
            if self.failure is not None:
                raise self.failure
            if self._closed.is_set():
                raise EngineUnavailableError("The engine was closed.")
            if deadline is not None and time.monotonic() > deadline:
                return False
        return True

    def report(self, error: EngineUnavailableError) -> None:
        """A call failed: look at the engine at once, and hold everyone until it was found well."""
        if not self._closed.is_set():
            log.warning("engine call failed", error=str(error), error_type=error.slug)
            self._ready.clear()
            self._suspect.set()

    def abort(self) -> None:
        """Break off the calls under way: a socket that is read from is only woken by its other end."""
        self._closed.set()
        self._ready.clear()
        process = self._process
        if process is not None:
            process.stop(2.0)

    def close(self) -> None:
        """End the engine, last of all."""
        self._closed.set()
        self._suspect.set()
        if self._thread.is_alive():
            self._thread.join(30.0)
        self._stop_engine()
        if self._launched is not None:
            self._launched.stop()

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                if self._healthy():
                    self._ready.set()
                    self._suspect.wait(_WATCH_SECONDS)
                    self._suspect.clear()
                else:
                    self._ready.clear()
                    self._bring_up()
        except StoppingError as error:
            log.info("engine start given up: the worker stops")
            self.failure = error
        except WorkerError as error:
            self.failure = error
        except Exception as error:
            self.failure = EngineError(f"The engine could not be managed: {error!r}")
            log.log(40, "engine manager failed", exception=error)

    def _healthy(self) -> bool:
        if self._client is None or self._facts is None:
            return False
        if self._process is not None and not self._process.running:
            log.warning("engine died", last_words=self._process.last_words())
            return False
        if self._ready.is_set() and not self._suspect.is_set():
            return True
        try:
            self._client.version()
            return self._client.loaded(self._model.reference) is not None
        except WorkerError:
            return False

    def _bring_up(self) -> None:
        """Start the engine and load the model, as often as is sensible."""
        begun = time.monotonic() - (process_age() if self._facts is None else 0.0)
        while True:
            now = time.monotonic()
            self._restarts = [moment for moment in self._restarts if now - moment < _RESTART_WINDOW]
            if len(self._restarts) > _MAX_RESTARTS:
                raise EngineError(
                    f"The engine failed {len(self._restarts)} times within {_RESTART_WINDOW:.0f} s; giving up."
                )
            self._restarts.append(now)
            try:
                self._stop_engine()
                self._start_engine()
                self._facts = self._load(begun)
            except StoppingError:
                raise
            except RetryableError as error:
                log.warning("engine not usable yet", error=str(error), error_type=error.slug)
                if self._closed.wait(min(30.0, 2.0 ** len(self._restarts) / 2)) or self._stopping():
                    raise StoppingError("Told to stop while the engine was starting.") from None
            else:
                return

    def _start_engine(self) -> None:
        begun = time.monotonic()
        settings = self._settings
        self._process, self._launched = self._launched or launch(settings), None
        if self._process is not None:
            begun = self._process.begun
            self._process.wait_until_ready(120.0, self._stopping)
        url = self._process.url if self._process is not None else str(settings.engine_host)
        self._client = OllamaClient(
            url, silence_seconds=settings.limits.engine_silence_seconds, connections=settings.slots + 2
        )
        self._client.version()
        self._metrics.emit("engine up", {"EngineStarts": 1, "EngineUpTime": time.monotonic() - begun})

    def _load(self, begun: float) -> EngineFacts:
        client = self.client
        reference = self._model.reference
        started = time.monotonic()
        shown = self._find(client)
        found = time.monotonic()
        capabilities = tuple(map(str, shown.get("capabilities") or self._model.capabilities))
        details = shown.get("details") or {}
        family = str(details.get("family") or self._model.family)
        embedding = self._settings.task == "embed"
        try:
            client.preload(self.profile, embedding=embedding, timeout=self._settings.start_seconds)
        except PermanentError as error:
            raise EngineError(f"The model {reference} cannot be loaded: {error}") from error
        loaded = client.loaded(reference)
        if loaded is None:
            raise EngineUnavailableError(f"The model {reference} was loaded and is not there any more.")
        if self._settings.gpus and loaded.size_vram < loaded.size:
            raise EngineError(
                f"The model {reference} is not on the GPU as it should be: {loaded.size_vram} of {loaded.size} "
                "bytes are. Take an instance type with more GPU memory, a smaller model or num_ctx; if none "
                "of it is on the GPU, the container sees no GPU."
            )
        facts = EngineFacts(
            version=client.version(),
            digest=client.digest(reference),
            capabilities=capabilities,
            family=family,
            slots=self._slots(capabilities, family, embedding=embedding),
            num_ctx=loaded.context_length or self.profile.options["num_ctx"],
        )
        now = time.monotonic()
        self._metrics.emit(
            "model loaded",
            {"ModelFoundTime": found - started, "ModelLoadTime": now - found, "ReadyTime": now - begun},
            model=reference,
            digest=facts.digest,
            engine_version=facts.version,
            num_ctx=facts.num_ctx,
            slots=facts.slots,
            size=loaded.size,
            size_vram=loaded.size_vram,
        )
        return facts

    def _slots(self, capabilities: tuple[str, ...], family: str, *, embedding: bool) -> int:
        """How many requests the engine really runs side by side, at most as many as were asked for."""
        wanted = self._settings.slots
        seen = self._process.parallel() if self._process is not None else None
        if seen is not None:
            return min(wanted, seen)
        # Ollama: a model that only embeds is run one request at a time, like some families.
        serial = family in _SERIAL_FAMILIES or (embedding and "completion" not in capabilities)
        return 1 if serial else wanted

    def _find(self, client: OllamaClient) -> dict[str, Any]:
        """The model as the engine knows it; brought into the store when it is not there."""
        reference = self._model.reference
        shown = client.show(reference)
        if shown is None and self._settings.engine_host is None:
            ensure_in_store(
                ModelStore(self._settings.store),
                reference,
                environment=self._settings.engine_environment,
                seconds=self._settings.seed_seconds,
                stopping=self._stopping,
                definition=self._model,
                region=self._settings.region,
            )
            shown = client.show(reference)
        elif shown is None and self._model.origin:
            raise EngineError(
                f"{self._settings.engine_host} does not have {reference}, which is made of {self._model.origin}: "
                "make it there."
            )
        elif shown is None:
            client.pull(reference, Progress(reference, self._stopping))
            shown = client.show(reference)
        if shown is None:
            raise EngineError(f"The engine does not find the model {reference} after it was pulled.")
        return shown

    def _stop_engine(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
        process, self._process = self._process, None
        if process is not None:
            process.stop()


def _load_options(settings: Settings, model: ModelDefinition) -> dict[str, object]:
    """The options of every call. Ollama caps ``num_ctx`` at what the model was trained for."""
    wanted = settings.num_ctx
    num_ctx = min(wanted, model.context_length) if model.context_length else wanted
    # mmap over NFS reads page by page, many times slower than one sequential read.
    defaults = {"use_mmap": False} if settings.engine_host is None else {}
    return {**defaults, **model.options, **settings.options, "num_ctx": num_ctx}
