#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lambda_function
version_added: 1.0.0
short_description: Manage an AWS Lambda function with its code, limits and permissions
description:
  - Creates, changes or deletes a function of Python files, with what may invoke it and how often.
  - It exists because M(amazon.aws.lambda) wants a package that somebody else has made, and knows neither reserved
    concurrency nor what becomes of asynchronous invocations; and each permission would be a task of its own.
  - The package is made here, and is the same bytes for the same files, so that unchanged code is not a change.
options:
  name:
    description: The function's name.
    type: str
    required: true
  state:
    description: Whether the function is to exist.
    type: str
    choices: [present, absent]
    default: present
  source:
    description: The folder whose Python files are the function's code.
    type: path
  handler:
    description: The function to call, as C(file.function).
    type: str
  runtime:
    description: The runtime.
    type: str
    default: python3.13
  architecture:
    description: The processor it runs on.
    type: str
    choices: [x86_64, arm64]
    default: arm64
  role_arn:
    description: The ARN of its role.
    type: str
  description:
    description: What it is for.
    type: str
  timeout:
    description: The seconds after which it is ended.
    type: int
    default: 10
  memory_size:
    description: Its memory in MiB.
    type: int
    default: 128
  environment:
    description: Its environment.
    type: dict
    default: {}
  log_group:
    description: The log group that it writes to.
    type: str
  reserved_concurrency:
    description:
      - How many of it run at once at the most, taken from the account's quota.
      - C(-1) reserves nothing. Accounts with a quota of 10 cannot reserve anything.
    type: int
    default: -1
  retry_attempts:
    description: How often an asynchronous invocation that failed is tried again.
    type: int
    default: 2
  event_age:
    description: How old an asynchronous invocation may become, in seconds.
    type: int
    default: 21600
  permissions:
    description: Who may invoke it. Others that may are removed.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: The name of the permission.
        type: str
        required: true
      principal:
        description: The service.
        type: str
        required: true
      source_arn:
        description: The ARN of the thing of that service.
        type: str
        required: true
  tags:
    description: Its tags. Left alone when not given.
    type: dict
  purge_tags:
    description: Remove tags that are not given. Tags that AWS sets by itself always stay.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait for a new role to spread, and for the function to be ready.
    type: int
    default: 120
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Deploy the function that wakes services
  pasture.ollama.lambda_function:
    name: pasture-docs-wakeup
    source: "{{ role_path }}/files/wake_up"
    handler: wake_up.handler
    role_arn: arn:aws:iam::123456789012:role/pasture/docs/pasture-docs-wakeup
    reserved_concurrency: 1
    retry_attempts: 0
    event_age: 60
    permissions:
      - id: pasture-docs-summarize-0
        principal: events.amazonaws.com
        source_arn: arn:aws:events:eu-west-1:123456789012:rule/pasture-docs-summarize-0
"""

RETURN = r"""
function:
  description: The function as it is now, or in check mode as it would be. Null when it is gone.
  returned: always
  type: dict
  contains:
    name:
      description: Its name.
      returned: always
      type: str
      sample: pasture-docs-wakeup
    arn:
      description: Its ARN.
      returned: always
      type: str
      sample: arn:aws:lambda:eu-west-1:123456789012:function:pasture-docs-wakeup
    code_sha256:
      description: The SHA-256 of its package in base64.
      returned: always
      type: str
"""

import json
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._package import package, package_sha256
from ansible_collections.pasture.ollama.plugins.module_utils._resource import (
    Refusal,
    State,
    ensure_all,
    report,
    wait_until,
)
from ansible_collections.pasture.ollama.plugins.module_utils._sets import Item
from ansible_collections.pasture.ollama.plugins.module_utils._tags import tag_change
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

_MISSING = ("ResourceNotFoundException",)
_CONFIGURATION = {
    "handler": "Handler",
    "runtime": "Runtime",
    "role_arn": "Role",
    "description": "Description",
    "timeout": "Timeout",
    "memory_size": "MemorySize",
}
_ASYNCHRONOUS = {"retry_attempts", "event_age"}
_OTHERS = (
    "name",
    "architecture",
    "environment",
    "log_group",
    "reserved_concurrency",
    "permissions",
    "tags",
)


def permissions_state(policy: dict[str, Any] | None) -> dict[str, dict[str, str]]:
    """Who may invoke the function, by the name of the permission, from its resource policy."""
    permissions = {}
    for statement in (policy or {}).get("Statement", []):
        conditions = statement.get("Condition") or {}
        sources = [
            arn
            for operator in conditions.values()
            for key, arn in operator.items()
            if key.lower() == "aws:sourcearn"
        ]
        principal = statement.get("Principal", {})
        permissions[statement["Sid"]] = {
            "principal": principal.get("Service", "") if isinstance(principal, dict) else principal,
            "source_arn": sources[0] if sources else "",
        }
    return permissions


def configuration_request(wanted: State) -> dict[str, Any]:
    """What create and update have in common."""
    request = {name: wanted[key] for key, name in _CONFIGURATION.items() if key in wanted}
    request["Environment"] = {"Variables": wanted["environment"]}
    if wanted.get("log_group"):
        request["LoggingConfig"] = {"LogGroup": wanted["log_group"]}
    return request


class Function(Item):
    kind = "Lambda function"
    exact_keys = frozenset({"tags", "permissions", "environment"})

    def __init__(
        self, api: Api, options: dict[str, Any], code: bytes, purge_tags: bool = True, timeout: int = 120
    ) -> None:
        super().__init__(api, options, purge_tags)
        self.code = code
        self.timeout = timeout

    def read(self) -> State | None:
        found = self.api.call("get_function", missing=_MISSING, FunctionName=self.name)
        if found is None:
            return None
        configuration = found["Configuration"]
        policy = self.api.call("get_policy", missing=_MISSING, FunctionName=self.name)
        later = self.api.call("get_function_event_invoke_config", missing=_MISSING, FunctionName=self.name)
        limit = self.api.call("get_function_concurrency", missing=_MISSING, FunctionName=self.name) or {}
        state = {
            "name": self.name,
            "arn": configuration["FunctionArn"],
            "code_sha256": configuration["CodeSha256"],
            "architecture": (configuration.get("Architectures") or ["x86_64"])[0],
            "environment": (configuration.get("Environment") or {}).get("Variables", {}),
            "reserved_concurrency": limit.get("ReservedConcurrentExecutions", -1),
            "retry_attempts": (later or {}).get("MaximumRetryAttempts", 2),
            "event_age": (later or {}).get("MaximumEventAgeInSeconds", 21600),
            "permissions": permissions_state(json.loads(policy["Policy"]) if policy else None),
            "tags": found.get("Tags", {}),
        }
        state.update({key: configuration.get(name) for key, name in _CONFIGURATION.items()})
        if "LoggingConfig" in configuration:
            state["log_group"] = configuration["LoggingConfig"].get("LogGroup")
        return state

    def wanted(self, current: State | None) -> State:
        wanted = super().wanted(current)
        wanted["code_sha256"] = package_sha256(self.code)
        wanted["permissions"] = {
            item["id"]: {"principal": item["principal"], "source_arn": item["source_arn"]}
            for item in wanted["permissions"]
        }
        if current is not None and "log_group" not in current:
            wanted.pop("log_group", None)
        return wanted

    def computed(self) -> State:
        return {"arn": unknown(f"ARN of function {self.name}")}

    def create(self, wanted: State) -> None:
        self._while_role_spreads(
            "create_function",
            FunctionName=self.name,
            Code={"ZipFile": self.code},
            Architectures=[wanted["architecture"]],
            Tags=wanted.get("tags"),
            **configuration_request(wanted),
        )
        self._wait_until_ready()
        self._limit(wanted, set(wanted))
        self._permit({}, wanted["permissions"])

    def _while_role_spreads(self, operation: str, **arguments: Any) -> None:
        """A new role takes some seconds until Lambda can assume it."""
        failures: list[AwsError] = []

        def attempt() -> State | None:
            try:
                return self.api.call(operation, **arguments)
            except AwsError as error:
                if "cannot be assumed" not in str(error.cause):
                    raise
                failures.append(error)
                return None

        wait_until("able to assume its role", attempt, lambda done: done is not None, self.timeout)

    def _wait_until_ready(self) -> None:
        wait_until(
            "ready",
            lambda: self.api.call("get_function_configuration", FunctionName=self.name),
            lambda found: bool(
                found
                and found.get("State", "Active") == "Active"
                and found.get("LastUpdateStatus", "Successful") != "InProgress"
            ),
            self.timeout,
        )

    def _limit(self, wanted: State, keys: set[str]) -> None:
        if keys & _ASYNCHRONOUS:
            self.api.call(
                "put_function_event_invoke_config",
                FunctionName=self.name,
                MaximumRetryAttempts=wanted["retry_attempts"],
                MaximumEventAgeInSeconds=wanted["event_age"],
            )
        if "reserved_concurrency" in keys:
            if wanted["reserved_concurrency"] < 0:
                self.api.call("delete_function_concurrency", FunctionName=self.name)
            else:
                self._reserve(wanted["reserved_concurrency"])

    def _reserve(self, concurrency: int) -> None:
        try:
            self.api.call(
                "put_function_concurrency",
                FunctionName=self.name,
                ReservedConcurrentExecutions=concurrency,
            )
        except AwsError as error:
            if "UnreservedConcurrentExecution" not in str(error.cause):
                raise
            raise Refusal(
                f"The account's quota of concurrent executions is too small to reserve {concurrency} of them. "
                "Ask for more in Service Quotas, or reserve none with reserved_concurrency: -1"
            ) from error

    def _permit(self, current: dict[str, dict[str, str]], wanted: dict[str, dict[str, str]]) -> None:
        for name, permission in current.items():
            if wanted.get(name) != permission:
                self.api.call("remove_permission", missing=_MISSING, FunctionName=self.name, StatementId=name)
        for name, permission in wanted.items():
            if current.get(name) != permission:
                self.api.call(
                    "add_permission",
                    FunctionName=self.name,
                    StatementId=name,
                    Action="lambda:InvokeFunction",
                    Principal=permission["principal"],
                    SourceArn=permission["source_arn"],
                )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if changed_keys & {"code_sha256", "architecture"}:
            self.api.call(
                "update_function_code",
                FunctionName=self.name,
                ZipFile=self.code,
                Architectures=[wanted["architecture"]],
            )
            self._wait_until_ready()
        if changed_keys & {*_CONFIGURATION, "environment", "log_group"}:
            request = configuration_request(wanted)
            self._while_role_spreads("update_function_configuration", FunctionName=self.name, **request)
            self._wait_until_ready()
        self._limit(wanted, changed_keys)
        self._permit(current["permissions"], wanted["permissions"])
        if "tags" in changed_keys:
            change = tag_change(current["tags"], wanted["tags"])
            if change.removed:
                self.api.call("untag_resource", Resource=current["arn"], TagKeys=change.removed)
            if change.added:
                self.api.call("tag_resource", Resource=current["arn"], Tags=change.added)

    def delete(self, current: State) -> None:
        self.api.call("delete_function", missing=_MISSING, FunctionName=self.name)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "source": {"type": "path"},
            "handler": {"type": "str"},
            "runtime": {"type": "str", "default": "python3.13"},
            "architecture": {"type": "str", "choices": ["x86_64", "arm64"], "default": "arm64"},
            "role_arn": {"type": "str"},
            "description": {"type": "str"},
            "timeout": {"type": "int", "default": 10},
            "memory_size": {"type": "int", "default": 128},
            "environment": {"type": "dict", "default": {}},
            "log_group": {"type": "str"},
            "reserved_concurrency": {"type": "int", "default": -1},
            "retry_attempts": {"type": "int", "default": 2},
            "event_age": {"type": "int", "default": 21600},
            "permissions": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "id": {"type": "str", "required": True},
                    "principal": {"type": "str", "required": True},
                    "source_arn": {"type": "str", "required": True},
                },
            },
            "tags": {"type": "dict"},
            "purge_tags": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 120},
        },
        required_if=[("state", "present", ("source", "handler", "role_arn"))],
        supports_check_mode=True,
    )
    keys = (*_CONFIGURATION, *_ASYNCHRONOUS, *_OTHERS)
    code = package(module.params["source"]) if module.params["state"] == "present" else b""
    function = Function(
        Api(module, "lambda"),
        {key: module.params[key] for key in keys},
        code,
        module.params["purge_tags"],
        module.params["wait_timeout"],
    )
    report(module, "function", ensure_all(module, [function]))


if __name__ == "__main__":
    main()
