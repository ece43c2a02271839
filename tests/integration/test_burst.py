# SPDX-License-Identifier: GPL-3.0-or-later
"""From zero to the maximum and back, by what was deployed: a burst of 500 documents on the embedded cloud."""

from __future__ import annotations

import itertools
import json
import math
import re
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from burst import DOCUMENTS, DOCUMENTS_PER_TASK, IDLE_MINUTES, MAX_INSTANCES, NAME, PROCESSOR, STACK, Burst
from demonstration import BIN, ROOT, Demonstration
from fake_ollama import FakeOllama

from pasture_local.simulate.deployed import Scaling

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def burst(demonstration: Demonstration) -> Iterator[Burst]:
    """Deploy, run the burst once for all tests of this file, and yield what was seen."""
    with FakeOllama(model="smollm2:135m", seconds=0.05) as engine:
        burst = Burst(demonstration, engine)
        burst.deploy()
        burst.run()
        yield burst
        demonstration.run("down")


def test_the_first_document_wakes_the_service_within_two_seconds(burst: Burst) -> None:
    awake = next(sample for sample in burst.samples if sample.desired > 0)
    assert awake.second - burst.first_put < 2
    assert awake.desired == 1, "one document is one task"
    assert awake.wanted_instances <= 1


def test_the_function_made_one_update(burst: Burst) -> None:
    assert burst.function_log().count('"message": "woken"') == 1


def test_the_maximum_is_reached_as_the_staircase_says(burst: Burst) -> None:
    rises = [
        (value, after)
        for value, before, after in burst.activities(f"service/pasture-{STACK}/{NAME}")
        if after
    ]
    assert rises
    for value, after in rises:
        assert after == min(MAX_INSTANCES, math.ceil(value / DOCUMENTS_PER_TASK))
    assert max(sample.desired for sample in burst.samples) == MAX_INSTANCES
    assert max(sample.running for sample in burst.samples) == MAX_INSTANCES


def test_the_maximum_is_never_passed(burst: Burst) -> None:
    assert all(
        max(s.desired, s.running, s.wanted_instances, s.instances) <= MAX_INSTANCES for s in burst.samples
    )


def test_every_document_has_one_result_of_one_question(burst: Burst) -> None:
    assert len(burst.results()) == DOCUMENTS
    asked = Counter(burst.engine.prompts())
    assert len(asked) == DOCUMENTS
    assert set(asked.values()) == {1}, "a document whose task was stopped would have been asked twice"


def test_no_task_was_stopped_that_held_a_document(burst: Burst) -> None:
    lines = burst.log(f"/pasture/{STACK}/{PROCESSOR}")
    drained = [line["in_hand"] for line in lines if line.get("message") == "draining"]
    assert len(drained) >= MAX_INSTANCES
    assert set(drained) == {0}


def test_there_is_one_change_of_direction(burst: Burst) -> None:
    desired = [sample.desired for sample in burst.samples]
    moves = [after > before for before, after in itertools.pairwise(desired) if after != before]
    turns = sum(before != after for before, after in itertools.pairwise(moves))
    assert moves[0]
    assert turns == 1, desired


def test_everything_is_at_zero_after_the_idle_minutes(burst: Burst) -> None:
    asleep = next(s for s in burst.samples if s.second > burst.last_done and s.desired == 0)
    minutes = (asleep.second - burst.last_done) / burst.real(60)
    # The alarm counts whole minutes that were seen to be empty, and looks once a minute.
    assert IDLE_MINUTES - 1 <= minutes <= IDLE_MINUTES + 3
    last = burst.samples[-1]
    assert (last.desired, last.running, last.wanted_instances, last.instances) == (0, 0, 0, 0)


def test_the_schedule_keeps_the_metrics_of_the_queue_alive(burst: Burst) -> None:
    events = burst.client("events")
    [rule] = events.list_rules(NamePrefix=f"pasture-{STACK}-keep")["Rules"]
    query = urllib.parse.urlencode({"arn": rule["Arn"]})
    url = f"{burst.state['endpoint_url']}/moto-api/pasture/rules?{query}"
    order = urllib.request.Request(url, method="POST")  # noqa: S310 - the emulator's
    urllib.request.urlopen(order, timeout=10).close()  # noqa: S310 - as above
    control = burst.demonstration.home / "logs" / "control.log"
    burst.wait(lambda: '{"outcome": "kept 1"}' in control.read_text(), 90, "the function has used the queue")


def without_ids(path: Path) -> dict[str, Any]:
    """Return a saved scaling without what AWS makes up anew each time, and in one order."""
    text = json.dumps(asdict(Scaling.load(path)))
    scaling = json.loads(re.sub(r"scalingPolicy:[0-9a-f-]{36}:", "scalingPolicy:ID:", text))
    # They are made side by side, and listed as they were made; an alarm's actions are in the order of those ids.
    scaling["alarms"].sort(key=itemgetter("AlarmName"))
    for alarm in scaling["alarms"]:
        alarm["AlarmActions"].sort()
    return dict(scaling)


def test_the_simulator_reads_what_was_deployed(burst: Burst, tmp_path: Path) -> None:
    saved, figures = tmp_path / "scaling.json", tmp_path / "figures.json"
    names = ("--stack", STACK, "--processor", PROCESSOR)
    printed = burst.command("sh", "-c", f'eval "$({BIN}/pasture-local env)"; exec "$@"', "sh",
                            str(BIN / "pasture-local"), "simulate", "burst:10", *names,
                            "--save-scaling", str(saved), "--json", str(figures))  # fmt: skip
    assert printed.returncode == 0, printed.stdout + printed.stderr
    assert without_ids(saved) == without_ids(ROOT / "docs" / "scaling" / "default.json")
    [trace] = json.loads(figures.read_text())["traces"]
    mine, theirs = trace["runs"]
    assert (mine["name"], theirs["name"]) == (NAME, "Lakechain")
    assert mine["wait_p95"] < theirs["wait_p95"]
