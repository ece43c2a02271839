# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of Amazon SQS."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from moto.core.responses import ActionResult
from moto.core.utils import unix_time_millis
from moto.sqs import models, responses
from moto.sqs.exceptions import SQSException

from pasture_local.emulator.patches._patch import Patch

# How long a long poll sleeps before it looks for messages that have become visible again, in seconds.
_LOOK_AGAIN = 0.2


def keep_policy(
    original: Callable[..., None], self: Any, attributes: dict[str, Any], now: Any = None
) -> None:
    """moto drops a queue's policy when any other attribute is set.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
    """
    if "Policy" not in attributes and hasattr(self, "_policy_json") and self.policy:
        attributes = {**attributes, "Policy": self.policy}
    original(self, attributes, now)


def show_redrive_allow(original: property, self: Any) -> dict[str, Any]:
    """moto takes the policy that says which queues may use a dead-letter queue, and does not give it back.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
    """
    attributes: dict[str, Any] = original.__get__(self)
    policy = getattr(self, "redrive_allow_policy", None)
    return attributes | {"RedriveAllowPolicy": policy} if policy else attributes


def receive(
    original: Callable[..., list[Any]],
    self: Any,
    queue_name: str,
    count: int,
    wait_seconds_timeout: int,
    visibility_timeout: int,
    message_attribute_names: list[str] | None = None,
) -> list[Any]:
    """moto gives one message to two consumers that ask in the same moment, and finds messages that become
    visible again during a long poll up to a second late.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
    """
    queue = self.get_queue(queue_name)
    deadline = time.monotonic() + (wait_seconds_timeout or 0)
    with queue._messages_lock:
        while True:
            messages = original(self, queue_name, count, 0, visibility_timeout, message_attribute_names)
            remaining = deadline - time.monotonic()
            if messages or remaining <= 0:
                return messages
            queue._messages_lock.wait(min(remaining, _LOOK_AGAIN))


class Counts(NamedTuple):
    """The messages of a queue at one moment."""

    visible: int
    not_visible: int
    delayed: int


def counts(queue: Any) -> Counts:
    """Count a queue's messages, each of them once."""
    with queue._messages_lock:
        now = models.unix_time_millis()
        not_visible = sum(message.visible_at >= now for message in queue._messages)
        delayed = sum(message.visible_at < now < message.delayed_until for message in queue._messages)
        return Counts(len(queue._messages) - not_visible - delayed, not_visible, delayed)


def count_at_once(
    original: Callable[..., dict[str, Any]], self: Any, queue_name: str, attribute_names: list[str]
) -> dict[str, Any]:
    """moto counts the messages that wait and those in flight one after the other, so that one whose visibility
    timeout ends in between is neither, and a queue looks empty that is not.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
    """
    found = original(self, queue_name, attribute_names)
    counted = counts(self.get_queue(queue_name))
    values = {
        "ApproximateNumberOfMessages": counted.visible,
        "ApproximateNumberOfMessagesNotVisible": counted.not_visible,
        "ApproximateNumberOfMessagesDelayed": counted.delayed,
    }
    return {name: values.get(name, value) for name, value in found.items()}


def delete(original: Callable[..., None], self: Any, receipt_handle: str) -> None:
    """moto loses a message that is sent while another one is deleted: it replaces the list of messages.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
    """
    with self._messages_lock:
        original(self, receipt_handle)


def change_visibility(
    original: Callable[..., None], self: Any, queue_name: str, receipt_handle: str, visibility_timeout: int
) -> None:
    """moto counts the limit of 12 hours from when a message was sent, so that an old one can have no
    heartbeat. It is 12 hours from when it was received.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
    """
    queue = self.get_queue(queue_name)
    with queue._messages_lock:
        message = next((m for m in queue._messages if m.had_receipt_handle(receipt_handle)), None)
        if message is None:
            original(self, queue_name, receipt_handle, visibility_timeout)
            return
        sent = message.sent_timestamp
        message.sent_timestamp = getattr(message, "received_at", sent)
        try:
            original(self, queue_name, receipt_handle, visibility_timeout)
        finally:
            message.sent_timestamp = sent
        queue._messages_lock.notify_all()


def mark_received(original: Callable[..., None], self: Any, *args: Any, **kwargs: Any) -> None:
    """moto does not keep when a message was received last; see sqs-visibility."""
    original(self, *args, **kwargs)
    self.received_at = unix_time_millis()


def remember_source(original: Callable[..., None], self: Any, message: Any) -> None:
    """moto forgets from which queue a message came to a dead-letter queue, which a redrive has to know.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
    """
    before = getattr(message, "queue_arn", None)
    if before and before != self.queue_arn:
        message.dead_letter_source = before
    message.queue_arn = self.queue_arn
    original(self, message)


def start_message_move_task(_: Any, self: Any) -> Any:
    """moto lacks StartMessageMoveTask, the redrive of a dead-letter queue. Here it is done when it is
    answered.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
    """
    backend = self.sqs_backend
    by_arn = {queue.queue_arn: queue for queue in backend.queues.values()}
    source_arn, destination_arn = self._get_param("SourceArn"), self._get_param("DestinationArn")
    source = by_arn.get(source_arn)
    if source is None or (destination_arn and destination_arn not in by_arn):
        raise SQSException(
            "ResourceNotFoundException",
            "The resource that you specified for the SourceArn parameter doesn't exist.",
        )
    if not any(queue.dead_letter_queue is source for queue in backend.queues.values()):
        raise SQSException(
            "AWS.SimpleQueueService.UnsupportedOperation",
            "Source queue must be configured as a Dead Letter Queue.",
        )
    task: dict[str, Any] = {
        "TaskHandle": str(uuid.uuid4()),
        "SourceArn": source_arn,
        "StartedTimestamp": int(unix_time_millis()),
        "Status": "COMPLETED",
        "ApproximateNumberOfMessagesToMove": len(source.messages),
        "ApproximateNumberOfMessagesMoved": 0,
    }
    if destination_arn:
        task["DestinationArn"] = destination_arn
    with source._messages_lock:
        for message in list(source.messages):
            queue = by_arn.get(destination_arn or getattr(message, "dead_letter_source", None))
            if queue is None:
                task |= {"Status": "FAILED", "FailureReason": "CouldNotDetermineMessageSource"}
                break
            source._messages.remove(message)
            backend.send_message(
                queue.name,
                message.body,
                message_attributes=message.message_attributes,
                group_id=message.group_id,
            )
            task["ApproximateNumberOfMessagesMoved"] += 1
    _moves(backend).insert(0, task)
    return ActionResult({"TaskHandle": task["TaskHandle"]})


def list_message_move_tasks(_: Any, self: Any) -> Any:
    """moto lacks ListMessageMoveTasks.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListMessageMoveTasks.html
    """
    source, limit = self._get_param("SourceArn"), self._get_int_param("MaxResults") or 1
    tasks = [task for task in _moves(self.sqs_backend) if task["SourceArn"] == source]
    # The handle is shown only while a task runs.
    shown = [{key: value for key, value in task.items() if key != "TaskHandle"} for task in tasks[:limit]]
    return ActionResult({"Results": shown})


def _moves(backend: Any) -> list[dict[str, Any]]:
    if not hasattr(backend, "move_tasks"):
        backend.move_tasks = []
    moves: list[dict[str, Any]] = backend.move_tasks
    return moves


def clock(_: Any) -> float:
    """moto makes the time in milliseconds of four date objects, and asks for it four times for each message of a
    queue at each call: nearly all of the time that a call takes with some hundred messages waiting."""
    return time.time() * 1000


_Response = responses.SQSResponse

PATCHES = (
    Patch("sqs-clock", models, "unix_time_millis", clock),
    Patch("sqs-keep-policy", models.Queue, "_set_attributes", keep_policy),
    Patch("sqs-redrive-allow", models.Queue, "attributes", show_redrive_allow),
    Patch("sqs-receive", models.SQSBackend, "receive_message", receive),
    Patch("sqs-counts", models.SQSBackend, "get_queue_attributes", count_at_once),
    Patch("sqs-delete", models.Queue, "delete_message", delete),
    Patch("sqs-visibility", models.SQSBackend, "change_message_visibility", change_visibility),
    Patch("sqs-visibility", models.Message, "mark_received", mark_received),
    Patch("sqs-redrive", models.Queue, "add_message", remember_source),
    Patch("sqs-redrive", _Response, "start_message_move_task", start_message_move_task),
    Patch("sqs-redrive", _Response, "list_message_move_tasks", list_message_move_tasks),
)
