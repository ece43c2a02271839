# SPDX-License-Identifier: GPL-3.0-or-later
"""The limit of a message's visibility, on moto's own classes: nobody waits twelve hours for a test."""

from __future__ import annotations

from typing import Any

import pytest
from moto.core.utils import unix_time_millis
from moto.sqs.exceptions import SQSException
from moto.sqs.models import Message, SQSBackend

from pasture_local.emulator.patches.sqs import change_visibility, mark_received

HOUR = 3600


@pytest.fixture
def backend() -> Any:
    backend = SQSBackend("eu-west-1", "123456789012")
    backend.create_queue("queue", {})
    return backend


def received(backend: Any) -> Any:
    """A message that was sent 13 hours ago and received now."""
    message = backend.send_message("queue", "body")
    message.sent_timestamp -= 13 * HOUR * 1000
    mark_received(Message.mark_received, message, 30)
    return message


def test_an_old_message_that_was_just_received_can_have_a_heartbeat(backend: Any) -> None:
    message = received(backend)
    # Other tests of the same process may have patched moto, so what it does by itself is not asked here.
    change_visibility(SQSBackend.change_message_visibility, backend, "queue", message.receipt_handle, HOUR)
    assert message.visible_at > unix_time_millis() + (HOUR - 60) * 1000


def test_no_message_is_hidden_for_more_than_twelve_hours(backend: Any) -> None:
    message = received(backend)
    message.received_at -= 11 * HOUR * 1000
    with pytest.raises(SQSException, match="Total"):
        change_visibility(
            SQSBackend.change_message_visibility, backend, "queue", message.receipt_handle, 2 * HOUR
        )
