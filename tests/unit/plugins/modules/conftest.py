# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules' resources against moto with the embedded cloud's mends, in this process.

Every request is held to AWS's own service models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import boto3
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.amazon.aws.plugins.module_utils.retries import RetryingBotoClientWrapper
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from pasture_local.emulator import patches


def violations(shape: Any, value: Any, path: str) -> list[str]:
    """What AWS would refuse although botocore lets it pass: patterns, lengths, ranges and enumerations.

    :param shape: a shape of botocore's service model.
    """
    if shape.type_name == "structure":
        return [
            problem
            for key, item in value.items()
            for problem in violations(shape.members[key], item, f"{path}.{key}")
        ]
    if shape.type_name == "list":
        size = _out_of_range(shape, len(value), path)
        return size + [
            p for i, item in enumerate(value) for p in violations(shape.member, item, f"{path}[{i}]")
        ]
    if shape.type_name == "map":
        return [p for key, item in value.items() for p in violations(shape.value, item, f"{path}.{key}")]
    if shape.type_name in {"integer", "long", "float", "double"}:
        return _out_of_range(shape, value, path)
    return _text_violations(shape, value, path) if isinstance(value, str) else []


def _out_of_range(shape: Any, size: float, path: str) -> list[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if (least is not None and size < least) or (most is not None and size > most):
        return [f"{path} is {size}, not from {least} to {most}"]
    return []


def _text_violations(shape: Any, value: str, path: str) -> list[str]:
    problems = _out_of_range(shape, len(value), path)
    if shape.enum and value not in shape.enum:
        problems.append(f"{path} is {value!r}, not one of {shape.enum}")
    pattern = shape.metadata.get("pattern")
    if pattern:
        try:
            if not re.search(pattern.replace(r"\p{L}\p{Z}\p{N}", r"\w\s"), value):
                problems.append(f"{path} is {value!r}, which does not match {pattern}")
        except re.error:  # Java's dialect has what Python's has not
            pass
    return problems


def check_request(params: dict[str, Any], model: Any, **_: Any) -> None:
    """A hook of botocore that refuses what AWS would refuse."""
    problems = violations(model.input_shape, params, model.name) if model.input_shape else []
    assert not problems, problems


class Module:
    """As much of an Ansible module as the shared core needs."""

    def __init__(self, check_mode: bool = False, **params: Any) -> None:
        self.check_mode = check_mode
        self.params = params
        self.result: dict[str, Any] = {}
        self._diff = True

    def client(self, service: str, retry_decorator: Any = None) -> Any:
        client = boto3.client(service, region_name="eu-west-1")
        client.meta.events.register("before-parameter-build", check_request)
        return RetryingBotoClientWrapper(client, retry_decorator)

    def fail_json(self, **result: Any) -> None:
        self.result = result
        raise SystemExit(1)

    def exit_json(self, **result: Any) -> None:
        self.result = result
        raise SystemExit(0)


@cache
def mend_moto() -> None:
    """Once in a process: a patch calls what was there before it."""
    patches.apply()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Api]]:
    """Makes the Api of a service, on an empty account."""
    mend_moto()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "emulated")
    with mock_aws():
        yield lambda service: Api(Module(), service)


class WholeModule(Module):
    """A module that is run by its C(main), with the arguments of a task."""

    def fail_json_aws(self, exception: Exception, msg: str) -> None:
        self.fail_json(msg=f"{msg}: {exception}")


@pytest.fixture
def run(api: Callable[[str], Api], monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs a module's C(main) on the emulated account, and returns what it ended with.

    The arguments go through Ansible's own validation; C(check_mode) is for check mode.
    """

    def run_module(module: Any, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        made: list[WholeModule] = []

        def make(
            argument_spec: dict[str, Any], supports_check_mode: bool, **requirements: Any
        ) -> WholeModule:
            assert supports_check_mode
            validated = ArgumentSpecValidator(argument_spec, **requirements).validate(arguments)
            assert not validated.error_messages, validated.error_messages
            made.append(WholeModule(check_mode, **validated.validated_parameters))
            return made[0]

        monkeypatch.setattr(module, "AnsibleAWSModule", make)
        with pytest.raises(SystemExit):
            module.main()
        return made[0].result

    return run_module


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets AWS answer an operation, by its name in the API, with an error; C(times) is how often."""
    original = BaseClient._make_api_call
    refusals: dict[str, list[str]] = {}

    def answer(self: Any, operation_name: str, api_params: dict[str, Any]) -> Any:
        if refusals.get(operation_name):
            error = {"Code": refusals[operation_name].pop(), "Message": "as the test wants"}
            raise ClientError({"Error": error}, operation_name)
        return original(self, operation_name, api_params)

    def refuse_operation(operation: str, code: str, times: int = 100) -> None:
        refusals[operation] = [code] * times

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    return refuse_operation
