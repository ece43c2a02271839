# SPDX-License-Identifier: GPL-3.0-or-later
"""``ollama-worker process FILE``: one local document through a model, for people."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from ollama_worker import log, mime
from ollama_worker.engine.manager import EngineManager
from ollama_worker.errors import SettingsError, UnsupportedTypeError
from ollama_worker.extract import extract
from ollama_worker.infer import Inference
from ollama_worker.model import ModelDefinition
from ollama_worker.settings import Settings, from_environment
from ollama_worker.sniff import sniff
from ollama_worker.source import LoadedDocument

_NEEDED = {
    "PASTURE_STACK": "local",
    "PASTURE_PROCESSOR": "process",
    "PASTURE_QUEUE_URL": "-",
    "PASTURE_RESULTS_BUCKET": "-",
    "PASTURE_MODEL_PARAMETER": "-",
}


def process(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print the model's answer for a file.

    :raises WorkerError: with a sentence, when there is none to be had.
    """
    given = {name: value for name, value in environment.items() if value}
    if options.prompt:
        given["PASTURE_PROMPT"] = options.prompt
    settings = from_environment({**_NEEDED, **given})
    path = Path(options.file)
    if not path.is_file():
        raise SettingsError(f"There is no file {path}.")
    model = _model(options.model, settings)
    head = _loaded(path)
    kind = options.type or mime.type_of_key(path.name) or sniff(head.head()) or "text/plain"
    if not options.model and not mime.accepts(model.inputs, kind):
        raise UnsupportedTypeError(
            f"The document is {kind}; {model.reference} reads {', '.join(model.inputs)}."
        )
    content = extract(head, kind, settings.limits, work_dir=settings.work_dir, vision=model.vision)
    log.quiet()
    engine = EngineManager(settings, model, log.Metrics(settings.stack, settings.processor), lambda: False)
    engine.start()
    try:
        engine.wait_ready()
        answer = Inference(settings, engine).answer(content, path.name, {})
    finally:
        engine.close()
    print(answer.text)
    if options.provenance:
        usage = {name: getattr(answer.usage, name) for name in answer.usage.__slots__ if name[0] != "_"}
        print(json.dumps({"type": kind, **content.attributes, **usage}, default=str), file=sys.stderr)
    return 0


def _model(reference: str | None, settings: Settings) -> ModelDefinition:
    if reference:
        name, _, tag = reference.partition(":")
        return ModelDefinition(name, tag or "latest", inputs=("text/plain",), capabilities=())
    if settings.model_parameter == "-":
        raise SettingsError("Name a model: --model NAME:TAG, or PASTURE_MODEL_PARAMETER.")
    from ollama_worker.aws import Clients, read_definition  # noqa: PLC0415

    return read_definition(Clients(settings.region), settings.model_parameter)


def _loaded(path: Path) -> LoadedDocument:
    data = path.read_bytes()
    return LoadedDocument(etag="", size=len(data), content_type="", user_metadata={}, data=data)
