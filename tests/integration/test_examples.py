# SPDX-License-Identifier: GPL-3.0-or-later
"""The five ways to choose a model, as docs/models.md has them, are deployed."""

from __future__ import annotations

import json
import re
from typing import Any

import boto3
import pytest
import yaml
from trial import REGION, ROOT, STACK, Account

pytestmark = pytest.mark.integration


def examples() -> list[dict[str, Any]]:
    """The processor of each snippet, under a name of its own, so that one deployment has them all."""
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    snippets = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    processors = [
        processor
        for snippet in snippets
        if isinstance(snippet, dict)
        for processor in snippet.get("pasture_processors", [])
    ]
    return [processor | {"name": f"example-{number}"} for number, processor in enumerate(processors)]


def test_the_five_ways_to_choose_a_model_are_deployed(account: Account) -> None:
    wanted = examples()
    assert len(wanted) == 5
    run = account.deploy(pasture_processors=wanted, pasture_seed=False)
    assert run.well, run.text
    session = boto3.Session("testing", "testing", region_name=REGION)

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=account.url)

    found = client("ssm").get_parameters_by_path(Path=f"/pasture/{STACK}/models", Recursive=True)[
        "Parameters"
    ]
    models = {entry["Name"].split("/models/")[1]: json.loads(entry["Value"]) for entry in found}
    assert set(models) == {"llama2/latest", "llama2/13b", "llava/latest", "mixtral/latest"}
    assert models["llava/latest"]["inputs"] == ["image/png", "image/jpeg"]
    groups = {
        group["AutoScalingGroupName"]: group["MaxSize"]
        for group in client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    }
    reads = {}
    for processor in wanted:
        name = f"pasture-{STACK}-{processor['name']}"
        task = client("ecs").describe_task_definition(taskDefinition=name)["taskDefinition"]
        (container,) = task["containerDefinitions"]
        environment = {entry["name"]: entry["value"] for entry in container["environment"]}
        infrastructure = processor["infrastructure"]
        assert container["resourceRequirements"] == [{"type": "GPU", "value": str(infrastructure["gpus"])}]
        assert container["memory"] == infrastructure["max_memory"]
        assert environment["PASTURE_PROMPT"] == processor["prompt"]
        assert groups[name] >= 1
        versions = client("ec2").describe_launch_template_versions(LaunchTemplateName=name)
        template = versions["LaunchTemplateVersions"][-1]["LaunchTemplateData"]
        assert template["InstanceType"] == infrastructure["instance_type"]
        (target,) = client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="ecs", ResourceIds=[f"service/pasture-{STACK}/{name}"]
        )["ScalableTargets"]
        assert (target["MinCapacity"], target["MaxCapacity"]) == (0, processor.get("max_instances", 5))
        rules = client("events").list_rules(NamePrefix=f"{name}-")["Rules"]
        reads[processor["name"]] = [
            match["suffix"]["equals-ignore-case"]
            for rule in rules
            for match in json.loads(rule["EventPattern"])["detail"]["object"]["key"]
        ]
    assert ".pdf" in reads["example-0"]
    assert sorted(reads["example-2"]) == [".jpeg", ".jpg", ".png"]
