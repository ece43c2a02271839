# SPDX-License-Identifier: GPL-3.0-or-later
"""The awslogs driver: what a container writes to its log file goes to CloudWatch Logs."""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from pasture_local.agent.definition import LogTarget

# A batch may hold 10,000 events and 1 MiB, 26 bytes of it for each event:
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
_BATCH_EVENTS = 1000
_BATCH_BYTES = 900_000
_EVENT_BYTES = 256_000
_log = logging.getLogger(__name__)


class LogShipper:
    """Follows one file and puts its new lines into one log stream."""

    def __init__(self, client: Any, target: LogTarget, file: Path) -> None:
        self._client = client
        self._target = target
        self._file = file
        self._offset = file.stat().st_size if file.exists() else 0
        self._rest = b""
        self._created = False
        self._broken = False

    def ship(self, final: bool = False) -> list[str]:
        """Put what is new, a last line without an end only when ``final``; return the lines."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        if final and self._rest:
            whole.append(self._rest)
            self._rest = b""
        lines = [text for line in whole if (text := line.decode(errors="replace").rstrip("\r"))]
        if lines and not self._broken:
            self._put(lines)
        return lines

    def _put(self, lines: list[str]) -> None:
        now = int(time.time() * 1000)
        batch: list[dict[str, Any]] = []
        size = 0
        try:
            self._create()
            for line in lines:
                message = line.encode()[:_EVENT_BYTES].decode(errors="ignore")
                if len(batch) == _BATCH_EVENTS or size + len(message) * 4 > _BATCH_BYTES:
                    self._flush(batch)
                    batch, size = [], 0
                batch.append({"timestamp": now, "message": message})
                size += len(message.encode()) + 26
            self._flush(batch)
        except ClientError as error:
            # As the driver does, the container goes on without its log; the file has it all.
            _log.warning("log stream %s: %s", self._target.stream, error)
            self._broken = True

    def _flush(self, batch: list[dict[str, Any]]) -> None:
        self._client.put_log_events(
            logGroupName=self._target.group, logStreamName=self._target.stream, logEvents=batch
        )

    def _create(self) -> None:
        if self._created:
            return
        with contextlib.suppress(self._client.exceptions.ResourceAlreadyExistsException):
            self._client.create_log_stream(logGroupName=self._target.group, logStreamName=self._target.stream)
        self._created = True
