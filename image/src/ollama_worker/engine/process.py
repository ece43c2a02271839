# SPDX-License-Identifier: GPL-3.0-or-later
"""``ollama serve`` as a child process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from ollama_worker import log
from ollama_worker.engine.client import OllamaClient
from ollama_worker.errors import EngineError, EngineUnavailableError

# Has the kernel end the engine when the worker ends, however it ends, and then becomes the engine.
# PR_SET_PDEATHSIG is 1 (prctl(2)); a preexec_fn would do the same but may deadlock in a process with threads.
_BECOME = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execv(sys.argv[1], sys.argv[1:])"

# Lines of the engine that are kept to tell why it ended.
_KEPT_LINES = 20


class EngineProcess:
    """One run of ``ollama serve`` on a free loopback port."""

    def __init__(self, store: Path, environment: Mapping[str, str]) -> None:
        """Start it; `wait_until_ready` comes next.

        :param store: the folder of models.
        :param environment: further variables of the engine.
        :raises EngineError: when there is no ``ollama`` on the PATH.
        """
        program = shutil.which("ollama")
        if program is None:
            raise EngineError("There is no 'ollama' on the PATH, and OLLAMA_HOST names no server.")
        #: When it was started (`time.monotonic`).
        self.begun = time.monotonic()
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._last: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BECOME, program, "serve"],
            env={
                **os.environ,
                **environment,
                "OLLAMA_HOST": f"127.0.0.1:{port}",
                "OLLAMA_MODELS": str(store),
                # At its start Ollama would delete the blobs that another task is pulling.
                "OLLAMA_NOPRUNE": "1",
                "OLLAMA_NO_CLOUD": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # A group of its own: SIGTERM to the worker's group must not end the engine before its
            # documents are done, and llama-server, its child, must end with it.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read_output, name="engine-log", daemon=True)
        self._reader.start()

    def wait_until_ready(self, seconds: float, stopping: Callable[[], bool] = lambda: False) -> str:
        """Wait until it answers.

        :returns: its version.
        :raises EngineUnavailableError: when it ends, or does not answer in time.
        """
        deadline = time.monotonic() + seconds
        client = OllamaClient(self.url, silence_seconds=5.0, connections=1)
        try:
            while time.monotonic() < deadline and not stopping():
                if not self.running:
                    raise EngineUnavailableError(f"The engine ended at its start: {self.last_words()}")
                with suppress(EngineUnavailableError):
                    return client.version()
                time.sleep(0.05)
        finally:
            client.close()
        raise EngineUnavailableError(f"The engine did not answer within {seconds:.0f} s: {self.last_words()}")

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def parallel(self) -> int | None:
        """How many requests the model's runner was started for; None when there is none to be seen.

        Ollama's API does not tell. It starts ``llama-server ... -np N`` for each model, in its own session
        (`startLlamaServer` in https://github.com/ollama/ollama/blob/main/llm/llama_server.go).
        """
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError, IndexError):
                # Of the fields behind the name, which may hold anything, the fourth is the session (proc(5)).
                if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) != self._process.pid:
                    continue
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if Path(words[0]).name == "llama-server":
                    return int(words[words.index("-np") + 1])
        return None

    def last_words(self) -> str:
        """What it wrote last, with its exit status when it has ended."""
        status = self._process.poll()
        ended = "" if status is None else f"exit status {status}; "
        return ended + (" | ".join(self._last[-5:]) or "it wrote nothing")

    def stop(self, seconds: float = 10.0) -> None:
        """End it and all its children: politely, then by force."""
        for sent in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, sent)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
                break
        # Whoever of the group is left, a llama-server that did not end with its parent.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._reader.join(1.0)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read_output(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with suppress(ValueError):  # closed by stop
            for line in stream:
                text = line.rstrip()
                self._last = [*self._last[-_KEPT_LINES:], text]
                log.log(10, "engine", line=text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
