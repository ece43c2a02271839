#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_model_seed
version_added: 1.0.0
short_description: Bring registered models into a stack's cache
description:
  - Runs a Fargate task that brings the models that are not yet in the cache, and waits until it has ended.
  - So no GPU instance is paid for while weights are on their way, and the first document does not wait for them.
  - Whether a model is there is remembered in the tag C(pasture:seeded) of its definition, with the file
    system's id. Another file system, or other weights, are brought anew.
  - It exists because nothing else starts a task, waits for its end and tells why it failed.
options:
  state:
    description:
      - Whether the models are to be brought. With V(absent) the tasks that are still bringing some are stopped, without
        which their cluster cannot be deleted. What is in the cache stays.
    type: str
    choices: [present, absent]
    default: present
  registry:
    description: The path of the registry that has the definitions, such as C(/pasture/docs). Required to bring models.
    type: str
  models:
    description: The models to bring, as M(pasture.ollama.ollama_model) takes them. Required to bring models.
    type: list
    elements: raw
  cluster:
    description: The ECS cluster that the task runs in.
    type: str
    required: true
  task_definition:
    description: The family or ARN of the task's definition.
    type: str
    required: true
  container:
    description: The name of the container that brings models. Its command becomes C(seed) and the models.
    type: str
    default: worker
  subnet_ids:
    description: The subnets that the task may run in. Required to bring models.
    type: list
    elements: str
  security_group_ids:
    description: The security groups of the task. Required to bring models.
    type: list
    elements: str
  file_system_id:
    description: The file system that is the cache. Required to bring models.
    type: str
  log_group:
    description: The log group of the task, where the reason of a failure is looked for. Required to bring models.
    type: str
  log_stream_prefix:
    description: What the names of its log streams begin with.
    type: str
    default: worker
  tags:
    description: Tags of the task.
    type: dict
    default: {}
  wait_timeout:
    description:
      - Seconds to wait for the end of the task. It goes on when they are over, and the next run waits for it.
    type: int
    default: 7200
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Fill the cache
  pasture.ollama.ollama_model_seed:
    registry: /pasture/docs
    models: [llama3.1:8b]
    cluster: pasture-docs
    task_definition: pasture-docs-seed
    subnet_ids: [subnet-0123456789abcdef0]
    security_group_ids: [sg-0123456789abcdef0]
    file_system_id: fs-0123456789abcdef0
    log_group: /pasture/docs/seed

- name: Stop filling it
  pasture.ollama.ollama_model_seed:
    state: absent
    cluster: pasture-docs
    task_definition: pasture-docs-seed
"""

RETURN = r"""
seeded:
  description: The models, as C(name:tag), that were brought, or in check mode would be.
  returned: always
  type: list
  elements: str
  sample: ["llama3.1:8b"]
task_arn:
  description: The task that brought them.
  returned: when one ran
  type: str
stopped:
  description: The tasks that were stopped, or in check mode would be.
  returned: when O(state=absent)
  type: list
  elements: str
"""

from typing import Any, NoReturn

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._definition import (
    DefinitionError,
    check_registry,
    define,
)
from ansible_collections.pasture.ollama.plugins.module_utils._model_registry import seeded_mark
from ansible_collections.pasture.ollama.plugins.module_utils._resource import WaitTimeout
from ansible_collections.pasture.ollama.plugins.module_utils._seeding import (
    SeedingError,
    Target,
    failure,
    is_seeded,
    log_reasons,
    set_seeded,
    start,
    stop,
    under_way,
    wait,
)
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import is_unknown

_TARGET_OPTIONS = (
    "cluster",
    "task_definition",
    "subnet_ids",
    "security_group_ids",
    "file_system_id",
    "container",
    "log_group",
    "log_stream_prefix",
)


_TO_BRING = ("registry", "models", "subnet_ids", "security_group_ids", "file_system_id", "log_group")


def pending(ssm: Api, registry: str, specs: list[Any], file_system_id: str) -> dict[str, tuple[str, str]]:
    """What is not in the cache yet: C(name:tag) to the definition's parameter and the mark to leave on it.

    :raises DefinitionError: when one cannot be a model.
    """
    found = {}
    for spec in specs:
        definition = define(spec)
        parameter = definition.parameter(registry)
        mark = seeded_mark(definition, file_system_id)
        if is_unknown(file_system_id) or not is_seeded(ssm, parameter, mark):
            found[definition.reference] = (parameter, mark)
    return found


def seed(module: Any, target: Target, missing: dict[str, tuple[str, str]], ssm: Api) -> str:
    """Run the task and wait for it; the ARN of the task.

    :raises SeedingError: when it failed, with what it said itself.
    """
    ecs, logs = Api(module, "ecs"), Api(module, "logs")
    task_arn = start(ecs, target, sorted(missing), module.params["tags"])
    task = wait(ecs, target, task_arn, module.params["wait_timeout"])
    reason = failure(task, target)
    if reason is not None:
        told = log_reasons(logs, target, task_arn)
        raise SeedingError(
            f"The seeding task {task_arn} failed: {'; '.join(told) or reason}. Its log is in "
            f"{target.log_group}."
        )
    for parameter, mark in missing.values():
        set_seeded(ssm, parameter, mark)
    return task_arn


def remove(module: Any) -> NoReturn:
    """Stop what is bringing models, and end the module."""
    cluster = module.params["cluster"]
    try:
        ecs = Api(module, "ecs")
        found = under_way(ecs, cluster, module.params["task_definition"])
        if found and not module.check_mode:
            stop(ecs, cluster, found, module.params["wait_timeout"])
    except WaitTimeout as error:
        module.fail_json(
            msg=f"The seeding tasks of cluster {cluster} were told to stop and did not: {error}."
        )
    except AwsError as error:
        remedy = f" To mend it: {error.remedy}." if error.remedy else ""
        module.fail_json(
            msg=f"The seeding tasks of cluster {cluster} could not be stopped ({error}).{remedy}",
            error_code=error.code,
        )
    module.exit_json(changed=bool(found), seeded=[], stopped=found)
    raise AssertionError("exit_json does not return")  # for the type checker: AnsibleModule is untyped


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "registry": {"type": "str"},
            "models": {"type": "list", "elements": "raw"},
            "cluster": {"type": "str", "required": True},
            "task_definition": {"type": "str", "required": True},
            "container": {"type": "str", "default": "worker"},
            "subnet_ids": {"type": "list", "elements": "str"},
            "security_group_ids": {"type": "list", "elements": "str"},
            "file_system_id": {"type": "str"},
            "log_group": {"type": "str"},
            "log_stream_prefix": {"type": "str", "default": "worker"},
            "tags": {"type": "dict", "default": {}},
            "wait_timeout": {"type": "int", "default": 7200},
        },
        required_if=[("state", "present", _TO_BRING)],
        supports_check_mode=True,
    )
    if module.params["state"] == "absent":
        remove(module)
    params = module.params
    target = Target(**{key: params[key] for key in _TARGET_OPTIONS})
    try:
        ssm = Api(module, "ssm")
        missing = pending(ssm, check_registry(params["registry"]), params["models"], target.file_system_id)
        result: dict[str, Any] = {"changed": bool(missing), "seeded": sorted(missing)}
        if missing and not module.check_mode:
            result["task_arn"] = seed(module, target, missing, ssm)
    except (DefinitionError, SeedingError) as error:
        module.fail_json(msg=str(error))
    except WaitTimeout:
        module.fail_json(
            msg=f"The seeding task is still running after {params['wait_timeout']} s; run again to go on waiting. "
            f"Its log is in {target.log_group}."
        )
    except AwsError as error:
        remedy = f" To mend it: {error.remedy}." if error.remedy else ""
        module.fail_json(msg=f"The cache could not be filled ({error}).{remedy}", error_code=error.code)
    if getattr(module, "_diff", False):
        result["diff"] = {
            "before_header": "models in the cache",
            "after_header": "models in the cache",
            "before": "",
            "after": "".join(f"{reference}\n" for reference in result["seeded"]),
        }
    module.exit_json(**result)


if __name__ == "__main__":
    main()
