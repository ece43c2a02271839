# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators are told, and what is refused before anything is asked of AWS."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._operation import document_of, failure_of
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal
from ansible_collections.pasture.ollama.plugins.modules.document_submit import collect
from ansible_collections.pasture.ollama.plugins.modules.stack_status_info import lines_of

S3_EVENT = {"detail": {"bucket": {"name": "in"}, "object": {"key": "a/b.txt"}}}
STACK_EVENT = {"detail": {"data": {"document": {"url": "s3://out/a.txt"}}}}


@pytest.mark.parametrize(
    ("body", "url"),
    [
        (json.dumps(S3_EVENT), "s3://in/a/b.txt"),
        (json.dumps(STACK_EVENT), "s3://out/a.txt"),
        ("not JSON", ""),
        ("[]", ""),
        (json.dumps({"detail": {"object": {}}}), ""),
    ],
)
def test_document_of_a_message_is_found_in_both_kinds_of_event(body: str, url: str) -> None:
    assert document_of(body) == url


def test_failure_tells_the_workers_reason() -> None:
    attributes = {
        name: {"StringValue": value, "DataType": "String"}
        for name, value in (("Reason", "It is empty."), ("ErrorType", "empty"), ("ChainId", "c1"))
    }
    message = {
        "Body": json.dumps(S3_EVENT),
        "MessageAttributes": attributes,
        "Attributes": {"ApproximateReceiveCount": "2"},
    }
    assert failure_of(message) == {
        "document": "s3://in/a/b.txt",
        "error_type": "empty",
        "reason": "It is empty.",
        "chain_id": "c1",
        "received": 2,
    }


def test_failure_without_a_reason_was_received_too_often() -> None:
    found = failure_of({"Body": "{}"})
    assert found["error_type"] == "too-many-receives"
    assert "log" in found["reason"]


def test_status_is_told_in_lines() -> None:
    failure = failure_of({"Body": json.dumps(S3_EVENT)})
    processor = {
        "name": "summarize",
        "waiting": 12,
        "in_flight": 4,
        "failed": 1,
        "failures": [failure],
        "desired": 2,
        "running": 1,
        "instances": 2,
        "alarms": ["pasture-docs-summarize-dlq"],
    }
    first, alarm, failed = lines_of(processor)
    assert first == "summarize: 12 waiting, 4 in flight, 1 failed; 1 of 2 tasks on 2 instances"
    assert "pasture-docs-summarize-dlq" in alarm
    assert "s3://in/a/b.txt" in failed


def test_folder_stands_for_the_files_in_it(tmp_path: Path) -> None:
    (tmp_path / "letters" / "old").mkdir(parents=True)
    for name in ("letters/b.txt", "letters/old/a.txt", "report.pdf"):
        (tmp_path / name).write_text("x")
    found = collect([str(tmp_path / "letters"), str(tmp_path / "report.pdf")], "2026/")
    assert list(found) == ["2026/b.txt", "2026/old/a.txt", "2026/report.pdf"]


def test_two_files_of_the_same_key_are_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text(folder)
    with pytest.raises(Refusal, match="would both become"):
        collect([str(tmp_path / "one" / "a.txt"), str(tmp_path / "two" / "a.txt")], "")


def test_missing_file_and_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="there is no file"):
        collect([str(tmp_path / "missing.txt")], "")
    with pytest.raises(Refusal, match="there is no file in the folder"):
        collect([str(tmp_path)], "")
