# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job, end to end: what `make demo` does, looked at through AWS's own interfaces."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import baking
import deployers
import pytest
from demonstration import Demonstration, client_of
from people import IMAGE, RECORDS, People

from pasture_local.demo.run import variables

pytestmark = pytest.mark.integration

MISSING = {"name": "lost", "inputs": ["text/plain"], "outputs": ["text/plain"], "context_length": 2048}


@dataclass
class Finished:
    """A demonstration that has ended and left its cloud running."""

    run: subprocess.CompletedProcess[str]
    state: dict[str, Any]

    def client(self, service: str) -> Any:
        """Return a client of the embedded cloud."""
        return client_of(self.state, service)

    def bucket(self, kind: str) -> str:
        """Return the name of the ``source`` or ``results`` bucket."""
        names: list[str] = [bucket["Name"] for bucket in self.client("s3").list_buckets()["Buckets"]]
        return next(name for name in names if name.endswith(f"-{kind}"))

    def keys(self, kind: str) -> list[str]:
        """Return the keys in the ``source`` or ``results`` bucket."""
        return [
            entry["Key"] for entry in self.client("s3").list_objects_v2(Bucket=self.bucket(kind))["Contents"]
        ]

    def read(self, kind: str, key: str) -> str:
        """Return the text of an object."""
        body: Any = self.client("s3").get_object(Bucket=self.bucket(kind), Key=key)["Body"].read()
        return str(body.decode())

    def results(self) -> dict[str, str]:
        """Return the text of every result by its key."""
        keys = [key for key in self.keys("results") if not key.endswith(".provenance.json")]
        return {key: self.read("results", key) for key in keys}

    def provenances(self) -> dict[str, dict[str, Any]]:
        """Return the provenance of every result by the result's key."""
        return {key: json.loads(self.read("results", f"{key}.provenance.json")) for key in self.results()}

    def services(self) -> list[dict[str, Any]]:
        """Return the stack's services."""
        ecs = self.client("ecs")
        (cluster,) = [arn for arn in ecs.list_clusters()["clusterArns"] if "/pasture-" in arn]
        arns = ecs.list_services(cluster=cluster)["serviceArns"]
        return list(ecs.describe_services(cluster=cluster, services=arns)["services"])


@pytest.fixture(scope="module")
def finished(demonstration: Demonstration) -> Finished:
    """Run the demonstration once for all tests of this file."""
    record = RECORDS / "main-job.jsonl"
    record.unlink(missing_ok=True)
    run = demonstration.run("demo", "--keep", "--record", str(record))
    assert run.returncode == 0, run.stdout + run.stderr
    return Finished(run, json.loads((demonstration.home / "state.json").read_text()))


def squeezed(text: str) -> str:
    """Return a text without anything that lays it out."""
    return re.sub(r"\W+", "", text)


def test_every_document_that_can_be_read_has_one_result_with_its_provenance(finished: Finished) -> None:
    provenances = finished.provenances()
    read = [provenance["document"]["url"] for provenance in provenances.values()]
    assert len(read) == len(set(read)) >= 3
    assert set(read) < {f"s3://{finished.bucket('source')}/{key}" for key in finished.keys("source")}


def test_different_documents_have_different_results(finished: Finished) -> None:
    texts = [text.strip() for text in finished.results().values()]
    assert all(len(text) > 20 for text in texts)
    assert len(set(texts)) == len(texts)


def test_what_is_printed_is_what_the_model_wrote(finished: Finished) -> None:
    printed = squeezed(finished.run.stdout)
    for key, text in finished.results().items():
        assert f"s3://{finished.bucket('results')}/{key}" in finished.run.stdout
        assert squeezed(text)[:60] in printed


def test_a_result_is_about_its_document_and_no_other(finished: Finished) -> None:
    """Of the words that one document has and no other, a result uses the largest share of its own document's."""

    def words(text: str) -> set[str]:
        return set(re.findall(r"[a-z]{5,}", text.lower()))

    read = {
        key: words(finished.read("source", provenance["document"]["url"].split("/", 3)[3]))
        for key, provenance in finished.provenances().items()
    }
    own = {key: read[key].difference(*(read[other] for other in read if other != key)) for key in read}
    for key, text in finished.results().items():
        share = {other: len(words(text) & own[other]) / len(own[other]) for other in own}
        assert share.pop(key) > max(share.values()), key


def test_a_document_larger_than_the_context_is_read_in_parts_and_to_its_end(finished: Finished) -> None:
    usage = max((one["usage"] for one in finished.provenances().values()), key=lambda usage: usage["parts"])
    assert usage["parts"] > 1
    assert usage["prompt_tokens"] > usage["characters"] / 10
    assert usage["characters_sent"] >= usage["characters"]
    assert usage["characters_dropped"] <= 0


def test_no_document_lost_a_character(finished: Finished) -> None:
    dropped = {key: one["usage"]["characters_dropped"] for key, one in finished.provenances().items()}
    assert not any(dropped.values()), dropped


def test_a_document_that_cannot_be_read_is_put_aside_with_a_reason(finished: Finished) -> None:
    sqs = finished.client("sqs")
    (url,) = [url for url in sqs.list_queues()["QueueUrls"] if url.endswith("-dlq")]
    messages = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
    )["Messages"]
    assert len(messages) == 1
    attributes = messages[0]["MessageAttributes"]
    assert attributes["ErrorType"]["StringValue"]
    assert attributes["Reason"]["StringValue"] in finished.run.stdout
    rejected = json.loads(messages[0]["Body"])["detail"]["object"]["key"]
    assert not [key for key in finished.results() if rejected in key]


def test_the_service_has_gone_back_to_zero(finished: Finished) -> None:
    for service in finished.services():
        assert (service["desiredCount"], service["runningCount"]) == (0, 0)
    groups = finished.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert [group["DesiredCapacity"] for group in groups] == [0] * len(groups)


def test_no_message_is_left(finished: Finished) -> None:
    sqs = finished.client("sqs")
    for url in sqs.list_queues()["QueueUrls"]:
        if not url.endswith("-dlq"):
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            assert attributes["ApproximateNumberOfMessages"] == "0"
            assert attributes["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_the_service_was_woken_by_what_was_deployed(finished: Finished) -> None:
    """Its tasks ran from the deployed definition, with the deployed role: nothing handed them their settings."""
    ecs = finished.client("ecs")
    for service in finished.services():
        arns = ecs.list_tasks(
            cluster=service["clusterArn"], serviceName=service["serviceName"], desiredStatus="STOPPED"
        )["taskArns"]
        assert arns
        tasks = ecs.describe_tasks(cluster=service["clusterArn"], tasks=arns)["tasks"]
        assert {task["taskDefinitionArn"] for task in tasks} == {service["taskDefinition"]}


@pytest.fixture
def people(demonstration: Demonstration, finished: Finished) -> People:
    """Those who work with the stack."""
    return People(demonstration, finished.state, finished.client("iam"))


def test_each_command_can_be_run_by_somebody_who_may_do_nothing_else(people: People, tmp_path: Path) -> None:
    """Whether they could on AWS is evaluated by tests/iam."""
    file = tmp_path / "more.txt"
    file.write_text("The cows of the north pasture came home on Tuesday. They were counted twice.\n")
    submitted = people.play("submit", "demo", ("submit",), files=str(file), wait=True)
    assert "more.txt.txt" in submitted
    assert "summarize" in people.play("status", "demo", ("status",))
    assert "summarize" in people.play("redrive", "demo", ("redrive",))
    assert "smollm2" in people.play("models", "demo", ("show-models",))


def test_a_stack_is_deployed_and_destroyed_by_somebody_who_may_do_nothing_else(
    people: People, finished: Finished
) -> None:
    wanted = variables("smollm2:135m", "Summarise the document.") | {
        "pasture_stack": "second",
        "pasture_image": {"uri": IMAGE},
    }
    # A model that is not where it is said to be: the seeding task is the one to find out.
    missing = {**MISSING, "from": f"s3://{finished.bucket('source')}/lost.gguf"}
    processors = [{**one, "model": missing} for one in wanted["pasture_processors"]]
    failed = people.attempt(
        "deploy", "second", deployers.DEPLOY, **(wanted | {"pasture_processors": processors})
    )
    assert failed.returncode == 2, failed.stdout
    assert re.search(r"The seeding task \S+ failed: .*lost\.gguf", failed.stdout), failed.stdout
    deployed = people.play("deploy", "second", deployers.DEPLOY, **wanted)
    assert "failed=0" in deployed
    destroyed = people.play("destroy", "demo", deployers.DEPLOY, pasture_delete_data=True)
    assert "failed=0" in destroyed


def test_an_ami_is_made_and_removed_by_somebody_who_may_do_nothing_else(
    people: People, finished: Finished
) -> None:
    ec2 = finished.client("ec2")
    with baking.baker(ec2) as pulled:
        made = people.play("bake", "second", ("bake",), processor="summarize", kind="cpu-x86_64")
    assert pulled == [IMAGE]
    (ami,) = ec2.describe_images(Owners=["self"])["Images"]
    assert ami["ImageId"] in made
    assert "changed=0" in people.play("bake", "second", ("bake",), processor="summarize", kind="cpu-x86_64")
    assert "failed=0" in people.play("destroy", "second", (*deployers.DEPLOY, "bake"))
    assert ec2.describe_images(Owners=["self"])["Images"] == []


def test_down_ends_every_process(demonstration: Demonstration, finished: Finished) -> None:
    """The last one: the cloud is gone afterwards."""
    assert demonstration.mark.look()
    down = demonstration.run("down")
    assert down.returncode == 0, down.stderr
    assert demonstration.left() == []
