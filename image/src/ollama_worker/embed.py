# SPDX-License-Identifier: GPL-3.0-or-later
"""Embeddings: a document as one JSON line per chunk, with the chunk's place in the text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from ollama_worker.content import Content
from ollama_worker.errors import ContextExceededError, PermanentError
from ollama_worker.generate import Answer, Usage
from ollama_worker.split import spans
from ollama_worker.tokens import TokenEstimate

# Tokens of a chunk: long enough for a thought, short enough to be found by it.
_CHUNK_TOKENS = 512
# Chunks of one call: enough to keep the engine busy, few enough for a body of a few hundred KiB.
_BATCH = 32
# Of the context, so that the estimate may be off without a refusal.
_SHARE = 0.8

Embed = Callable[[Sequence[str]], tuple[list[list[float]], int]]


class Embedder:
    """Embeddings for one document."""

    def __init__(self, embed: Embed, num_ctx: int, estimate: TokenEstimate) -> None:
        """:param num_ctx: bounds a chunk, in tokens."""
        self._embed = embed
        self._limit = min(_CHUNK_TOKENS, int(num_ctx * _SHARE))
        self._estimate = estimate
        self.usage = Usage()

    def answer(self, content: Content) -> Answer:
        """One JSON line per chunk: index, start and end (in characters), text and embedding.

        :raises PermanentError: when there is no text, or a single character does not fit.
        """
        text = content.text
        chunks = [
            (start, end)
            for start, end in spans(text, self._estimate.characters(text, self._limit) if text else 1)
            if text[start:end].strip()
        ]
        if not chunks:
            raise PermanentError("The document is empty: there is no text in it.", slug="empty-document")
        lines: list[str] = []
        for first in range(0, len(chunks), _BATCH):
            for (start, end), vector in self._batch(text, chunks[first : first + _BATCH]):
                line = {"index": len(lines), "start": start, "end": end, "text": text[start:end]}
                lines.append(json.dumps({**line, "embedding": vector}, ensure_ascii=False))
        self.usage.parts = len(lines)
        self.usage.characters = len(text)
        return Answer("\n".join(lines) + "\n", self.usage)

    def _batch(
        self, text: str, chunks: Sequence[tuple[int, int]]
    ) -> list[tuple[tuple[int, int], list[float]]]:
        """Vectors of chunks; when one does not fit, the batch is halved, and at last the chunk."""
        try:
            vectors, tokens = self._embed([text[start:end] for start, end in chunks])
        except ContextExceededError as error:
            if len(chunks) > 1:
                middle = len(chunks) // 2
                return self._batch(text, chunks[:middle]) + self._batch(text, chunks[middle:])
            start, end = chunks[0]
            if end - start < 2:
                raise PermanentError(
                    f"One character does not fit: {error}", slug="context-exceeded"
                ) from error
            halves = spans(text[start:end], -(-(end - start) // 2))
            return self._batch(
                text, [(start + a, start + b) for a, b in halves if text[start + a : start + b].strip()]
            )
        self.usage.calls += 1
        self.usage.prompt_tokens += tokens
        return list(zip(chunks, vectors, strict=True))
