# SPDX-License-Identifier: GPL-3.0-or-later
"""The seeding task: brings models into the shared store before a GPU is paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ollama_worker import log
from ollama_worker.aws import Clients, read_definition
from ollama_worker.engine.pull import ensure_in_store
from ollama_worker.engine.store import ModelStore
from ollama_worker.errors import WorkerError
from ollama_worker.model import ModelDefinition
from ollama_worker.settings import engine_variables

_WAIT_SECONDS = 4 * 3600.0


def seed(models: Sequence[str], environment: Mapping[str, str]) -> int:
    """Have each model in the store of ``PASTURE_STORE``.

    :returns: 0 when all are there, 1 when one could not be had; the others are brought all the same.
    """
    store = ModelStore(Path(environment.get("PASTURE_STORE") or "/mnt/models"))
    failed = 0
    for model in models:
        try:
            pulled = ensure_in_store(
                store,
                model,
                environment=engine_variables(environment),
                seconds=_WAIT_SECONDS,
                definition=_definition(model, environment),
                region=_region(environment),
            )
        except WorkerError as error:
            failed = 1
            log.log(40, "model could not be brought", model=model, error_type=error.slug, reason=str(error))
        else:
            log.info("model is in the store", model=model, pulled=pulled)
    return failed


def _definition(model: str, environment: Mapping[str, str]) -> ModelDefinition | None:
    """What the registry says of the model; None without a registry: it is one of Ollama's library then."""
    registry = environment.get("PASTURE_REGISTRY", "").rstrip("/")
    if not registry:
        return None
    name, _, tag = model.partition(":")
    return read_definition(Clients(_region(environment)), f"{registry}/models/{name}/{tag or 'latest'}")


def _region(environment: Mapping[str, str]) -> str | None:
    return environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
