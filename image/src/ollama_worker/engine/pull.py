# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a model into the shared store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ollama_worker import log
from ollama_worker.engine.client import OllamaClient
from ollama_worker.engine.origin import bring
from ollama_worker.engine.process import EngineProcess
from ollama_worker.engine.store import ModelStore
from ollama_worker.errors import EngineError, StoppingError
from ollama_worker.model import ModelDefinition

# Seconds between two lines of progress.
_PROGRESS_INTERVAL = 15.0
_READY_SECONDS = 60.0


def ensure_in_store(
    store: ModelStore,
    model: str,
    *,
    environment: Mapping[str, str],
    seconds: float,
    stopping: Callable[[], bool] = lambda: False,
    definition: ModelDefinition | None = None,
    region: str | None = None,
) -> bool:
    """Have the model in the store: wait while another task brings it, else pull it.

    :param environment: further variables of the engine that pulls.
    :param seconds: how long to wait for another task.
    :param definition: says, when given, whether the model is the user's own and where its weights are.
    :param region: of AWS, for these weights.
    :returns: whether it was pulled here.
    :raises RetryableError: when the lock is not had in time or the pull fails.
    :raises StoppingError: when the worker is told to stop meanwhile.
    """
    own = definition if definition is not None and definition.origin else None
    wanted = own.origin_mark if own else ""

    def there() -> bool:
        return store.complete(model) and store.origin(model) == wanted

    if there():
        return False

    def waiting(waited: float) -> bool:
        if stopping():
            raise StoppingError("Told to stop while waiting for the model.")
        if int(waited) % 30 < 2:
            log.info("waiting for the model that another task is bringing", model=model, seconds=int(waited))
        return not there()

    with store.locked(seconds=seconds, waiting=waiting) as held:
        if not held or there():
            return False
        staging = store.staging(model)
        progress = Progress(model, stopping)
        recipe = bring(own, staging, region, progress) if own else None
        if own is None or recipe is not None:
            _with_engine(staging, model, recipe, environment, progress, stopping)
        published = store.publish(staging)
        if not store.complete(model):
            raise EngineError(
                f"The engine pulled {model} but left no complete store behind; it published {published}."
            )
        store.remember_origin(model, wanted)
        log.info("model published", model=model, manifests=published)
        return True


def _with_engine(
    staging: Path,
    model: str,
    recipe: Mapping[str, Any] | None,
    environment: Mapping[str, str],
    progress: Progress,
    stopping: Callable[[], bool],
) -> None:
    """Have an engine pull the model into the staging store, or make it of weights that are there."""
    engine = EngineProcess(staging, environment)
    try:
        engine.wait_until_ready(_READY_SECONDS, stopping)
        client = OllamaClient(engine.url, silence_seconds=300.0, connections=1)
        try:
            if recipe is None:
                client.pull(model, progress)
            else:
                client.create(model, recipe, progress)
        finally:
            client.close()
    finally:
        engine.stop()


class Progress:
    """Logs how far a pull is, a few times a minute."""

    def __init__(self, model: str, stopping: Callable[[], bool] = lambda: False) -> None:
        self._model = model
        self._stopping = stopping
        self._next = 0.0

    def __call__(self, status: str, done: int, total: int) -> None:
        """Take one line of the engine's progress.

        :raises StoppingError: when the worker is told to stop.
        """
        if self._stopping():
            raise StoppingError("Told to stop while pulling the model.")
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _PROGRESS_INTERVAL
            percent = round(100 * done / total, 1) if total else None
            log.info(
                "pulling the model", model=self._model, status=status, done=done, total=total, percent=percent
            )
