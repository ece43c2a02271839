# SPDX-License-Identifier: GPL-3.0-or-later
"""The reading process: takes a request on standard input, leaves ``answer.json`` in the request's folder."""

from __future__ import annotations

import importlib
import json
import resource
import sys
from pathlib import Path
from typing import Any

from ollama_worker.content import Content
from ollama_worker.errors import PermanentError
from ollama_worker.readers.request import Request
from ollama_worker.settings import Limits

_OPENXML = "application/vnd.openxmlformats-officedocument"

#: Mime-type to the module whose ``read`` takes it.
READERS = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    f"{_OPENXML}.wordprocessingml.document": "docx",
    f"{_OPENXML}.presentationml.presentation": "pptx",
    f"{_OPENXML}.spreadsheetml.sheet": "xlsx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/epub+zip": "epub",
    "application/rtf": "rtf",
    "message/rfc822": "mail",
    "image/png": "image",
    "image/jpeg": "image",
    "image/webp": "image",
    "image/gif": "image",
    "image/bmp": "image",
    "image/tiff": "image",
}

# A result may hold pictures of many pages.
_MAX_FILE_BYTES = 1024 * 1024 * 1024


def main() -> int:
    """Read one document."""
    request = json.load(sys.stdin)
    limits = Limits(**request["limits"])
    folder = Path(request["folder"])
    _restrict(limits)
    wanted = Request(Path(request["path"]), request["kind"], limits, vision=request["vision"])
    answer = _answer(wanted, folder)
    partial = folder / "answer.partial"
    partial.write_text(json.dumps(answer), encoding="utf-8")
    partial.replace(folder / "answer.json")
    return 0


def _answer(request: Request, folder: Path) -> dict[str, Any]:
    kind = request.kind
    limits = request.limits
    try:
        # Text that is here is only too large to be decoded in the worker.
        name = READERS.get(kind, "plain" if kind.startswith(("text/", "application/")) else "")
        if not name:
            return _error("unsupported-type", f"Documents of type {kind} cannot be read.")
        reader = importlib.import_module(f"ollama_worker.readers.{name}")
        content: Content = reader.read(request)
    except PermanentError as error:
        return _error(error.slug, str(error))
    except MemoryError:
        return _error(
            "extraction-memory",
            f"Reading the document takes more than {limits.extract_memory_bytes} bytes of memory "
            "(PASTURE_EXTRACT_MEMORY_BYTES).",
        )
    except RecursionError:
        return _error("unreadable-document", "The document is nested too deep.")
    except Exception as error:
        return _error(
            "unreadable-document", f"The {kind} document cannot be read: {type(error).__name__}: {error}"
        )
    images = []
    for number, image in enumerate(content.images, 1):
        images.append(f"image-{number}")
        (folder / images[-1]).write_bytes(image)
    return {"text": content.text, "images": images, "attributes": dict(content.attributes)}


def _error(slug: str, message: str) -> dict[str, Any]:
    return {"error": {"slug": slug, "message": message[:1000]}}


def _restrict(limits: Limits) -> None:
    seconds = limits.extract_seconds
    for what, value in (
        (resource.RLIMIT_AS, limits.extract_memory_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, _MAX_FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _soft, hard = resource.getrlimit(what)
        wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (wanted, wanted))


if __name__ == "__main__":
    sys.exit(main())
