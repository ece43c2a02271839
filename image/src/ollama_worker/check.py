# SPDX-License-Identifier: GPL-3.0-or-later
"""``ollama-worker check``: what of the worker's surroundings is right and what is wrong, as a table."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ollama_worker.aws import Clients, calling, read_definition
from ollama_worker.engine.client import OllamaClient
from ollama_worker.engine.store import ModelStore
from ollama_worker.errors import PermanentError, RetryableError, WorkerError
from ollama_worker.health import HealthFile
from ollama_worker.model import ModelDefinition
from ollama_worker.results import ResultStore
from ollama_worker.settings import Settings, from_environment
from ollama_worker.sqs import Queue


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table."""

    subject: str
    ok: bool
    detail: str


def check(environment: Mapping[str, str]) -> int:
    """Print the table.

    :returns: 0 when all is right, else 1.
    """
    findings = list(_findings(environment))
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        print(f"{'ok   ' if finding.ok else 'WRONG'}  {finding.subject:{width}}  {finding.detail}")
    return 0 if all(finding.ok for finding in findings) else 1


def _findings(environment: Mapping[str, str]) -> Iterator[Finding]:
    try:
        settings = from_environment(environment)
    except WorkerError as error:
        yield Finding("settings", ok=False, detail=str(error))
        return
    yield Finding("settings", ok=True, detail=f"{settings.source}, {settings.slots} slots")
    yield _tried("work folder", lambda: _work_folder(settings))
    try:
        clients = Clients(settings.region)
    except WorkerError as error:
        yield Finding("AWS", ok=False, detail=str(error))
        return
    model: ModelDefinition | None = None
    try:
        model = read_definition(clients, settings.model_parameter)
        yield Finding(
            "model definition", ok=True, detail=f"{model.reference} reads {', '.join(model.inputs)}"
        )
    except WorkerError as error:
        yield Finding("model definition", ok=False, detail=str(error))
    yield _tried("queue", lambda: _queue(clients, settings))
    yield _tried("results bucket", lambda: _results(clients, settings))
    yield _tried("event bus", lambda: _bus(clients, settings))
    yield _tried("engine", lambda: _engine(settings))
    if model is not None:
        defined = model
        yield _tried("model", lambda: _model(clients, settings, defined))


def _tried(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, ok=True, detail=look())
    except (WorkerError, OSError) as error:
        return Finding(subject, ok=False, detail=str(error))


def _work_folder(settings: Settings) -> str:
    with tempfile.TemporaryFile(dir=settings.work_dir) as file:
        file.write(b"x")
    health = HealthFile(settings.work_dir).check()
    return f"{settings.work_dir} is writable; " + (
        "a worker runs here" if health is None else "no worker runs here"
    )


def _queue(clients: Clients, settings: Settings) -> str:
    receives = Queue(clients.sqs, settings.queue_url, settings.dlq_url, 30).max_receives()
    if settings.dlq_url is None:
        raise RetryableError("PASTURE_DLQ_URL is not set: permanent failures would only be announced.")
    return f"{settings.queue_url}, max_receives {receives}"


def _results(clients: Clients, settings: Settings) -> str:
    bucket = settings.results_bucket
    try:
        with calling(f"look at s3://{bucket}"):
            # Needs s3:ListBucket, as telling a missing result from a forbidden one does.
            clients.s3.head_bucket(Bucket=bucket)
    except PermanentError as error:
        raise RetryableError(f"The bucket {bucket} does not exist.") from error
    except RetryableError as error:
        if error.slug == "access-denied":
            raise RetryableError(f"{error}. The task role needs s3:ListBucket on the bucket.") from error
        raise
    ResultStore(clients.s3, bucket, None).find(f"{settings.processor}/.check")
    return f"s3://{bucket} answers"


def _bus(clients: Clients, settings: Settings) -> str:
    if settings.event_bus is None:
        raise RetryableError("PASTURE_EVENT_BUS is not set: results are not announced.")
    # An entry without a detail is refused for itself, after the permission was checked: nothing is sent.
    with calling(f"put events on {settings.event_bus}"):
        answer = clients.events.put_events(
            Entries=[{"Source": settings.source, "DetailType": "check", "EventBusName": settings.event_bus}]
        )
    code = answer["Entries"][0].get("ErrorCode")
    if code not in (None, "InvalidArgument"):
        raise RetryableError(f"EventBridge refuses events: {code}")
    return f"{settings.event_bus} takes events"


def _engine(settings: Settings) -> str:
    if settings.engine_host is None:
        program = shutil.which("ollama")
        if program is None:
            raise RetryableError("There is no 'ollama' on the PATH, and OLLAMA_HOST names no server.")
        return f"{program} will be started"
    client = OllamaClient(settings.engine_host, silence_seconds=10, connections=1)
    try:
        return f"{settings.engine_host} answers, version {client.version()}"
    finally:
        client.close()


def _model(clients: Clients, settings: Settings, model: ModelDefinition) -> str:
    reference = model.reference
    if settings.engine_host is None:
        store = ModelStore(settings.store)
        if store.complete(reference) and store.origin(reference) == model.origin_mark:
            return f"{reference} is in {settings.store}" + (
                f", made of {model.origin}" if model.origin else ""
            )
        if model.origin is None:
            raise RetryableError(
                f"{reference} is not in {settings.store}; the worker will pull it at its start."
            )
        sizes = [_readable(clients, url) for url in (model.origin, model.modelfile) if url]
        raise RetryableError(
            f"{reference} is not in {settings.store}, or is made of other weights; the worker will bring the "
            f"{sizes[0]} bytes of {model.origin} at its start."
        )
    client = OllamaClient(settings.engine_host, silence_seconds=10, connections=1)
    try:
        if client.show(reference) is None and model.origin:
            raise RetryableError(
                f"{settings.engine_host} does not have {reference}, which is made of {model.origin}: make it there."
            )
        if client.show(reference) is None:
            raise RetryableError(
                f"{settings.engine_host} does not have {reference}; the worker will pull it."
            )
        return f"{settings.engine_host} has {reference}"
    finally:
        client.close()


def _readable(clients: Clients, url: str) -> int:
    """The bytes of an object that the worker is to read."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    with calling(f"read {url}"):
        return int(clients.s3.head_object(Bucket=bucket, Key=key)["ContentLength"])
