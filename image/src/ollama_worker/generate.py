# SPDX-License-Identifier: GPL-3.0-or-later
"""From a document's content to the model's answer, whatever the document's length.

A document that fits is one call. One that does not is split on its structure, the prompt is run on
each part, and the answers are combined with a second prompt, in as few calls as the context allows
and in rounds when the answers do not fit either. A part that the engine refuses is split again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ollama_worker.content import Content
from ollama_worker.engine.client import Call, Reply
from ollama_worker.errors import ContextExceededError, PermanentError
from ollama_worker.prompts import Context, render
from ollama_worker.settings import Settings
from ollama_worker.split import split
from ollama_worker.tokens import TEMPLATE_TOKENS, TokenEstimate

# The share of the context that is kept free for the answer when the user set no num_predict.
_RESERVE_SHARE = 4
_RESERVE_MAX = 2048
_LEAST_PART_TOKENS = 16
_MAX_ROUNDS = 12

Validate = Callable[[str], None]


class Ask(Protocol):
    """Asks the engine one question."""

    def __call__(self, call: Call) -> Reply:
        """:raises ContextExceededError: when the prompt does not fit."""


class AskAll(Protocol):
    """Maps a function over items, side by side where the engine can; results in order."""

    def __call__(self, function: Callable[[str], list[str]], items: Sequence[str]) -> list[list[str]]:
        """:raises Exception: the first error of `function`."""


@dataclass(slots=True)
class Usage:
    """What a document took.

    :ivar parts: parts of the document that were read by the model.
    :ivar characters: characters of the document that were sent, which is all of them.
    """

    parts: int = 0
    calls: int = 0
    combine_rounds: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    characters: int = 0
    images: int = 0
    format_retries: int = 0
    cut_answers: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **counts: int) -> None:
        """Count; the parts of a document are asked about on several threads."""
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for a whole document."""

    text: str
    usage: Usage
    done_reason: str = "stop"


@dataclass(slots=True)
class Generator:
    """Answers for one document.

    :ivar num_ctx: tokens of context for prompt and answer together.
    :ivar validate: raises ValueError with a sentence when an answer is not of the wanted format.
    """

    settings: Settings
    num_ctx: int
    ask: Ask
    ask_all: AskAll
    estimate: TokenEstimate
    key: str
    metadata: Mapping[str, Any]
    validate: Validate | None = None
    usage: Usage = field(default_factory=Usage)

    def answer(self, content: Content) -> Answer:
        """The answer for `content`.

        :raises PermanentError: when it cannot be had: the document does not fit and may not be split, the
            answer is cut off, or is not of the wanted format.
        """
        answers = [self._ask_image(image) for image in content.images]
        if content.text.strip():
            answers += self._ask_text(content.text)
        if not answers:
            raise PermanentError("The document is empty: there is no text in it.", slug="empty-document")
        text = self._combine(answers) if len(answers) > 1 else answers[0]
        return Answer(text, self.usage, "length" if self.usage.cut_answers else "stop")

    def _ask_image(self, image: bytes) -> str:
        self.usage.add(parts=1, images=1)
        prompt = render(self.settings.prompt, self._context(""))
        return self._checked(Call(prompt, images=(image,)), "")

    def _ask_text(self, text: str) -> list[str]:
        budget = self._budget(self.settings.prompt)
        if self.estimate.tokens(text) <= budget:
            try:
                answer = self._ask_part(self.settings.prompt, text)
            except ContextExceededError as error:
                self._refuse_if_unwanted(error)
            else:
                self._count(text)
                return [answer]
        else:
            self._refuse_if_unwanted(None)
        parts = split(text, self.estimate.characters(text, budget))
        if len(parts) > self.settings.limits.max_parts:
            raise PermanentError(
                f"The document is too large: {len(parts)} parts of {budget} tokens; "
                f"{self.settings.limits.max_parts} are allowed.",
                slug="document-too-large",
            )
        return self._ask_parts(self.settings.prompt, parts, self._count)

    def _refuse_if_unwanted(self, error: ContextExceededError | None) -> None:
        if self.settings.on_overflow == "fail":
            detail = f" ({error})" if error is not None else ""
            raise PermanentError(
                f"The document does not fit the context of {self.num_ctx} tokens, and on_overflow is 'fail'"
                + detail,
                slug="context-exceeded",
            )

    def _ask_parts(self, template: str, parts: Sequence[str], count: Callable[[str], None]) -> list[str]:
        """One answer for each part, more where the engine finds one too long; blank parts have none."""

        def ask(part: str) -> list[str]:
            if not part.strip():
                count(part)
                return []
            try:
                answer = self._ask_part(template, part)
            except ContextExceededError as error:
                return [answer for half in self._smaller(part, error) for answer in ask(half)]
            count(part)
            return [answer]

        return [answer for answers in self.ask_all(ask, parts) for answer in answers]

    def _smaller(self, part: str, error: ContextExceededError) -> list[str]:
        """A part that did not fit, split again: by the engine's count, or in halves."""
        limit = min(self.estimate.characters(part, self._budget(self.settings.prompt)), -(-len(part) // 2))
        if len(part) < 2 or limit < 1:
            raise PermanentError(
                f"The prompt alone does not fit the context of {self.num_ctx} tokens: {error}",
                slug="prompt-too-long",
            )
        return split(part, limit)

    def _ask_part(self, template: str, part: str) -> str:
        prompt = render(template, self._context(part))
        return self._checked(Call(prompt), prompt)

    def _checked(self, call: Call, text: str) -> str:
        """Ask until the answer is of the wanted format."""
        settings = self.settings
        problem = ""
        for _ in range(settings.format_retries + 1):
            prompt = call.prompt
            if problem:
                self.usage.add(format_retries=1)
                prompt += f"\n\nThe previous answer was refused: {problem}. Answer again, correctly."
            reply = self._ask(
                Call(prompt, settings.system, call.images, settings.format, settings.think), text
            )
            answer = reply.text.strip()
            problem = self._problem(answer)
            if not problem:
                return answer
        slug = "invalid-output" if self.validate is not None else "empty-answer"
        raise PermanentError(
            f"After {settings.format_retries + 1} tries the model's answer is still refused: {problem}.",
            slug=slug,
        )

    def _problem(self, answer: str) -> str:
        """What is wrong with an answer, ``""`` when nothing is."""
        if not answer:
            return "it is empty"
        try:
            if self.validate is not None:
                self.validate(answer)
        except ValueError as error:
            return str(error)
        return ""

    def _ask(self, call: Call, text: str) -> Reply:
        try:
            reply = self.ask(call)
        except ContextExceededError as error:
            self.estimate.observe(text, error.prompt_tokens - TEMPLATE_TOKENS, exact=True)
            raise
        self.usage.add(calls=1, prompt_tokens=reply.prompt_tokens, output_tokens=reply.output_tokens)
        if not call.images:
            self.estimate.observe(text, reply.prompt_tokens - TEMPLATE_TOKENS)
        if reply.done_reason == "length":
            self._cut_off(reply)
        return reply

    def _cut_off(self, reply: Reply) -> None:
        """An answer that was cut off is no success unless the user said so."""
        used = reply.prompt_tokens + reply.output_tokens
        if used >= self.num_ctx - 1 and reply.prompt_tokens > self.num_ctx // 2:
            # The document left too little room for the answer: smaller parts leave more.
            raise ContextExceededError("The answer did not fit behind the document.", 0, self.num_ctx)
        if self.settings.on_length == "fail":
            raise PermanentError(
                f"The answer was cut off after {reply.output_tokens} tokens (num_predict or num_ctx reached), "
                "and on_length is 'fail'.",
                slug="answer-cut-off",
            )
        self.usage.add(cut_answers=1)

    def _combine(self, answers: list[str]) -> str:
        """One answer from many."""
        template = self.settings.combine_prompt
        for _ in range(_MAX_ROUNDS):
            self.usage.add(combine_rounds=1)
            groups = list(self._groups(answers, self._budget(template)))
            answers = self._ask_parts(template, groups, lambda _part: None)
            if len(answers) == 1:
                return answers[0]
        raise PermanentError(
            f"The answers about the parts could not be combined into one within {_MAX_ROUNDS} rounds: the "
            "combine prompt makes them longer, not shorter.",
            slug="combine-diverges",
        )

    def _groups(self, answers: Sequence[str], budget: int) -> Iterable[str]:
        """Answers put together as long as they fit; one that alone is too long is split."""
        group = ""
        for number, answer in enumerate(answers, 1):
            entry = f"[{number}]\n{answer}"
            joined = f"{group}\n\n{entry}" if group else entry
            if self.estimate.tokens(joined) <= budget:
                group = joined
                continue
            if group:
                yield group
            *whole, group = split(entry, self.estimate.characters(entry, budget))
            yield from whole
        if group:
            yield group

    def _budget(self, template: str) -> int:
        """Tokens that a part of the document may have beside the prompt and the answer."""
        num_predict = self.settings.options.get("num_predict")
        reserve = min(self.num_ctx // _RESERVE_SHARE, _RESERVE_MAX)
        if isinstance(num_predict, int) and 0 < num_predict < self.num_ctx:
            reserve = num_predict
        around = render(template, self._context("")) + self.settings.system
        if self.settings.format is not None and self.settings.format != "json":
            around += json.dumps(self.settings.format)
        budget = self.num_ctx - reserve - self.estimate.tokens(around) - TEMPLATE_TOKENS
        if budget < _LEAST_PART_TOKENS:
            raise PermanentError(
                f"The prompt leaves no room for a document in a context of {self.num_ctx} tokens, "
                f"{reserve} of which are kept for the answer. Shorten the prompt or raise num_ctx.",
                slug="prompt-too-long",
            )
        return budget

    def _context(self, document: str) -> Context:
        return Context(
            document=document,
            key=self.key,
            metadata=self.metadata,
            prompt=render_instruction(self.settings.prompt),
            parts=max(1, self.usage.parts),
        )

    def _count(self, part: str) -> None:
        self.usage.add(parts=1, characters=len(part))


def render_instruction(prompt: str) -> str:
    """The user's prompt as the combine prompt quotes it: without the place of the document."""
    return prompt.replace("{{ document }}", "").replace("{{document}}", "").strip()
