# SPDX-License-Identifier: GPL-3.0-or-later
"""An estimate of how many tokens a text has, calibrated by what the engine counts.

Ollama's API does not tokenise for a client. A guess decides how a document is split; the engine's own
count, in its answers and in its refusal of a prompt that does not fit, corrects the guess.
"""

from __future__ import annotations

import threading

# Published rule of thumb for English with present vocabularies; other scripts take about one token a
# character and are corrected by the first answer.
_ASCII_PER_TOKEN = 4.0
_OTHER_PER_TOKEN = 1.0

#: Tokens that a chat template puts around the messages, rounded up.
TEMPLATE_TOKENS = 48

_WEIGHT = 0.3
_SMALLEST_SAMPLE = 64


class TokenEstimate:
    """Estimates for one model; a document's own estimate begins where the worker's stands."""

    def __init__(self, parent: TokenEstimate | None = None) -> None:
        self._parent = parent
        self._lock = threading.Lock()
        self._factor = parent.factor if parent is not None else 1.0

    @property
    def factor(self) -> float:
        """Tokens counted per token guessed."""
        return self._factor

    def tokens(self, text: str) -> int:
        """How many tokens a text probably has."""
        return round(_raw(text) * self._factor)

    def characters(self, text: str, tokens: int) -> int:
        """How many characters of this text probably make `tokens`; at least 1."""
        raw = _raw(text) * self._factor
        return max(1, int(len(text) * tokens / raw)) if raw else max(1, tokens)

    def observe(self, text: str, tokens: int, *, exact: bool = False) -> None:
        """Learn from a count of the engine.

        :param exact: it counted the whole prompt. Without it the count may leave out what the engine
            had in its cache, so a lower one than expected is taken with care.
        """
        raw = _raw(text)
        if raw < _SMALLEST_SAMPLE or tokens <= 0:
            return
        seen = tokens / raw
        with self._lock:
            if exact:
                self._factor = seen
            elif seen > self._factor / 2:
                self._factor += _WEIGHT * (seen - self._factor)
        if self._parent is not None:
            self._parent.observe(text, tokens)


def _raw(text: str) -> float:
    ascii_characters = len(text) if text.isascii() else len(text.encode("ascii", "ignore"))
    return ascii_characters / _ASCII_PER_TOKEN + (len(text) - ascii_characters) / _OTHER_PER_TOKEN
