# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs and metrics: one JSON object per line on standard output.

A metric is a log line in CloudWatch's embedded metric format
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html):
the line that tells how a document ended carries its numbers, so nothing is said twice and no call is
made for metrics.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

NAMESPACE = "Pasture"

_LOGGER = logging.getLogger("ollama_worker")

#: Metric names and their units: a public promise, dashboards are made of them.
METRICS: Mapping[str, str] = {
    "DocumentsSucceeded": "Count",
    "DocumentsFailed": "Count",
    "DocumentsRetried": "Count",
    "DocumentsRepeated": "Count",
    "DocumentsIgnored": "Count",
    "TokensIn": "Count",
    "TokensOut": "Count",
    "Parts": "Count",
    "QueueWait": "Seconds",
    "EngineWait": "Seconds",
    "LoadTime": "Seconds",
    "ExtractTime": "Seconds",
    "InferTime": "Seconds",
    "StoreTime": "Seconds",
    "DocumentTime": "Seconds",
    "ContainerStartTime": "Seconds",
    "EngineStarts": "Count",
    "EngineUpTime": "Seconds",
    "ModelFoundTime": "Seconds",
    "ModelLoadTime": "Seconds",
    "ReadyTime": "Seconds",
    "FirstDocumentTime": "Seconds",
}


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; what was given as ``extra={"fields": ...}`` is merged in."""

    def format(self, record: logging.LogRecord) -> str:
        """:returns: the line, without a line end."""
        line: dict[str, Any] = {
            "time": _timestamp(record.created),
            "level": record.levelname,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(level: str) -> None:
    """Send the worker's records, and warnings of libraries, to standard output as JSON."""
    if hasattr(sys.stdout, "reconfigure"):
        # A lone surrogate in a file name must not end the worker in its log.
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _LOGGER.setLevel(level)


def log(level: int, message: str, *, exception: BaseException | None = None, **fields: Any) -> None:
    """Write one line.

    :param exception: its traceback is added; for surprises only, what is expected is told by a field `error`.
    :param fields: further keys of the line; None is left out.
    """
    kept = {name: value for name, value in fields.items() if value is not None}
    _LOGGER.log(level, message, exc_info=exception, extra={"fields": kept})


def quiet() -> None:
    """Write nothing but errors, to standard error: for commands that print for people."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    _LOGGER.setLevel(logging.ERROR)


def info(message: str, **fields: Any) -> None:
    """Write one line at level INFO."""
    log(logging.INFO, message, **fields)


def warning(message: str, **fields: Any) -> None:
    """Write one line at level WARNING."""
    log(logging.WARNING, message, **fields)


class Metrics:
    """Writes lines with metrics for one processor."""

    def __init__(self, stack: str, processor: str) -> None:
        self._dimensions = {"Stack": stack, "Processor": processor}

    def emit(self, message: str, values: Mapping[str, float], **fields: Any) -> None:
        """Write a line at level INFO that CloudWatch makes metrics of.

        :param values: metric name, of `METRICS`, to value.
        :raises KeyError: for a name that is not in `METRICS`.
        """
        rounded = {
            name: value if isinstance(value, int) else round(value, 4) for name, value in values.items()
        }
        line: dict[str, Any] = {
            **fields,
            **self._dimensions,
            **rounded,
            "_aws": {
                "Timestamp": int(time.time() * 1000),
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": [list(self._dimensions)],
                        "Metrics": [{"Name": name, "Unit": METRICS[name]} for name in values],
                    }
                ],
            },
        }
        log(logging.INFO, message, **line)


def _timestamp(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"
