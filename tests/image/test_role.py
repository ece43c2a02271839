# SPDX-License-Identifier: GPL-3.0-or-later
"""Built and pushed by the role, deployed by digest, started by the ECS agent as a container, saved in an AMI."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import baking
import boto3
import machine
import pytest
from worker_cloud import wait_for

from pasture_local import lifecycle
from pasture_local.home import Home

BIN = Path(sys.executable).parent
PREFIX = "pasture-boxed"
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


@dataclass(frozen=True)
class Stack:
    """A stack on an embedded cloud whose tasks are containers, and how it was deployed."""

    home: Home
    variables: dict[str, Any]

    def run(self, playbook: str, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Run one of the collection's playbooks to its end."""
        return subprocess.run(
            [BIN / "ansible-playbook", f"pasture.ollama.{playbook}", "-e", json.dumps(variables), *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def deploy(self, **changes: Any) -> subprocess.CompletedProcess[str]:
        """Deploy, with other variables where they are given."""
        return self.run("local", **{**self.variables, **changes})

    def environment(self) -> dict[str, str]:
        """What the playbooks run with."""
        state = self.home.read_state()
        return {
            **os.environ,
            **(state.environment() if state else {}),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            "PASTURE_LOCAL_HOME": str(self.home.path),
            "PASTURE_LOCAL_CONTAINERS": "podman",
            "ANSIBLE_COLLECTIONS_PATH": str(machine.ROOT / ".build" / "dev"),
            "ANSIBLE_LOCALHOST_WARNING": "False",
        }

    def client(self, service: str) -> Any:
        """A client of the emulator."""
        state = self.home.read_state()
        assert state is not None
        given = state.environment()
        session = boto3.Session(given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"])
        return session.client(service, endpoint_url=state.endpoint_url, region_name=state.region)

    def definition(self) -> dict[str, Any]:
        """The newest task definition."""
        answer = self.client("ecs").describe_task_definition(taskDefinition=f"{PREFIX}-summarize")
        value: dict[str, Any] = answer["taskDefinition"]
        return value

    def image(self) -> str:
        """What the tasks run."""
        return str(self.definition()["containerDefinitions"][0]["image"])


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, bases: dict[str, str], secrets: dict[str, str]
) -> Iterator[Stack]:
    """A stack with an image that was built on bases of one's own, for a registry of one's own."""
    folder = tmp_path_factory.mktemp("role")
    with machine.registry(folder / "registry") as address:
        options = {
            "repository": f"{address}/team/worker",
            "insecure": True,
            "variant": machine.VARIANT,
            "ollama_image": bases["OLLAMA_IMAGE"],
            "python_image": bases["PYTHON_IMAGE"],
            "runtime_image": bases["RUNTIME_IMAGE"],
            "pip_config": secrets.get("pip.conf", ""),
            "ca_certificate": secrets.get("ca.crt", ""),
            "build_options": ["--isolation=chroot", "--pull=never"],
        }
        variables = {
            "pasture_stack": "boxed",
            "pasture_processors": [PROCESSOR],
            "pasture_image": options,
            # The worker pulls the model by itself, in its container.
            "pasture_seed": False,
        }
        stack = Stack(Home(folder / "cloud"), variables)
        try:
            result = stack.deploy()
            assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
            yield stack
        finally:
            if stack.home.is_running():
                lifecycle.down(stack.home)
        wait_for(lambda: not containers(), 30)


def containers() -> list[dict[str, Any]]:
    value: list[dict[str, Any]] = json.loads(machine.podman("ps", "--format", "json").stdout)
    return [one for one in value if one["Names"][0].startswith("pasture-")]


def test_what_was_built_is_deployed_by_digest_and_runs_as_a_container(stack: Stack) -> None:
    image = stack.image()
    repository, _, digest = image.partition("@")
    assert repository == stack.variables["pasture_image"]["repository"]
    assert digest.startswith("sha256:")
    # Nothing but the registry knows the image by that digest.
    machine.podman("rmi", "--force", "--ignore", image, check=False)

    s3, sts = stack.client("s3"), stack.client("sts")
    prefix = f"{PREFIX}-{sts.get_caller_identity()['Account']}-{s3.meta.region_name}"
    s3.put_object(Bucket=f"{prefix}-source", Key="note.txt", Body=b"The library is closed on Sundays.")
    seen: list[dict[str, Any]] = []

    def result() -> str:
        seen.extend(containers())
        listed = s3.list_objects_v2(Bucket=f"{prefix}-results").get("Contents", [])
        return next((o["Key"] for o in listed if o["Key"] == "summarize/note.txt.txt"), "")

    wait_for(result, 300)
    assert {one["Image"] for one in seen} == {image}
    inspected = json.loads(machine.podman("inspect", seen[-1]["Id"]).stdout)[0]
    assert inspected["HostConfig"]["ReadonlyRootfs"] is True
    assert inspected["Config"]["User"] == "1000:1000"
    assert inspected["EffectiveCaps"] in (None, [])


def test_a_push_that_is_refused_leaves_the_tasks_the_image_that_they_have(
    stack: Stack, tmp_path: Path
) -> None:
    before = stack.definition()
    with machine.registry(tmp_path / "read-only", read_only=True) as address:
        other = {**stack.variables["pasture_image"], "repository": f"{address}/team/worker"}
        result = stack.deploy(pasture_image=other)
    assert result.returncode != 0
    assert f"push to {address}/team/worker" in result.stdout
    assert stack.definition() == before


@pytest.fixture(scope="module")
def ami(stack: Stack) -> str:
    """The AMI that bake.yml makes, at the second attempt: the first one is interrupted."""
    ec2, iam = stack.client("ec2"), stack.client("iam")
    of = {"pasture_stack": "boxed", "processor": "summarize", "kind": "cpu-x86_64"}
    command = [BIN / "ansible-playbook", "pasture.ollama.bake", "-e", json.dumps(of)]
    # What a shell runs in the background inherits that Ctrl-C is ignored, and hands that on; a terminal does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    first = subprocess.Popen(
        command,
        env=stack.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    wait_for(lambda: baking.instances(ec2), 120)
    os.killpg(first.pid, signal.SIGINT)
    first.wait(60)
    (left,) = baking.instances(ec2)
    assert "\nshutdown -h +40\n" in baking.user_data(ec2, left["InstanceId"])

    def pull(image: str) -> None:
        machine.podman("pull", "--quiet", "--tls-verify=false", image)

    with baking.baker(ec2, without=left["InstanceId"], pull=pull) as pulled:
        second = stack.run("bake", **of)
    assert second.returncode == 0, second.stdout[-6000:]
    assert pulled == [stack.image()]
    # Nothing that costs something is left but the AMI.
    assert baking.instances(ec2) == []
    assert [role for role in iam.list_roles()["Roles"] if role["RoleName"].endswith("-bake")] == []
    found = re.search(r"Set pasture_amis to (.*?) and deploy again", second.stdout)
    assert found is not None
    made: dict[str, str] = json.loads(found[1].replace('\\"', '"'))
    assert list(made) == ["cpu-x86_64"]
    return made["cpu-x86_64"]


def test_an_image_that_is_in_an_ami_is_not_saved_again(stack: Stack, ami: str) -> None:
    of = {"pasture_stack": "boxed", "processor": "summarize", "kind": "cpu-x86_64"}
    again = stack.run("bake", **of)
    assert again.returncode == 0, again.stdout[-6000:]
    assert "changed=0" in again.stdout
    assert ami in again.stdout


def test_the_same_sources_are_not_built_again_and_instances_start_with_the_ami(
    stack: Stack, ami: str
) -> None:
    before = stack.definition()
    again = stack.deploy(pasture_amis={"cpu-x86_64": ami})
    assert again.returncode == 0, again.stdout[-6000:]
    _, _, after = again.stdout.partition("Build and push it unless it is there]")
    assert after.splitlines()[1] == "ok: [localhost]", again.stdout[-6000:]
    assert stack.definition()["taskDefinitionArn"] == before["taskDefinitionArn"]
    described = stack.client("ec2").describe_launch_template_versions(
        LaunchTemplateName=f"{PREFIX}-summarize", Versions=["$Latest"]
    )
    (version,) = described["LaunchTemplateVersions"]
    assert version["LaunchTemplateData"]["ImageId"] == ami


def test_an_ami_goes_with_its_stack(stack: Stack, ami: str) -> None:
    of = {"stack": "boxed", "prefix": PREFIX, "tags": {"pasture:stack": "boxed"}}
    variables = {"image_stack": of, "ansible_python_interpreter": sys.executable}
    role = "name=pasture.ollama.image tasks_from=destroy"
    subprocess.run(
        [
            *(BIN / "ansible", "localhost", "-m", "ansible.builtin.include_role"),
            *("-a", role, "-e", json.dumps(variables)),
        ],
        env=stack.environment(),
        capture_output=True,
        check=True,
    )
    ec2 = stack.client("ec2")
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    tagged = [{"Name": "tag:pasture:stack", "Values": ["boxed"]}]
    assert ec2.describe_snapshots(Filters=tagged)["Snapshots"] == []
