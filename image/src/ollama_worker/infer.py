# SPDX-License-Identifier: GPL-3.0-or-later
"""Inference for one processor: the engine's calls, made again when the engine goes away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from ollama_worker.content import Content
from ollama_worker.embed import Embedder
from ollama_worker.engine.client import Call, Reply
from ollama_worker.engine.manager import EngineManager
from ollama_worker.errors import EngineUnavailableError, StoppingError
from ollama_worker.generate import Answer, Generator
from ollama_worker.schema import make_validator
from ollama_worker.settings import Settings
from ollama_worker.tokens import TokenEstimate

# How often a call is made, within one receive, when the engine goes away in the middle of it.
_ENGINE_TRIES = 3

T = TypeVar("T")


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
        self._validate = make_validator(settings.format)

    def answer(self, content: Content, key: str, metadata: Mapping[str, Any]) -> Answer:
        """The answer for a document.

        :param key: the document's key, for prompts that name it.
        :raises PermanentError: when there is none to be had.
        """
        facts = self._engine.facts
        estimate = TokenEstimate(self._estimate)
        if self._settings.task == "embed":
            return Embedder(self._embed, facts.num_ctx, estimate).answer(content)
        return Generator(
            settings=self._settings,
            num_ctx=facts.num_ctx,
            ask=self._ask,
            ask_all=self._ask_all,
            estimate=estimate,
            key=key,
            metadata=metadata,
            validate=self._validate,
        ).answer(content)

    def _ask(self, call: Call) -> Reply:
        profile = self._engine.profile
        return self._with_engine(lambda: self._engine.client.chat(profile, call, stopped=self._abandoned))

    def _embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        profile = self._engine.profile
        return self._with_engine(lambda: self._engine.client.embed(profile, texts))

    def _with_engine(self, call: Callable[[], T]) -> T:
        """Make a call, waiting for the engine and trying again when it goes away."""
        tries = 0
        while True:
            tries += 1
            if self._abandoned():
                raise StoppingError("The worker stops.")
            self._engine.wait_ready()
            try:
                return call()
            except EngineUnavailableError as error:
                if self._abandoned():
                    raise StoppingError("The worker stops.") from error
                self._engine.report(error)
                if tries == _ENGINE_TRIES:
                    raise

    def _ask_all(self, function: Callable[[str], list[str]], items: Sequence[str]) -> list[list[str]]:
        if self._executor is None:
            return [function(item) for item in items]
        return list(self._executor.map(function, items))
