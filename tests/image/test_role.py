# SPDX-License-Identifier: GPL-3.0-or-later
"""Built and pushed by the role, deployed by digest, and started by the ECS agent as a container."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import machine
import pytest
from worker_cloud import wait_for

from pasture_local import lifecycle
from pasture_local.home import Home

BIN = Path(sys.executable).parent
PROCESSOR = {
    "name": "summarize",
    "model": "smollm2:135m",
    "prompt": "Summarize the document in one sentence.",
    "options": {"temperature": 0, "seed": 1, "num_predict": 40, "num_thread": 1},
    "on_length": "accept",
    "num_ctx": 1024,
    "infrastructure": {"instance_type": "m6i.large", "gpus": 0, "max_memory": 4096},
    "max_instances": 1,
    "idle_minutes": 60,
}


@pytest.fixture
def options(registry: str, bases: dict[str, str], secrets: dict[str, str]) -> dict[str, Any]:
    """What a user writes as pasture_image to build on bases of their own, for a registry of their own."""
    return {
        "repository": f"{registry}/team/worker",
        "insecure": True,
        "variant": machine.VARIANT,
        "ollama_image": bases["OLLAMA_IMAGE"],
        "python_image": bases["PYTHON_IMAGE"],
        "runtime_image": bases["RUNTIME_IMAGE"],
        "pip_config": secrets.get("pip.conf", ""),
        "ca_certificate": secrets.get("ca.crt", ""),
        "build_options": ["--isolation=chroot", "--pull=never"],
    }


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """The folder of an embedded cloud, which ends with the test."""
    home = Home(tmp_path / "cloud")
    yield home
    if home.is_running():
        lifecycle.down(home)


def environment(home: Home) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "PASTURE_LOCAL_HOME": str(home.path),
        "PASTURE_LOCAL_CONTAINERS": "podman",
        "ANSIBLE_COLLECTIONS_PATH": str(machine.ROOT / ".build" / "dev"),
        "ANSIBLE_LOCALHOST_WARNING": "False",
    }


def deploy(home: Home, variables: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [BIN / "ansible-playbook", "pasture.ollama.local", "-e", json.dumps(variables)],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    print(*re.findall(r"TASK \[(.*?)\].*\nchanged", result.stdout), sep="\n")
    return result


def containers() -> list[dict[str, Any]]:
    value: list[dict[str, Any]] = json.loads(machine.podman("ps", "--format", "json").stdout)
    return [one for one in value if one["Names"][0].startswith("pasture-")]


def test_what_was_built_is_deployed_by_digest_and_runs_as_a_container(
    options: dict[str, Any], home: Home, registry: str
) -> None:
    variables = {
        "pasture_stack": "boxed",
        "pasture_processors": [PROCESSOR],
        "pasture_image": options,
        # The worker pulls the model by itself, in its container.
        "pasture_seed": False,
    }
    deploy(home, variables)
    state = home.read_state()
    assert state is not None
    keys = {"aws_access_key_id": "pasture", "aws_secret_access_key": "pasture"}
    session = boto3.Session(**keys, region_name=state.region)
    s3, ecs, sts = (session.client(name, endpoint_url=state.endpoint_url) for name in ("s3", "ecs", "sts"))

    definition = ecs.describe_task_definition(taskDefinition="pasture-boxed-summarize")["taskDefinition"]
    (worker,) = definition["containerDefinitions"]
    repository, _, digest = worker["image"].partition("@")
    assert repository == f"{registry}/team/worker"
    assert digest.startswith("sha256:")
    # Nothing but the registry knows the image by that digest.
    machine.podman("rmi", "--force", "--ignore", worker["image"], check=False)

    prefix = f"pasture-boxed-{sts.get_caller_identity()['Account']}-{state.region}"
    s3.put_object(Bucket=f"{prefix}-source", Key="note.txt", Body=b"The library is closed on Sundays.")
    seen: list[dict[str, Any]] = []

    def result() -> str:
        seen.extend(containers())
        listed = s3.list_objects_v2(Bucket=f"{prefix}-results").get("Contents", [])
        return next((o["Key"] for o in listed if o["Key"] == "summarize/note.txt.txt"), "")

    wait_for(result, 300)
    assert {one["Image"] for one in seen} == {worker["image"]}
    inspected = json.loads(machine.podman("inspect", seen[-1]["Id"]).stdout)[0]
    assert inspected["HostConfig"]["ReadonlyRootfs"] is True
    assert inspected["Config"]["User"] == "1000:1000"
    assert inspected["EffectiveCaps"] in (None, [])

    # The same sources again: nothing is built or pushed, and the tasks keep their definition.
    again = deploy(home, variables)
    _, _, after = again.stdout.partition("Build and push it unless it is there]")
    assert after.splitlines()[1] == "ok: [localhost]", again.stdout[-6000:]
    now = ecs.describe_task_definition(taskDefinition="pasture-boxed-summarize")["taskDefinition"]
    assert now["taskDefinitionArn"] == definition["taskDefinitionArn"]
    lifecycle.down(home)
    wait_for(lambda: not [one for one in containers() if one["Id"] == seen[-1]["Id"]], 30)
