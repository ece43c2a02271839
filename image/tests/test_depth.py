# SPDX-License-Identifier: GPL-3.0-or-later
"""How many documents are held around those in inference."""

from __future__ import annotations

import pytest

from ollama_worker.depth import Depth


@pytest.mark.parametrize(
    ("slots", "around", "inside", "ahead"),
    [
        (1, 0.2, 5.0, 2),  # answers of seconds: one being loaded, one being stored
        (16, 0.2, 5.0, 16),
        (1, 0.2, 0.05, 5),  # embeddings: four hide behind each answer
        (1, 0.2, 0.0001, 16),  # bounded, and so is memory
        (32, 2.0, 0.1, 32),
    ],
)
def test_short_answers_need_more_documents_on_their_way(
    slots: int, around: float, inside: float, ahead: int
) -> None:
    depth = Depth(slots)
    assert depth.ahead == max(2, slots)
    for _ in range(50):
        depth.observe(around, inside)
    assert depth.ahead == ahead
