# SPDX-License-Identifier: GPL-3.0-or-later
"""Inference for one processor: the engine's calls, made again when the engine goes away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

from ollama_worker.content import Content
from ollama_worker.embed import Embedder
from ollama_worker.engine.client import Call, Reply
from ollama_worker.engine.manager import EngineManager
from ollama_worker.errors import EngineUnavailableError, PermanentError, StoppingError
from ollama_worker.generate import Answer, Generator
from ollama_worker.schema import make_validator
from ollama_worker.settings import Settings
from ollama_worker.tokens import TokenEstimate

# How often a call is made, within one receive, when the engine goes away in the middle of it.
_ENGINE_TRIES = 3

# Between two looks at whether the worker stops, while the engine is away.
_LOOK_SECONDS = 0.5

T = TypeVar("T")


class _Gate:
    """Lets as many calls through as the engine runs side by side; the parts of one document count each."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._slots = 1
        self._busy = 0

    def open(self, slots: int) -> None:
        with self._changed:
            self._slots = slots
            self._changed.notify_all()

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._busy < self._slots)
            self._busy += 1

    def __exit__(self, *_exception: object) -> None:
        with self._changed:
            self._busy -= 1
            self._changed.notify()


class Inference:
    """Answers for documents, by the task of the processor."""

    def __init__(
        self,
        settings: Settings,
        engine: EngineManager,
        *,
        abandoned: Callable[[], bool] = lambda: False,
        executor: Executor | None = None,
    ) -> None:
        """Prepare it.

        :param abandoned: True makes the calls under way end with `StoppingError`.
        :param executor: runs the parts of a document side by side; without one they run in turn.
        :raises SettingsError: when the JSON schema of the settings is wrong.
        """
        self._settings = settings
        self._engine = engine
        self._abandoned = abandoned
        self._executor = executor
        self._estimate = TokenEstimate()
        self._gate = _Gate()
        self._validate = make_validator(settings.format)

    def answer(self, content: Content, key: str, metadata: Mapping[str, Any]) -> Answer:
        """The answer for a document.

        :param key: the document's key, for prompts that name it.
        :raises PermanentError: when there is none to be had.
        """
        facts = self._engine.facts
        estimate = TokenEstimate(self._estimate)
        self._gate.open(facts.slots)
        deadline = time.monotonic() + self._settings.limits.document_seconds
        if self._settings.task == "embed":
            return Embedder(partial(self._embed, deadline), facts.num_ctx, estimate).answer(content)
        return Generator(
            settings=self._settings,
            num_ctx=facts.num_ctx,
            ask=partial(self._ask, deadline),
            ask_all=self._ask_all,
            estimate=estimate,
            key=key,
            metadata=metadata,
            validate=self._validate,
        ).answer(content)

    def _ask(self, deadline: float, call: Call) -> Reply:
        profile = self._engine.profile

        def stopped() -> bool:
            return self._abandoned() or time.monotonic() > deadline

        return self._with_engine(deadline, lambda: self._engine.client.chat(profile, call, stopped=stopped))

    def _embed(self, deadline: float, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        profile = self._engine.profile
        return self._with_engine(deadline, lambda: self._engine.client.embed(profile, texts))

    def _with_engine(self, deadline: float, call: Callable[[], T]) -> T:
        """Make a call, waiting for the engine and trying again when it goes away."""
        tries = 0
        while True:
            tries += 1
            while not self._engine.wait_ready(_LOOK_SECONDS):
                self._check(deadline)
            self._check(deadline)
            try:
                with self._gate:
                    return call()
            except EngineUnavailableError as error:
                self._check(deadline)
                self._engine.report(error)
                if tries == _ENGINE_TRIES:
                    raise

    def _check(self, deadline: float) -> None:
        if self._abandoned():
            raise StoppingError("The worker stops.")
        if time.monotonic() > deadline:
            raise PermanentError(
                f"The document took longer than {self._settings.limits.document_seconds} s "
                "(PASTURE_DOCUMENT_SECONDS).",
                slug="document-too-slow",
            )

    def _ask_all(self, function: Callable[[str], list[str]], items: Sequence[str]) -> list[list[str]]:
        if self._executor is None:
            return [function(item) for item in items]
        return list(self._executor.map(function, items))
