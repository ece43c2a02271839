# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors of the worker: decided where they happen, acted on in one place.

There are two kinds that matter to a document. A `PermanentError` will not get better by itself: the
document is announced as failed and its message moved to the dead-letter queue at once. A
`RetryableError` may: the message goes back to the queue with a growing delay. Everything else that
escapes is a defect or the machine's fault and is treated as retryable, with a traceback in the log.
"""

from __future__ import annotations


class WorkerError(Exception):
    """Any error of the worker's own.

    :ivar slug: a short name in kebab-case, stable, for attributes, metrics and alarms.
    """

    slug = "worker-error"

    def __init__(self, message: str, *, slug: str | None = None) -> None:
        super().__init__(message)
        if slug is not None:
            self.slug = slug


class SettingsError(WorkerError):
    """A variable of the environment is missing or wrong; the message names it."""

    slug = "settings"


class PermanentError(WorkerError):
    """The document cannot be processed, however often it is tried."""

    slug = "permanent"


class MalformedEventError(PermanentError):
    """The body of a message is nothing that the worker understands."""

    slug = "malformed-event"


class UnsupportedTypeError(PermanentError):
    """The document is of a type that the model, or the worker, cannot read."""

    slug = "unsupported-type"


class RetryableError(WorkerError):
    """Something around the document failed; trying again later may help."""

    slug = "retryable"


class EngineUnavailableError(RetryableError):
    """The engine refuses connections, died in the middle of an answer, or is restarting."""

    slug = "engine-unavailable"


class ConditionFailedError(RetryableError):
    """A conditional read or write found another version than the one it named."""

    slug = "condition-failed"


class StoppingError(RetryableError):
    """The worker was told to stop while it worked on the document."""

    slug = "stopping"


class EngineError(WorkerError):
    """The engine cannot be used at all: the task has to end."""

    slug = "engine"


class ContextExceededError(WorkerError):
    """A prompt did not fit the model's context.

    :ivar prompt_tokens: tokens of the prompt, 0 when the engine does not tell.
    :ivar context_tokens: size of the context in tokens, 0 when the engine does not tell.
    """

    slug = "context-exceeded"

    def __init__(self, message: str, prompt_tokens: int = 0, context_tokens: int = 0) -> None:
        super().__init__(message)
        self.prompt_tokens = prompt_tokens
        self.context_tokens = context_tokens
