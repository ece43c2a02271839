# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be deployed is refused by `deploy` with a sentence, before anything is made.

The sentences of each check have their unit tests; here is what a user sees.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trial import Account

pytestmark = pytest.mark.integration

VPC = {"vpc_id": "vpc-0123456789abcdef0", "subnet_ids": ["subnet-0123456789abcdef0"]}


def processor(
    name: str, instance_type: str = "g5.xlarge", *, where: dict[str, Any] | None = None, **settings: Any
) -> dict[str, Any]:
    """A processor that could be deployed, but for the settings."""
    return {
        "name": name,
        "model": "llama3.1:8b",
        "prompt": "Summarise it.",
        "infrastructure": {"instance_type": instance_type, **(where or {})},
        **settings,
    }


# All that is wrong with single processors is told in one run.
WRONG_BY_ITSELF = {
    "unknown-type": (
        processor("unknown-type", "g5.tiny"),
        "there is no instance type 'g5.tiny' in this region; the smallest GPU type that holds llama3.1:8b is",
    ),
    "too-many-gpus": (
        processor("too-many-gpus", where={"gpus": 2}),
        "gpus is 2, but g5.xlarge has 1; the smallest",
    ),
    "too-much-memory": (
        processor("too-much-memory", where={"max_memory": 16384}),
        "max_memory is 16384 MiB, but of the 16384 MiB of g5.xlarge about 15636 MiB are free for containers.",
    ),
    "no-gpu": (
        processor("no-gpu", "c7i.xlarge", where={"gpus": 1}),
        "gpus is 1, but c7i.xlarge has no GPU; set gpus: 0 to run on the CPU, or take a GPU type",
    ),
    "too-large": (
        processor("too-large", model="llama3.1:70b"),
        "llama3.1:70b takes about 42214 MiB, and of 1 GPU of g5.xlarge a model can have about 21285 MiB; the smallest",
    ),
    "no-prompt": (processor("no-prompt", prompt=" "), "its prompt is empty; say what the model is to do"),
    "No_Name": (processor("No_Name"), "'No_Name' is not a name that AWS takes everywhere: use up to 24"),
    "unknown-model": (
        processor("unknown-model", model="nope"),
        "Model nope is not in the catalogue, so its inputs and outputs must be given",
    ),
    "unknown-option": (
        processor("unknown-option", options={"temprature": 1}),
        "it sets 'temprature', which is not an option of Ollama's. Did you mean 'temperature'?",
    ),
}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the calls of all runs are written to."""
    return tmp_path_factory.mktemp("record") / "calls.jsonl"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory, record: Path) -> Iterator[Account]:
    """One account for all: none of them may make anything in it."""
    made = Account.fresh(tmp_path_factory.mktemp("account"), record=record)
    yield made
    made.end()
    calls = [json.loads(line)["operation"] for line in record.read_text(encoding="utf-8").splitlines()]
    assert calls
    assert [call for call in calls if not call.startswith(("Describe", "Get", "List", "Head"))] == []


def test_whatever_is_wrong_with_a_processor_is_told_at_once(account: Account) -> None:
    run = account.deploy(pasture_processors=[given for given, _ in WRONG_BY_ITSELF.values()])
    for name, (_, sentence) in WRONG_BY_ITSELF.items():
        assert f"Processor {name}: {sentence}" in run.failure


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"pasture_processors": [processor("a", max_instances=200), processor("b", max_instances=100)]},
            (
                "The account's quota 'Running On-Demand G and VT instances' in eu-west-1 is 1152 vCPUs, and "
                "max_instances asks for 1200 (a 200 x g5.xlarge, b 100 x g5.xlarge): ask for more in Service Quotas, "
                "or lower max_instances."
            ),
        ),
        (
            {"pasture_processors": [processor("a"), processor("b", model="llava", source="a")]},
            "Processor b can get nothing from a: a writes text/plain, and llava:latest reads image/png, image/jpeg",
        ),
        (
            {"pasture_processors": [processor("a", source="b"), processor("b", source="a")]},
            "The sources go round in a circle: a reads from b reads from a; let one of them read from the bucket.",
        ),
        (
            {"pasture_processors": [processor("a", source="nobody")]},
            "Processor a has the source 'nobody', and no processor is called so.",
        ),
        ({"pasture_processors": []}, "pasture_processors is empty: name at least one processor."),
        (
            # What the role's own argument specification knows is told in Ansible's words.
            {"pasture_processors": [processor("a", promt="x")]},
            "preflight_processors.promt. Supported parameters include: combine_prompt,",
        ),
        (
            {
                "pasture_stack": "My Stack",
                "pasture_storage": {"source_bucket": "My_Bucket"},
                "pasture_tags": {"aws:x": "(y)"},
            },
            (
                "'My_Bucket' is not the name of a bucket: these have 3 to 63 lower-case letters, digits, hyphens and "
                "dots, and begin and end with a letter or digit; check pasture_storage. The tag 'aws:x' of "
                "pasture_tags begins with a prefix that is not yours; choose another name. The tag 'aws:x' of "
                "pasture_tags holds '(' ')'; AWS takes letters, digits, spaces and _ . : / = + - @ in tags. The "
                "stack's name 'My Stack' is not one that AWS takes everywhere: up to 16 lower-case letters, digits "
                "and single hyphens, beginning with a letter."
            ),
        ),
        (
            {"pasture_network": VPC},
            "There is no VPC vpc-0123456789abcdef0 in eu-west-1; check pasture_network.vpc_id",
        ),
        (
            {"pasture_storage": {"source_bucket": "invoices-of-nobody", "results_bucket": "My_Bucket"}},
            (
                "check pasture_storage. Bucket invoices-of-nobody cannot be adopted: there is no such bucket; make it "
                "first, or give no name to have one made."
            ),
        ),
    ],
    ids=["quota", "types", "circle", "source", "none", "setting", "names", "vpc", "bucket"],
)
def test_what_cannot_be_deployed_is_refused(
    account: Account, variables: dict[str, Any], sentence: str
) -> None:
    run = account.deploy(**variables)
    assert not run.well
    assert sentence in run.failure
    assert account.left() == []
