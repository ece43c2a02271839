# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker as the container runs it: everything put together, started, and ended in order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import FrameType

from ollama_worker import __version__, log
from ollama_worker.age import process_age
from ollama_worker.announce import Announcer
from ollama_worker.aws import Clients, read_definition
from ollama_worker.documents import DocumentWork
from ollama_worker.engine.manager import EngineManager, launch
from ollama_worker.errors import PermanentError, WorkerError
from ollama_worker.health import HealthFile
from ollama_worker.infer import Inference
from ollama_worker.model import ModelDefinition
from ollama_worker.pipeline import Pipeline
from ollama_worker.results import ResultStore
from ollama_worker.settings import Settings, from_environment
from ollama_worker.source import Spool
from ollama_worker.sqs import Queue

# Between two looks at a definition that is missing or broken.
_DEFINITION_SECONDS = 15.0
# Until weights that were no model are looked at again.
_WEIGHTS_SECONDS = 1800.0


def run(environment: Mapping[str, str]) -> int:
    """Process documents until SIGTERM or SIGINT.

    :raises WorkerError: when settings, definition or engine make work impossible.
    """
    settings = from_environment(environment)
    stopping = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        log.info("told to stop", signal=signal.Signals(number).name)
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    metrics = log.Metrics(settings.stack, settings.processor)
    begin = {"ContainerStartTime": process_age()}
    metrics.emit("worker starts", begin, version=__version__, processor=settings.source, slots=settings.slots)
    # Starts while this one makes its clients and reads the model's definition.
    process = launch(settings)
    try:
        clients = Clients(settings.region, connections=settings.slots + 24)
        model = _definition(clients, settings, stopping)
    except BaseException:
        if process is not None:
            process.stop()
        raise
    if model is None:
        if process is not None:
            process.stop()
        return 0
    abandon = _Abandon()
    engine = EngineManager(settings, model, metrics, stopping.is_set, process)
    parts = ThreadPoolExecutor(settings.slots, "part") if settings.slots > 1 else None
    inference = Inference(settings, engine, abandoned=abandon, executor=parts)
    results = ResultStore(clients.s3, settings.results_bucket, settings.kms_key_id)
    announcer = Announcer(clients.events, settings.event_bus)
    spool = Spool(settings.work_dir, settings.limits.max_memory_bytes, stopping.is_set)
    work = DocumentWork(settings, model, engine, clients.s3, results, announcer, inference, spool)
    messages = Queue(clients.sqs, settings.queue_url, settings.dlq_url, settings.visibility_seconds)
    pipeline = Pipeline(settings, messages, work, engine, metrics, stopping)
    abandon.pipeline = pipeline
    engine.start()
    try:
        pipeline.run()
    except PermanentError as error:
        _until_it_may_help_to_start_again(clients, settings, model, error, stopping)
        raise
    finally:
        engine.close()
        if parts is not None:
            parts.shutdown(wait=False, cancel_futures=True)
    log.info("worker ends")
    return 0


def _definition(clients: Clients, settings: Settings, stopping: threading.Event) -> ModelDefinition | None:
    """The model's definition; waits, taking no messages, while it is missing or broken.

    Ending instead would have ECS start the task again and again.

    :returns: None when the worker is told to stop.
    """
    health = HealthFile(settings.work_dir)
    while not stopping.is_set():
        health.write("waiting for the model's definition")
        try:
            return read_definition(clients, settings.model_parameter)
        except WorkerError as error:
            log.log(40, str(error), error_type=error.slug, next_look_seconds=_DEFINITION_SECONDS)
            stopping.wait(_DEFINITION_SECONDS)
    return None


def _until_it_may_help_to_start_again(
    clients: Clients,
    settings: Settings,
    model: ModelDefinition,
    error: PermanentError,
    stopping: threading.Event,
) -> None:
    """Hold a worker whose model cannot be had: no such object, another digest, no model at all.

    It has no messages any more. Ended at once, it would be started by ECS again and again, and fetch the weights
    each time. Another definition ends the wait, and so does time, since the object may be another one by then.
    """
    log.log(40, str(error), error_type=error.slug, waiting_seconds=_WEIGHTS_SECONDS)
    health = HealthFile(settings.work_dir)
    end = time.monotonic() + _WEIGHTS_SECONDS
    while time.monotonic() < end and not stopping.wait(_DEFINITION_SECONDS):
        health.write("waiting for another definition of the model")
        with suppress(WorkerError):
            if read_definition(clients, settings.model_parameter) != model:
                return


class _Abandon:
    """Whether inference that is under way is to be given up: late in a drain, not at its beginning."""

    pipeline: Pipeline | None = None

    def __call__(self) -> bool:
        return self.pipeline is not None and self.pipeline.abandoned
