#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_status_info
version_added: 1.0.0
short_description: Tell what a stack is doing
description:
  - Reads, for each processor of a stack, how many documents wait, are in flight and have failed, with the reasons of
    some, how many tasks and instances run, and which alarms are raised.
  - It exists because that takes calls to five services, which makes a playbook of many slow tasks.
options:
  stack:
    description: The name of the stack.
    type: str
    required: true
  failures:
    description:
      - Of how many failed documents of each processor the reason is read.
      - Reading makes them invisible for two seconds.
    type: int
    default: 5
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common.info
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Look at the stack
  pasture.ollama.stack_status_info:
    stack: docs
  register: status

- name: Say it
  ansible.builtin.debug:
    msg: "{{ status.lines }}"
"""

RETURN = r"""
processors:
  description: The processors in the order of their names.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The processor's name.
      type: str
      sample: summarize
    waiting:
      description: Documents in the queue.
      type: int
    in_flight:
      description: Documents that a task has in hand.
      type: int
    failed:
      description: Documents in the dead-letter queue.
      type: int
    failures:
      description: Some of them.
      type: list
      elements: dict
      contains:
        document:
          description: The document's URL.
          type: str
        error_type:
          description: What kind of failure it was.
          type: str
        reason:
          description: A sentence that says why.
          type: str
        chain_id:
          description: What its log lines can be found by.
          type: str
        received:
          description: How often the message was received.
          type: int
    desired:
      description: Tasks that there should be.
      type: int
    running:
      description: Tasks that run.
      type: int
    pending:
      description: Tasks that are starting.
      type: int
    instances:
      description: Instances of the Auto Scaling group.
      type: int
    alarms:
      description: The names of the alarms that are in the state ALARM, but for those that only scale.
      type: list
      elements: str
lines:
  description: The same for people.
  returned: always
  type: list
  elements: str
  sample: ["summarize: 12 waiting, 4 in flight, 0 failed; 2 of 2 tasks on 2 instances"]
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._operation import (
    failures,
    prefix_of,
    processor_of,
    queue,
    services,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal

# In the state ALARM for as long as there is work, or none: they steer, and tell nothing.
_SCALING_ALARMS = ("-outstanding", "-idle")


def lines_of(processor: dict[str, Any]) -> list[str]:
    """A processor, for people."""
    work = f"{processor['waiting']} waiting, {processor['in_flight']} in flight, {processor['failed']} failed"
    tasks = f"{processor['running']} of {processor['desired']} tasks on {processor['instances']} instances"
    lines = [f"{processor['name']}: {work}; {tasks}"]
    lines += [f"  alarm {name}" for name in processor["alarms"]]
    lines += [
        f"  failed {failure['document'] or 'document'} ({failure['error_type']}): {failure['reason']}"
        for failure in processor["failures"]
    ]
    return lines


def instances(autoscaling: Api, names: list[str]) -> dict[str, int]:
    """How many instances each Auto Scaling group has."""
    groups = autoscaling.pages(
        "describe_auto_scaling_groups", "AutoScalingGroups", AutoScalingGroupNames=names
    )
    return {group["AutoScalingGroupName"]: len(group["Instances"]) for group in groups}


def raised(cloudwatch: Api, prefix: str) -> list[str]:
    """The names of the alarms in the state ALARM that mean something to people."""
    alarms = cloudwatch.pages(
        "describe_alarms", "MetricAlarms", AlarmNamePrefix=f"{prefix}-", StateValue="ALARM"
    )
    names = [
        str(alarm["AlarmName"]) for alarm in alarms if alarm.get("StateValue") == "ALARM"
    ]  # the emulator ignores the filter when there is a prefix
    return sorted(name for name in names if not name.endswith(_SCALING_ALARMS))


def status(apis: dict[str, Api], stack: str, most_failures: int) -> list[dict[str, Any]]:
    """All processors of a stack."""
    prefix = prefix_of(stack)
    found = services(apis["ecs"], stack)
    names = [processor_of(service, stack) for service in found]
    groups = instances(apis["autoscaling"], [f"{prefix}-{name}" for name in names])
    alarms = raised(apis["cloudwatch"], prefix)
    result = []
    for service, name in zip(found, names, strict=True):
        full = f"{prefix}-{name}"
        work = queue(apis["sqs"], full)
        dead = queue(apis["sqs"], f"{full}-dlq")
        some = failures(apis["sqs"], dead.url, min(most_failures, dead.waiting)) if dead.waiting else []
        result.append(
            {
                "name": name,
                "waiting": work.waiting + work.delayed,
                "in_flight": work.in_flight,
                "failed": dead.outstanding,
                "failures": some,
                "desired": int(service["desiredCount"]),
                "running": int(service["runningCount"]),
                "pending": int(service["pendingCount"]),
                "instances": groups.get(full, 0),
                "alarms": [alarm for alarm in alarms if alarm.rpartition("-")[0] == full],
            }
        )
    return result


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "failures": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    stack = module.params["stack"]
    apis = {service: Api(module, service) for service in ("ecs", "sqs", "autoscaling", "cloudwatch")}
    try:
        found = status(apis, stack, module.params["failures"])
    except (AwsError, Refusal) as error:
        module.fail_json(msg=f"The status of the stack '{stack}' could not be read: {error}.")
    module.exit_json(
        changed=False, processors=found, lines=[line for processor in found for line in lines_of(processor)]
    )


if __name__ == "__main__":
    main()
