# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime of one execution environment: ``python bootstrap.py MODULE.FUNCTION``, events in, results out.

A line of JSON on standard input is an event and its context; a line of JSON on the original standard output
is its result. What the handler prints goes to standard error, the log.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from typing import Any


class Context:
    """https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

    def __init__(self, request: dict[str, Any]) -> None:
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = "$LATEST"
        self.invoked_function_arn = request["function_arn"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.aws_request_id = request["request_id"]
        self._deadline = time.monotonic() + request["timeout"]

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def main() -> None:
    """Serve events until the input ends."""
    # The results' channel is kept from the handler, whose prints go to the log.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    module, _, function = sys.argv[1].replace("/", ".").rpartition(".")
    handler = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            handler = handler or getattr(importlib.import_module(module), function)
            answer = {"result": handler(request["event"], Context(request))}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.flush()  # what it printed is in the log before its result is known
        results.write(json.dumps(answer, default=str) + "\n")
        results.flush()


if __name__ == "__main__":
    main()
