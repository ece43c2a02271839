# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the deployed functions that events are sent to, asynchronously, as Lambda does for EventBridge."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import queue
import select
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pasture_local import processes
from pasture_local.cloud import Cloud
from pasture_local.credentials import RoleCredentials
from pasture_local.functions import bootstrap
from pasture_local.home import Home
from pasture_local.http_server import Answer

_log = logging.getLogger(__name__)

#: Where the emulator hands out the code of a function, which moto keeps to itself.
CODE_PATH = "/moto-api/pasture/functions"
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
_DEFAULT_EVENT_AGE = 6 * 3600.0
_DEFAULT_RETRIES = 2
_FIRST_RETRY_SECONDS = 1.0
#: An execution environment that has had nothing to do for so long, in seconds, is ended.
_IDLE_SECONDS = 60.0
#: A change of a function is seen after so many seconds; Lambda's takes some, too.
_DESCRIBED_SECONDS = 1.0
#: Execution environments of one function side by side, whatever its concurrency allows.
_MOST_ENVIRONMENTS = 4


@dataclass(frozen=True)
class Function:
    """What was deployed."""

    arn: str
    name: str
    handler: str
    role: str
    timeout: float
    memory: int
    digest: str
    variables: tuple[tuple[str, str], ...]
    concurrency: int | None
    event_age: float
    retries: int


@dataclass(frozen=True)
class _Invocation:
    event: Any
    received: float  # time.monotonic()


class InvocationError(Exception):
    """The function failed or took too long."""


class FunctionRunner:
    """Takes events and gives each to its function; every function has a queue of its own."""

    def __init__(self, cloud: Cloud, credentials: RoleCredentials, home: Home) -> None:
        self._cloud = cloud
        self._credentials = credentials
        self._home = home
        self._queues: dict[str, queue.Queue[_Invocation]] = {}
        self._workers: dict[str, int] = {}
        self._described: dict[str, tuple[float, Function]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def handle(self, method: str, _path: str, body: Any) -> Answer:
        """``POST /functions`` with ``function_arn`` and ``event``: accepted at once, run when its turn comes."""
        if method != "POST" or not isinstance(body, dict) or "function_arn" not in body:
            return 400, {"error": "POST an object with function_arn and event."}
        arn = str(body["function_arn"])
        with self._lock:
            waiting = self._queues.setdefault(arn, queue.Queue())
            waiting.put(_Invocation(body.get("event"), time.monotonic()))
            if self._workers.get(arn, 0) == 0:
                self._start_worker(arn)
        return 202, {"accepted": True}

    def shutdown(self) -> None:
        """Let no more functions run; those that do end with this process."""
        self._stopping.set()

    def _start_worker(self, arn: str) -> None:
        self._workers[arn] = self._workers.get(arn, 0) + 1
        threading.Thread(target=self._work, args=(arn,), name=f"function {arn}", daemon=True).start()

    def _work(self, arn: str) -> None:
        """One execution environment: it lives as long as there is something to do, and a little longer."""
        environment: Environment | None = None
        waiting = self._queues[arn]
        try:
            while not self._stopping.is_set():
                try:
                    invocation = waiting.get(timeout=_IDLE_SECONDS)
                except queue.Empty:
                    with self._lock:
                        if waiting.empty():
                            self._workers[arn] -= 1
                            return
                    continue
                environment = self._serve(arn, invocation, environment)
        except Exception:
            _log.exception("the environment of %s ended", arn)
            with self._lock:
                self._workers[arn] -= 1
        finally:
            if environment:
                environment.end()

    def _serve(
        self, arn: str, invocation: _Invocation, environment: Environment | None
    ) -> Environment | None:
        try:
            function = self._deployed(arn)
        except (ClientError, BotoCoreError) as error:
            _log.warning("%s: %s", arn, error)
            return environment
        if function.concurrency == 0:
            return environment  # reserved concurrency 0 throttles all, until the events are too old
        self._spread(function)
        for attempt in range(function.retries + 1):
            if time.monotonic() - invocation.received > function.event_age:
                _log.info("%s: an event of more than %.0f s was dropped", function.name, function.event_age)
                return environment
            if environment and (environment.function != function or not environment.alive()):
                environment.end()
                environment = None
            try:
                environment = environment or self._environment(function)
                result = environment.invoke(invocation.event)
            except (InvocationError, ClientError, BotoCoreError, OSError, zipfile.BadZipFile) as error:
                _log.warning("%s, attempt %d: %s", function.name, attempt + 1, error)
            else:
                _log.info("%s: %s", function.name, json.dumps(result)[:500])
                return environment
            if attempt < function.retries:
                self._stopping.wait(_FIRST_RETRY_SECONDS * 2**attempt)
        return environment

    def _spread(self, function: Function) -> None:
        """Another environment, where the concurrency allows one and events wait."""
        allowed = min(function.concurrency or _MOST_ENVIRONMENTS, _MOST_ENVIRONMENTS)
        with self._lock:
            if self._queues[function.arn].qsize() > 0 and self._workers[function.arn] < allowed:
                self._start_worker(function.arn)

    def _deployed(self, arn: str) -> Function:
        """What is deployed, asked once a second: of a burst of events, not each has to ask."""
        now = time.monotonic()
        asked, function = self._described.get(arn, (0.0, None))
        if function is None or now - asked > _DESCRIBED_SECONDS:
            function = self.describe(arn)
            self._described[arn] = now, function
        return function

    def describe(self, arn: str) -> Function:
        """What is deployed under the ARN."""
        client = self._cloud.client("lambda")
        found = client.get_function(FunctionName=arn)
        configuration = found["Configuration"]
        try:
            invoke = client.get_function_event_invoke_config(FunctionName=arn)
        except client.exceptions.ResourceNotFoundException:
            invoke = {}
        return Function(
            arn=arn,
            name=configuration["FunctionName"],
            handler=configuration["Handler"],
            role=configuration["Role"],
            timeout=float(configuration.get("Timeout") or 3),
            memory=int(configuration.get("MemorySize") or 128),
            digest=configuration["CodeSha256"],
            variables=tuple(sorted(configuration.get("Environment", {}).get("Variables", {}).items())),
            concurrency=found.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
            event_age=float(invoke.get("MaximumEventAgeInSeconds") or _DEFAULT_EVENT_AGE),
            retries=int(invoke.get("MaximumRetryAttempts", _DEFAULT_RETRIES)),
        )

    def _environment(self, function: Function) -> Environment:
        return Environment(
            function,
            self._unpack(function),
            {
                **dict(function.variables),
                **self._credentials.environment(function.role, function.name),
                "AWS_ENDPOINT_URL": self._cloud.endpoint_url,
                "AWS_REGION": self._cloud.region,
                "AWS_DEFAULT_REGION": self._cloud.region,
            },
            self._home.logs / f"function-{function.name}.log",
        )

    def _unpack(self, function: Function) -> Path:
        safe = function.digest.replace("/", "_").rstrip("=")
        folder = self._home.functions / function.name / safe
        if not folder.exists():
            query = urllib.parse.urlencode({"arn": function.arn})
            url = f"{self._cloud.endpoint_url}{CODE_PATH}?{query}"
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - always the emulator's http URL
                package = answer.read()
            draft = folder.with_name(f"{safe}.{uuid.uuid4().hex}")
            draft.mkdir(parents=True)
            with zipfile.ZipFile(io.BytesIO(package)) as archive:
                archive.extractall(draft)
            try:
                draft.rename(folder)
            except OSError:
                if not folder.exists():  # else another environment was quicker
                    raise
        return folder


class Environment:
    """An execution environment: a process that runs the handler for one event after the other."""

    def __init__(self, function: Function, folder: Path, variables: dict[str, str], log: Path) -> None:
        self.function = function
        with log.open("ab") as output:
            self._process = processes.start(
                [sys.executable, bootstrap.__file__, function.handler],
                env={
                    "PATH": os.defpath,
                    "LANG": "C.UTF-8",
                    "TMPDIR": "/tmp",  # noqa: S108 - as in Lambda, where it is the only place to write to
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "LAMBDA_TASK_ROOT": str(folder),
                    "AWS_LAMBDA_FUNCTION_NAME": function.name,
                    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
                    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                    **variables,
                },
                cwd=folder,
                stdin=processes.PIPE,
                stdout=processes.PIPE,
                stderr=output,
            )

    def alive(self) -> bool:
        return self._process.poll() is None

    def invoke(self, event: Any) -> Any:
        """The handler's result; raises InvocationError when it fails, ends, or runs into its timeout."""
        request = {
            "event": event,
            "function_arn": self.function.arn,
            "request_id": str(uuid.uuid4()),
            "timeout": self.function.timeout,
        }
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise InvocationError("its environment has no pipes")
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        except OSError as error:
            raise InvocationError(f"its environment has ended: {error}") from error
        readable, _, _ = select.select([stdout], [], [], self.function.timeout)
        if not readable:
            self.end()
            raise InvocationError(f"Task timed out after {self.function.timeout:.2f} seconds")
        line = stdout.readline()
        if not line:
            raise InvocationError("Runtime exited without providing a reason")
        answer = json.loads(line)
        if "error" in answer:
            raise InvocationError(answer["error"])
        return answer["result"]

    def end(self) -> None:
        """End it and give back its pipes."""
        processes.kill(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                # There may be unsent input of an environment that has ended.
                with contextlib.suppress(OSError):
                    pipe.close()
