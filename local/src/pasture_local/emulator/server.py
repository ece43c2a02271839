# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting the emulator together, and running it until it is told to stop."""

from __future__ import annotations

import logging
import resource
import signal
import threading
from pathlib import Path
from types import FrameType

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from pasture_local.emulator import patches, routing
from pasture_local.emulator.http import LOOPBACK, make_server
from pasture_local.emulator.recording import Recorder


def serve(port: int, *, functions_url: str | None, record: Path | None, patched: bool) -> None:
    """Serve until SIGTERM or SIGINT; port 0 picks a free one. Prints one line when ready and one at the end.

    Raises PortInUseError when the port is taken.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if patched:
        patches.apply()
        routing.invoke_functions_at(functions_url)
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server(Recorder(application, record) if record else application, port)

    def stop(_signum: int, _frame: FrameType | None) -> None:
        # shutdown() waits for serve_forever(), which runs in this very thread.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"AWS emulator on http://{LOOPBACK}:{server.port}", flush=True)
    server.serve_forever(poll_interval=0.1)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"AWS emulator stopped; peak memory {peak_mib} MiB", flush=True)
