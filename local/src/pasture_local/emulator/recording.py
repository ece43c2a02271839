# SPDX-License-Identifier: GPL-3.0-or-later
"""Recording of the calls that the emulator serves, one JSON object a line."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Recorder:
    """WSGI middleware that appends a line to a file for each call."""

    def __init__(self, application: WSGIApplication, path: Path) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        entry: dict[str, Any] = {"time": time.time(), "method": environ["REQUEST_METHOD"]}

        def record_status(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            entry["status"] = int(status.split(maxsplit=1)[0])
            return start_response(status, headers, exc_info)

        chunks = self._application(environ, record_status)
        with self._lock:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()
        return chunks
