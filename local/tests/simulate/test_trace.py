# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrival traces: nothing gained, nothing lost, and wrong ones refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pasture_local.simulate.trace import TraceError, parse_trace


@settings(max_examples=30, deadline=None)
@given(documents=st.integers(1, 100_000), days=st.integers(1, 40))
def test_a_daily_pattern_has_as_many_documents_as_it_says(documents: int, days: int) -> None:
    trace = parse_trace(f"daily:{documents},days={days}")
    assert trace.total == documents * days
    tick = trace.tick_seconds()
    assert trace.per_tick(tick).sum() == trace.total


@given(rate=st.floats(0.01, 50), hours=st.floats(0.1, 5))
def test_a_constant_rate_rounds_to_within_one_document(rate: float, hours: float) -> None:
    seconds = int(-(-hours * 3600 // 1))
    assert abs(parse_trace(f"constant:{rate},hours={hours}").total - rate * seconds) <= 1 + rate


def test_a_burst_is_all_at_once_at_its_second() -> None:
    per_tick = parse_trace("burst:1000,at=90").per_tick(30)
    assert per_tick.tolist() == [0, 0, 0, 1000]


def test_a_trickle_is_one_at_a_time() -> None:
    trace = parse_trace("trickle:600,hours=12")
    assert trace.documents.tolist() == [1] * 72
    assert trace.seconds[:3].tolist() == [0.0, 600.0, 1200.0]


def test_a_csv_is_read_in_any_order_and_with_a_header(tmp_path: Path) -> None:
    file = tmp_path / "arrivals.csv"
    file.write_text("seconds,documents\n60,3\n0,2\n\n60,1\n")
    trace = parse_trace(f"csv:{file}")
    assert (trace.seconds.tolist(), trace.documents.tolist()) == ([0.0, 60.0], [2, 4])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("flood:3", "is no trace: begin with one of"),
        ("burst:", "lacks a value for 'documents'"),
        ("burst:ten", "cannot be read"),
        ("burst:-5", "must be a number of zero or more"),
        ("burst:nan", "must be a number of zero or more"),
        ("burst:0", "has no document"),
        ("trickle:0", "every must be more than zero"),
        ("constant:1,hours", "is not KEY=VALUE"),
        ("csv:/nowhere/at-all.csv", "cannot be read: No such file"),
    ],
)
def test_a_wrong_trace_is_refused_in_words(text: str, sentence: str) -> None:
    with pytest.raises(TraceError, match=sentence.replace("(", r"\(")):
        parse_trace(text)


def test_a_csv_with_a_wrong_line_names_it(tmp_path: Path) -> None:
    file = tmp_path / "arrivals.csv"
    file.write_text("0,2\nsoon,3\n")
    with pytest.raises(TraceError, match="line 2"):
        parse_trace(f"csv:{file}")
