# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulator with trouble on demand, for tests only: ``python trial_cloud.py [--record FILE] [--latency SECONDS]``.

It is the emulator as it is, behind a layer that tests tell, by HTTP, which calls are to go wrong:

- ``PUT /trial/faults``: a list of :class:`Fault`. The first that fits a call is used up by it.
- ``GET /trial/held``: the calls that were done and whose answer is held back for good.
- ``POST /trial/copy``: a second emulator with the same state, on a port of its own: a fork of the process.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException
from moto.core.request import determine_request_protocol
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from pasture_local.emulator import patches
from pasture_local.emulator.calls import Call, identify
from pasture_local.emulator.http import LOOPBACK, make_server
from pasture_local.emulator.recording import Recorder

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass
class Fault:
    """What becomes of a call.

    :ivar call: ``service:Operation``, as botocore calls the service and the API reference the operation.
    :ivar code: the error that it gets instead of being done; empty: it is done, and nobody is told.
    :ivar skip: how many such calls go well before.
    :ivar times: how many go wrong after that.
    """

    call: str
    code: str = ""
    message: str = "No."
    skip: int = 0
    times: int = 1

    def meets(self, call: Call) -> bool:
        """Whether this call goes wrong; counts it."""
        if self.call != f"{call.service}:{call.operation}" or self.times == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class RefusedError(ServiceException):  # type: ignore[misc]  # moto ships no types
    """What a call is answered with. A class of this file, because moto takes its own for a service's."""


class Trouble:
    """WSGI middleware that lets calls go wrong."""

    def __init__(
        self, application: WSGIApplication, copy: Callable[[], dict[str, Any]], latency: float = 0.0
    ) -> None:
        self._application = application
        self._copy = copy
        self._latency = latency
        self._faults: list[Fault] = []
        self._held: list[str] = []
        self._lock = threading.Lock()
        #: What the emulator takes for its own address; empty: what is asked. Queues have it in their URL.
        self.address = ""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        environ["HTTP_HOST"] = self.address or environ["HTTP_HOST"]
        if path.startswith("/trial/"):
            body = json.dumps(self._command(path, environ)).encode()
            start_response("200 OK", [("Content-Type", "application/json")])
            return [body]
        if not isinstance(environ["wsgi.input"], io.BytesIO):
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read())
        time.sleep(self._latency)
        call = identify(environ)
        with self._lock:
            fault = next((fault for fault in self._faults if call and fault.meets(call)), None)
        if call is None or fault is None:
            return self._application(environ, start_response)
        if fault.code:
            return _refusal(call, fault, environ, start_response)
        b"".join(self._application(environ, start_response))
        with self._lock:
            self._held.append(fault.call)
        # Until the test kills who waits for the answer.
        threading.Event().wait()
        return []

    def _command(self, path: str, environ: WSGIEnvironment) -> Any:
        if path == "/trial/faults":
            with self._lock:
                self._faults = [Fault(**one) for one in json.loads(environ["wsgi.input"].read())]
                self._held = []
            return []
        return self._copy() if path == "/trial/copy" else self._held


def _refusal(
    call: Call, fault: Fault, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """The error in the service's own format."""
    model = get_service_model(call.service)
    protocol = determine_request_protocol(model, environ.get("CONTENT_TYPE", ""))
    serializer = get_serializer_class(call.service, protocol)(
        operation_model=model.operation_model(call.operation)
    )
    answer = serializer.serialize(RefusedError(fault.code, fault.message))
    body = answer["body"]
    content = body if isinstance(body, bytes) else str(body).encode()
    start_response(
        f"{max(int(answer['status_code']), 400)} Refused",
        [(name, str(value)) for name, value in answer["headers"].items() if name.lower() != "content-length"],
    )
    return [content]


def main(argv: list[str] | None = None) -> int:
    """Serve on a free port until SIGTERM."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--record", type=Path, help="append each AWS call to this file")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each call takes longer")
    arguments = parser.parse_args(argv)
    record = arguments.record
    os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    patches.apply()
    application: WSGIApplication = DomainDispatcherApplication(create_backend_app)
    if record:
        application = Recorder(application, record)

    def copy() -> dict[str, Any]:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            # The only thread here is that of the request: no other one was at work.
            trouble.address = trouble.address or f"{LOOPBACK}:{server.port}"
            server.server_close()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            mine = make_server(trouble, 0)
            os.write(writing, str(mine.port).encode())
            os.close(writing)
            mine.serve_forever(poll_interval=0.1)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            return {"pid": pid, "url": f"http://{LOOPBACK}:{pipe.read()}"}

    trouble = Trouble(application, copy, arguments.latency)
    server = make_server(trouble, 0)
    # Copies that are killed are nobody's zombies.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print(f"http://{LOOPBACK}:{server.port}", flush=True)
    server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
