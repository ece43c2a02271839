# SPDX-License-Identifier: GPL-3.0-or-later
"""The work on one document, stage by stage.

    parse -> look for its result -> load -> extract -> infer -> store -> announce

Each stage is a method that takes a `Job` further; who calls them, and on which thread, is the
pipeline's business. Everything here may be done twice and must not hurt.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from ollama_worker import __version__, mime
from ollama_worker.announce import Announcer, created, envelope, failed, origin
from ollama_worker.content import Content
from ollama_worker.engine.manager import EngineManager
from ollama_worker.errors import (
    ConditionFailedError,
    UnsupportedTypeError,
    WorkerError,
)
from ollama_worker.events import DocumentEvent
from ollama_worker.extract import extract
from ollama_worker.generate import Answer, Usage
from ollama_worker.infer import Inference
from ollama_worker.model import ModelDefinition
from ollama_worker.results import ResultStore, Stored, fingerprint, output_type, result_key
from ollama_worker.settings import Settings
from ollama_worker.sniff import compatible, sniff
from ollama_worker.source import LoadedDocument, Spool, load


class SkippedError(WorkerError):
    """There is nothing to do for this document here; its message is acknowledged."""

    slug = "skipped"


@dataclass(slots=True)
class Job:
    """A document on its way.

    :ivar stored: its result, once there is one; `repeated` says that it was there before.
    :ivar seconds: what each phase took.
    """

    event: DocumentEvent
    key: str = ""
    fingerprint: str = ""
    type: str = ""
    previous: Stored | None = None
    stored: Stored | None = None
    repeated: bool = False
    loaded: LoadedDocument | None = None
    content: Content | None = None
    answer: Answer | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    closed: bool = False

    def close(self) -> None:
        """The document has ended, one way or the other."""
        self.closed = True
        self.discard()

    def discard(self) -> None:
        """Free what the document holds."""
        if self.loaded is not None:
            self.loaded.discard()
        self.content = None


class DocumentWork:
    """The stages, for one processor."""

    def __init__(
        self,
        settings: Settings,
        model: ModelDefinition,
        engine: EngineManager,
        s3: Any,
        results: ResultStore,
        announcer: Announcer,
        inference: Inference,
        spool: Spool,
    ) -> None:
        self.settings = settings
        self.model = model
        self._engine = engine
        self._s3 = s3
        self._results = results
        self._announcer = announcer
        self._inference = inference
        self._type = output_type(settings, model)
        self._spool = spool

    def look_up(self, job: Job) -> None:
        """Find out whether the document has its result already.

        :raises SkippedError: when the result in place was made from a later version of the document.
        :raises PermanentError: when the document cannot be for this processor.
        """
        event = job.event
        job.type = self._known_type(event)
        job.key = result_key(self.settings.processor, event.document.key, self._type)
        job.previous = self._results.find(job.key)
        if event.document.etag is not None:
            self._compare(job, event.document.etag)

    def load(self, job: Job) -> None:
        """Download the document."""
        limits = self.settings.limits
        with _timed(job, "load"):
            loaded = load(
                self._s3,
                job.event.document,
                max_bytes=limits.max_document_bytes,
                spool=self._spool,
            )
        job.loaded = loaded
        if job.event.document.etag is None:
            self._compare(job, loaded.etag)

    def extract(self, job: Job) -> None:
        """Make text and images of the bytes."""
        loaded = job.loaded
        if loaded is None:
            raise RuntimeError("extract before load")
        with _timed(job, "extract"):
            found = sniff(loaded.head())
            job.type = self._checked_type(job.type, found, loaded)
            job.content = extract(
                loaded,
                job.type,
                self.settings.limits,
                work_dir=self.settings.work_dir,
                vision=self.model.vision,
            )
            loaded.discard()

    def infer(self, job: Job) -> None:
        """Run the model."""
        content = job.content
        if content is None:
            raise RuntimeError("infer before extract")
        with _timed(job, "infer"):
            job.answer = self._inference.answer(content, job.event.document.key, job.event.metadata)

    def store(self, job: Job) -> None:
        """Write the result, unless another worker has written it meanwhile."""
        answer = job.answer
        if answer is None:
            raise RuntimeError("store before infer")
        with _timed(job, "store"):
            try:
                job.stored = self._results.write(
                    job.key,
                    answer.text.encode("utf-8", "replace"),
                    mime_type=self._type,
                    metadata=self._object_metadata(job),
                    provenance=self._provenance(job, answer),
                    replaces=job.previous,
                )
            except ConditionFailedError:
                job.previous = self._results.find(job.key)
                self._compare(job, job.loaded.etag if job.loaded else job.event.document.etag or "")
                if job.stored is None:
                    raise

    def announce(self, job: Job) -> None:
        """Tell the bus of the result."""
        if job.stored is None:
            raise RuntimeError("announce before store")
        attributes = job.content.attributes if job.content is not None else {}
        title = attributes.get("title")
        update: dict[str, Any] = {"properties": {"kind": "text", "attrs": {}}}
        if title:
            update["title"] = title
        if job.event.document.type is None:
            job.event = _with_type(job.event, job.type)
        self._announcer.announce(
            created(
                self.settings.source,
                self.settings.processor,
                job.event,
                job.stored,
                self._results.bucket,
                update,
            )
        )

    def announce_failure(self, event: DocumentEvent, error: WorkerError) -> None:
        """Tell the bus that a document failed for good."""
        self._announcer.announce(failed(self.settings.source, self.settings.processor, event, error))

    def _known_type(self, event: DocumentEvent) -> str:
        """The type that event or key tell, ``""`` when only the bytes can tell."""
        told = event.document.type
        if told:
            try:
                kind: str | None = mime.check_mime_type(told.partition(";")[0])
            except ValueError:
                kind = None
        else:
            kind = mime.type_of_key(event.document.key)
        if kind is None:
            if not self.settings.sniff:
                raise SkippedError("Neither key nor event tell the document's type, and sniffing is off.")
            return ""
        if not mime.accepts(self.model.inputs, kind):
            raise UnsupportedTypeError(
                f"The document is {kind}; {self.model.reference} reads {', '.join(self.model.inputs)}."
            )
        return kind

    def _checked_type(self, told: str, found: str | None, loaded: LoadedDocument) -> str:
        """The type to read the document as, when its bytes agree with what was told."""
        if told:
            if found is not None and found != told and not compatible(told, found):
                raise UnsupportedTypeError(
                    f"The document says that it is {told}, but its bytes are {found}.", slug="wrong-type"
                )
            return told
        if found is None:
            stated = loaded.content_type.partition(";")[0].strip().lower()
            found = stated if stated.startswith("text/") else "text/plain"
        if not mime.accepts(self.model.inputs, found):
            raise SkippedError(f"The document is {found} by its bytes, which this processor does not read.")
        return found

    def _compare(self, job: Job, etag: str) -> None:
        """See whether the result that is in place is the one that the document would get."""
        facts = self._engine.facts
        job.fingerprint = fingerprint(job.event, etag, self.settings, self.model, facts.digest, facts.num_ctx)
        previous = job.previous
        if previous is None:
            return
        if previous.fingerprint == job.fingerprint:
            job.stored = previous
            job.repeated = True
        elif _later(previous.sequencer, job.event.document.sequencer):
            raise SkippedError("The result in place was made from a later version of the document.")

    def _object_metadata(self, job: Job) -> dict[str, str]:
        metadata = {
            "pasture-fingerprint": job.fingerprint,
            # User metadata are headers: ASCII only.
            "pasture-chain-id": quote(job.event.chain_id, safe="")[:256],
        }
        if job.event.document.sequencer:
            metadata["pasture-sequencer"] = quote(job.event.document.sequencer, safe="")[:128]
        return metadata

    def _provenance(self, job: Job, answer: Answer) -> dict[str, Any]:
        facts = self._engine.facts
        settings = self.settings
        content = job.content or Content()
        usage = answer.usage
        return {
            "schema_version": 1,
            "chain_id": job.event.chain_id,
            "fingerprint": job.fingerprint,
            "worker": __version__,
            "processor": settings.source,
            "document": {
                **envelope(job.event.document),
                "type": job.type,
                "etag": job.loaded.etag if job.loaded else job.event.document.etag,
            },
            "source": origin(job.event),
            "metadata": job.event.metadata,
            "call_stack": list(job.event.call_stack),
            "extraction": dict(content.attributes),
            "model": {
                "name": self.model.name,
                "tag": self.model.tag,
                "digest": facts.digest,
                "engine": facts.version,
            },
            "task": settings.task,
            "prompt_sha256": _sha256(settings.prompt),
            "combine_prompt_sha256": _sha256(settings.combine_prompt),
            "system_sha256": _sha256(settings.system),
            "options": dict(self._engine.profile.options),
            "format": settings.format,
            "think": settings.think,
            "result": {"type": self._type, "done_reason": answer.done_reason},
            "usage": _usage(usage, content),
            "seconds": {name: round(value, 4) for name, value in job.seconds.items()},
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }


class _timed:  # noqa: N801 - reads as a statement
    """Adds the seconds of a block to a job's phase."""

    def __init__(self, job: Job, phase: str) -> None:
        self._job = job
        self._phase = phase

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *_exception: object) -> None:
        seconds = self._job.seconds
        seconds[self._phase] = seconds.get(self._phase, 0.0) + time.monotonic() - self._begun


def _usage(usage: Usage, content: Content) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "output_tokens": usage.output_tokens,
        "parts": usage.parts,
        "calls": usage.calls,
        "combine_rounds": usage.combine_rounds,
        "images": usage.images,
        "format_retries": usage.format_retries,
        "characters": len(content.text),
        "characters_sent": usage.characters,
        "characters_dropped": len(content.text) - usage.characters,
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _with_type(event: DocumentEvent, kind: str) -> DocumentEvent:
    return replace(event, document=replace(event.document, type=kind or None))


def _later(stored: str, incoming: str | None) -> bool:
    """Whether the sequencer of the stored result is later.

    "Compare the two strings by lexicographic ordering, right-padding the shorter with zeros":
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    if not stored or not incoming:
        return False
    width = max(len(stored), len(incoming))
    return stored.ljust(width, "0") > incoming.ljust(width, "0")
