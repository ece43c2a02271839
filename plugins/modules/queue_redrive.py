#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_redrive
version_added: 1.0.0
short_description: Have failed documents tried again
description:
  - Moves what is in the dead-letter queues of a stack's processors back into their queues, by move tasks of Amazon
    SQS.
  - It exists because no module of the AWS collections starts one and waits for its end.
options:
  stack:
    description: The name of the stack.
    type: str
    required: true
  processors:
    description: The processors whose documents are tried again. All when empty.
    type: list
    elements: str
    default: []
  messages_per_second:
    description: How fast they are moved, up to V(500). As fast as SQS likes when not given.
    type: int
  wait_timeout:
    description: Seconds to wait until all are moved. They go on being moved when the time is over.
    type: int
    default: 300
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Try all failed documents again
  pasture.ollama.queue_redrive:
    stack: docs

- name: Try those of one processor, slowly
  pasture.ollama.queue_redrive:
    stack: docs
    processors: [summarize]
    messages_per_second: 5
"""

RETURN = r"""
redriven:
  description: The processors that had failed documents, and how many of them were, or in check mode would be, moved.
  returned: always
  type: list
  elements: dict
  sample:
    - processor: summarize
      documents: 3
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._operation import (
    Queue,
    prefix_of,
    processors,
    queue,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import (
    Refusal,
    State,
    WaitTimeout,
    wait_until,
)

_RUNNING = ("RUNNING", "CANCELLING")


def move(sqs: Api, dead: Queue, target: Queue, rate: int | None, timeout: float) -> None:
    """Move all messages of a queue to another one, and wait until that is done.

    :raises Refusal: when the move fails.
    :raises WaitTimeout: when it takes too long.
    """
    # The destination has to be named: what the worker itself put aside did not come from another queue by
    # SQS's own doing, so that SQS does not know where it belongs (CouldNotDetermineMessageSource).
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
    sqs.call(
        "start_message_move_task",
        SourceArn=dead.arn,
        DestinationArn=target.arn,
        MaxNumberOfMessagesPerSecond=rate,
    )

    def newest() -> State | None:
        answer = sqs.call("list_message_move_tasks", SourceArn=dead.arn, MaxResults=1) or {}
        tasks = answer.get("Results") or []
        return dict(tasks[0]) if tasks else None

    last = wait_until(
        "moved back",
        newest,
        lambda task: task is not None and task.get("Status") not in _RUNNING,
        timeout,
        interval=2.0,
    )
    if last and last.get("Status") == "FAILED":
        raise Refusal(f"SQS could not move them: {last.get('FailureReason') or 'it does not say why'}")


def redrive(module: Any, ecs: Api, sqs: Api) -> list[dict[str, Any]]:
    """Move what failed, processor by processor; in check mode only count it."""
    stack = module.params["stack"]
    done = []
    for name in processors(ecs, stack, module.params["processors"]):
        full = f"{prefix_of(stack)}-{name}"
        dead = queue(sqs, f"{full}-dlq")
        # What is in flight is being looked at by somebody; it is moved when it is visible again.
        if not dead.outstanding:
            continue
        if not module.check_mode:
            rate, timeout = module.params["messages_per_second"], module.params["wait_timeout"]
            move(sqs, dead, queue(sqs, full), rate, timeout)
        done.append({"processor": name, "documents": dead.outstanding})
    return done


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "processors": {"type": "list", "elements": "str", "default": []},
            "messages_per_second": {"type": "int"},
            "wait_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    try:
        done = redrive(module, Api(module, "ecs"), Api(module, "sqs"))
    except (AwsError, Refusal, WaitTimeout) as error:
        module.fail_json(
            msg=f"The failed documents of '{module.params['stack']}' could not be moved: {error}."
        )
    result: dict[str, Any] = {"changed": bool(done), "redriven": done}
    if getattr(module, "_diff", False):
        before = {entry["processor"]: f"{entry['documents']} failed" for entry in done}
        after = {entry["processor"]: f"{entry['documents']} waiting" for entry in done}
        result["diff"] = {"before": before, "after": after}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
