# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the models role makes of the processors."""

from __future__ import annotations

from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._definition import define
from ansible_collections.pasture.ollama.plugins.module_utils._plan_models import definitions, models_plan

FACT = {
    "stack": "docs",
    "prefix": "pasture-docs",
    "account_id": "123456789012",
    "partition": "aws",
    "region": "eu-west-1",
    "tags": {"team": "x"},
}
OPTIONS = {
    "image": "repo@sha256:00",
    "file_system_id": "fs-1",
    "file_system_arn": "arn:aws:elasticfilesystem:eu-west-1:123456789012:file-system/fs-1",
    "access_point_id": "fsap-1",
    "access_point_arn": "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-1",
}


def processor(spec: Any) -> dict[str, Any]:
    return {"name": "p", "model": define(spec).as_dict()}


def plan(*specs: Any, **options: Any) -> dict[str, Any]:
    return models_plan([processor(spec) for spec in specs], FACT, {**OPTIONS, **options})


def statements(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {statement["Sid"]: statement for statement in made["roles"][0]["policies"]["pasture"]["Statement"]}


def test_each_model_is_registered_once_and_as_it_was_defined() -> None:
    found = definitions(
        [
            processor("llama3.1:8b"),
            processor("llama3.1:8b"),
            processor({"name": "llava", "options": {"seed": 1}}),
        ]
    )
    assert [define(spec).reference for spec in found] == ["llama3.1:8b", "llava:latest"]
    assert define(found[1]) == define({"name": "llava", "options": {"seed": 1}})


def test_the_seeding_task_is_on_fargate_and_as_locked_up_as_a_worker() -> None:
    (definition,) = plan("llama3.1:8b")["task_definitions"]
    assert definition["name"] == "pasture-docs-seed"
    assert definition["requires_compatibilities"] == ["FARGATE"]
    (container,) = definition["containers"]
    assert (container["user"], container["readonlyRootFilesystem"]) == ("1000:1000", True)
    assert container["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
    assert container["stopTimeout"] <= 120, "the most that Fargate allows"
    environment = {entry["name"]: entry["value"] for entry in container["environment"]}
    assert environment["PASTURE_STORE"] == container["mountPoints"][0]["containerPath"]
    volume = definition["volumes"][0]["efsVolumeConfiguration"]
    assert volume["transitEncryption"] == "ENABLED"
    assert volume["authorizationConfig"] == {"accessPointId": "fsap-1", "iam": "ENABLED"}


def test_the_definition_does_not_change_with_the_models() -> None:
    assert plan("llama3.1:8b")["task_definitions"] == plan("mistral", "llava")["task_definitions"]


def test_it_may_read_definitions_and_write_the_store_and_nothing_else() -> None:
    found = statements(plan("llama3.1:8b"))
    assert set(found) == {"Definitions", "Store"}
    assert found["Definitions"]["Resource"] == [
        "arn:aws:ssm:eu-west-1:123456789012:parameter/pasture/docs/models/*"
    ]
    assert found["Store"]["Condition"] == {
        "StringEquals": {"elasticfilesystem:AccessPointArn": OPTIONS["access_point_arn"]}
    }


def test_weights_of_ones_own_may_be_fetched_from_where_they_are_and_nowhere_else() -> None:
    own = {
        "name": "mine",
        "inputs": ["text/plain"],
        "outputs": ["text/plain"],
        "from": "s3://models/mine.gguf",
    }
    found = statements(plan(own, "llava"))
    assert found["Weights"]["Resource"] == ["arn:aws:s3:::models/mine.gguf"]
    assert found["Missing"]["Resource"] == ["arn:aws:s3:::models"], "or a wrong key would be 'access denied'"
    with_modelfile = plan({**own, "modelfile": "s3://models/Modelfile"})
    assert statements(with_modelfile)["Weights"]["Resource"] == [
        "arn:aws:s3:::models/Modelfile",
        "arn:aws:s3:::models/mine.gguf",
    ]
    assert with_modelfile["models"][0]["modelfile"] == "s3://models/Modelfile"


def test_architecture_environment_and_boundary_are_passed_on() -> None:
    made = plan(
        "llava",
        architecture="arm64",
        environment={"HTTPS_PROXY": "http://proxy"},
        permissions_boundary="arn:b",
    )
    assert made["task_definitions"][0]["runtime_platform"]["cpu_architecture"] == "ARM64"
    assert {"name": "HTTPS_PROXY", "value": "http://proxy"} in made["task_definitions"][0]["containers"][0][
        "environment"
    ]
    assert made["roles"][0]["permissions_boundary"] == "arn:b"
