# SPDX-License-Identifier: GPL-3.0-or-later
"""From the bytes of a document to text and images that a model reads.

Small text is decoded here. Everything that takes a parser is read by `ollama_worker.readers` in a
process of its own, with limits on memory, processor time and files, and without the worker's
credentials: a document can end that process, never the worker.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path

from ollama_worker.charset import decode
from ollama_worker.content import Content
from ollama_worker.errors import PermanentError, RetryableError
from ollama_worker.mime import PLAIN_TEXT
from ollama_worker.settings import Limits
from ollama_worker.source import LoadedDocument

# Each may use `extract_memory_bytes`: two at a time bound what the container needs.
_READERS = threading.BoundedSemaphore(2)

# Set when the worker is installed otherwise than in its interpreter's own site-packages.
_PASSED_ON = ("PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")

_STDERR_BYTES = 500


def extract(loaded: LoadedDocument, kind: str, limits: Limits, *, work_dir: Path, vision: bool) -> Content:
    """What a model reads of a document.

    :param kind: the document's mime-type.
    :param vision: whether pictures of pages without text are of use.
    :raises PermanentError: when there is nothing to be had from it.
    """
    if kind in PLAIN_TEXT and loaded.data is not None:
        text, charset = decode(loaded.data)
        content = Content(text, attributes={"charset": charset})
    else:
        with _READERS, tempfile.TemporaryDirectory(dir=work_dir, prefix="extract-") as folder:
            content = _read_apart(loaded, kind, limits, Path(folder), vision=vision)
    if len(content.text) > limits.max_text_characters:
        raise PermanentError(
            f"The document has {len(content.text)} characters of text; {limits.max_text_characters} are "
            "allowed (PASTURE_MAX_TEXT_CHARACTERS).",
            slug="document-too-large",
        )
    if not content.images and not content.text.strip():
        raise PermanentError("The document is empty: there is no text in it.", slug="empty-document")
    return content


def _read_apart(loaded: LoadedDocument, kind: str, limits: Limits, folder: Path, *, vision: bool) -> Content:
    path = loaded.path
    if path is None:
        path = folder / "document"
        path.write_bytes(loaded.data or b"")
    request = {
        "path": str(path),
        "kind": kind,
        "folder": str(folder),
        "vision": vision,
        "limits": asdict(limits),
    }
    try:
        # -I: neither the current folder nor the environment decide what is imported.
        ended = subprocess.run(
            [sys.executable, "-I", "-m", "ollama_worker.readers"],
            input=json.dumps(request).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=limits.extract_seconds,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ}
            | {"TMPDIR": str(folder)},
            cwd=folder,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _too_long(limits) from None
    except OSError as error:
        raise RetryableError(
            f"The document's reader could not be started: {error}", slug="no-reader"
        ) from error
    answer = folder / "answer.json"
    if not answer.exists():
        raise _crashed(ended.returncode, ended.stderr[-_STDERR_BYTES:].decode(errors="replace"), limits)
    value = json.loads(answer.read_text("utf-8", "surrogatepass"))
    if "error" in value:
        raise PermanentError(value["error"]["message"], slug=value["error"]["slug"])
    return Content(
        # Half a surrogate pair cannot be sent to anyone.
        text=value["text"].encode("utf-8", "replace").decode(),
        images=tuple((folder / name).read_bytes() for name in value["images"]),
        attributes=value["attributes"],
    )


def _crashed(status: int, stderr: str, limits: Limits) -> PermanentError:
    if status == -signal.SIGXCPU:
        return _too_long(limits)
    return PermanentError(
        f"Reading the document ended the reader (status {status}) without an answer: {stderr.strip()}",
        slug="extraction-crashed",
    )


def _too_long(limits: Limits) -> PermanentError:
    return PermanentError(
        f"Reading the document took longer than {limits.extract_seconds} s (PASTURE_EXTRACT_SECONDS).",
        slug="extraction-timeout",
    )
