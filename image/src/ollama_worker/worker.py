# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker as the container runs it: everything put together, started, and ended in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

from ollama_worker import __version__, log
from ollama_worker.announce import Announcer
from ollama_worker.aws import Clients, read_definition
from ollama_worker.documents import DocumentWork
from ollama_worker.engine.manager import EngineManager
from ollama_worker.infer import Inference
from ollama_worker.pipeline import Pipeline
from ollama_worker.results import ResultStore
from ollama_worker.settings import from_environment
from ollama_worker.sqs import Queue


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
    log.info("worker starts", version=__version__, processor=settings.source, slots=settings.slots)
    clients = Clients(settings.region, connections=4 * settings.slots + 10)
    model = read_definition(clients, settings.model_parameter)
    metrics = log.Metrics(settings.stack, settings.processor)
    abandon = _Abandon()
    engine = EngineManager(settings, model, metrics, stopping.is_set)
    with ThreadPoolExecutor(settings.slots, "part") as parts:
        inference = Inference(
            settings, engine, abandoned=abandon, executor=parts if settings.slots > 1 else None
        )
        work = DocumentWork(
            settings,
            model,
            engine,
            clients.s3,
            ResultStore(clients.s3, settings.results_bucket, settings.kms_key_id),
            Announcer(clients.events, settings.event_bus),
            inference,
        )
        messages = Queue(clients.sqs, settings.queue_url, settings.dlq_url, settings.visibility_seconds)
        pipeline = Pipeline(settings, messages, work, engine, metrics, stopping)
        abandon.pipeline = pipeline
        engine.start()
        try:
            pipeline.run()
        finally:
            engine.close()
    log.info("worker ends")
    return 0


class _Abandon:
    """Whether inference that is under way is to be given up: late in a drain, not at its beginning."""

    pipeline: Pipeline | None = None

    def __call__(self) -> bool:
        return self.pipeline is not None and self.pipeline.abandoned
