# SPDX-License-Identifier: GPL-3.0-or-later
"""Results: where they are, by what they are recognised, and how one is written exactly once.

The result object is the commit. Its metadata carry the fingerprint of everything that the result
depends on, so a document that comes again costs one HEAD. It is written on condition that the
object is still as that HEAD found it, so of two workers with the same document one writes and the
other finds out. The provenance is written before it: a result is never without one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ollama_worker.aws import calling
from ollama_worker.errors import ConditionFailedError, PermanentError
from ollama_worker.events import DocumentEvent
from ollama_worker.mime import extension_of
from ollama_worker.model import ModelDefinition
from ollama_worker.prompts import names
from ollama_worker.settings import Settings

#: Raise it when the worker makes another result of the same document and settings.
FORMAT_VERSION = 1

_MAX_KEY_BYTES = 1024
_PROVENANCE = ".provenance.json"


@dataclass(frozen=True, slots=True)
class Stored:
    """A result that is in the bucket."""

    key: str
    etag: str
    size: int
    type: str
    fingerprint: str
    sequencer: str


def output_type(settings: Settings, model: ModelDefinition) -> str:
    """The mime-type of this processor's results."""
    if settings.task == "embed":
        return "application/x-ndjson"
    if settings.format is not None:
        return "application/json"
    return model.outputs[0]


def result_key(processor: str, key: str, mime_type: str) -> str:
    """``<processor>/<key of the document>.<extension>``.

    :raises PermanentError: when it is longer than S3 allows.
    """
    result = f"{processor}/{key}{extension_of(mime_type)}"
    if len((result + _PROVENANCE).encode()) > _MAX_KEY_BYTES:
        raise PermanentError(
            f"The key of the result would be longer than {_MAX_KEY_BYTES} bytes: shorten the document's key.",
            slug="key-too-long",
        )
    return result


def fingerprint(
    event: DocumentEvent, etag: str, settings: Settings, model: ModelDefinition, digest: str, num_ctx: int
) -> str:
    """What a result depends on, in 64 hexadecimal digits."""
    prompts = (settings.prompt, settings.combine_prompt)
    value: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "bucket": event.document.bucket,
        "key": event.document.key,
        "etag": etag,
        "model": model.reference,
        "digest": digest,
        "model_options": dict(model.options),
        "task": settings.task,
        "prompt": settings.prompt,
        "combine_prompt": settings.combine_prompt,
        "system": settings.system,
        "options": dict(settings.options),
        "num_ctx": num_ctx,
        "format": settings.format,
        "think": settings.think,
        "on_overflow": settings.on_overflow,
        "on_length": settings.on_length,
    }
    if any(names(prompt, "metadata") for prompt in prompts):
        value["metadata"] = event.metadata
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


class ResultStore:
    """The results of one processor in the results bucket."""

    def __init__(self, s3: Any, bucket: str, kms_key_id: str | None) -> None:
        self._s3 = s3
        self.bucket = bucket
        self._encryption = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id, "BucketKeyEnabled": True}
            if kms_key_id
            else {}
        )

    def find(self, key: str) -> Stored | None:
        """The result at `key`, None when there is none."""
        try:
            with calling(f"look for s3://{self.bucket}/{key}"):
                head = self._s3.head_object(Bucket=self.bucket, Key=key)
        except PermanentError as error:
            if error.slug == "no-such-object":
                return None
            raise
        metadata = head.get("Metadata") or {}
        return Stored(
            key=key,
            etag=str(head["ETag"]).strip('"'),
            size=int(head["ContentLength"]),
            type=str(head.get("ContentType") or ""),
            fingerprint=metadata.get("pasture-fingerprint", ""),
            sequencer=metadata.get("pasture-sequencer", ""),
        )

    def write(
        self,
        key: str,
        body: bytes,
        *,
        mime_type: str,
        metadata: Mapping[str, str],
        provenance: Mapping[str, Any],
        replaces: Stored | None,
    ) -> Stored:
        """Write provenance, then result.

        :param replaces: what `find` returned for the key before the work.
        :raises ConditionFailedError: when the result is not as `find` saw it any more.
        """
        with calling(f"write s3://{self.bucket}/{key}{_PROVENANCE}"):
            self._s3.put_object(
                Bucket=self.bucket,
                Key=key + _PROVENANCE,
                Body=json.dumps(provenance, ensure_ascii=False, indent=2, default=str).encode(),
                ContentType="application/json",
                **self._encryption,
            )
        condition = {"IfMatch": f'"{replaces.etag}"'} if replaces is not None else {"IfNoneMatch": "*"}
        try:
            with calling(f"write s3://{self.bucket}/{key}"):
                answer = self._s3.put_object(
                    Bucket=self.bucket,
                    Key=key,
                    Body=body,
                    ContentType=mime_type,
                    Metadata=dict(metadata),
                    **condition,
                    **self._encryption,
                )
        except PermanentError as error:
            if error.slug != "no-such-object":
                raise
            # If-Match on an object that was deleted meanwhile.
            raise ConditionFailedError(str(error)) from error
        return Stored(
            key=key,
            etag=str(answer["ETag"]).strip('"'),
            size=len(body),
            type=mime_type,
            fingerprint=metadata.get("pasture-fingerprint", ""),
            sequencer=metadata.get("pasture-sequencer", ""),
        )
