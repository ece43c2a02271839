# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a user writes about processors: completed, or refused with a sentence that can be acted on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pasture.ollama.plugins.module_utils import _processors
from ansible_collections.pasture.ollama.plugins.module_utils._definition import decode, define, encode
from ansible_collections.pasture.ollama.plugins.module_utils._instances import InstanceType, vcpu_quotas
from ansible_collections.pasture.ollama.plugins.module_utils._processors import (
    Context,
    PreflightError,
    normalise,
)

DOCS = Path(_processors.__file__).parents[2] / "docs"


def instance(
    name: str, vcpus: int, memory: int, gpus: int = 0, gpu_memory: int = 0, **facts: Any
) -> InstanceType:
    return InstanceType(
        name,
        vcpus,
        memory,
        **{
            "architecture": "x86_64",
            "gpu_count": gpus,
            "gpu_memory_mib": gpu_memory,
            "gpu_manufacturer": "NVIDIA" if gpus else "",
            "network_interfaces": 4,
            "markets": ("on-demand", "spot"),
            **facts,
        },
    )


TYPES = [
    instance("c7i.xlarge", 4, 8192),
    instance("c7g.4xlarge", 16, 32768, architecture="arm64", network_interfaces=8),
    instance("g4dn.xlarge", 4, 16384, 1, 16384),
    instance("g5.xlarge", 4, 16384, 1, 22888),
    instance("g5.12xlarge", 48, 196608, 4, 22888, network_interfaces=15),
    instance("g5.48xlarge", 192, 786432, 8, 22888, network_interfaces=15),
    instance("g4ad.xlarge", 4, 16384, 1, 8192, gpu_manufacturer="AMD"),
    instance("g5g.xlarge", 4, 8192, 1, 16384, architecture="arm64"),
    instance("p4d.24xlarge", 96, 1179648, 8, 40960, markets=("on-demand",)),
]
QUOTAS = vcpu_quotas(
    [
        {"QuotaName": "Running On-Demand G and VT instances", "Value": 1024},
        {"QuotaName": "All G and VT Spot Instance Requests", "Value": 8},
        {"QuotaName": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", "Value": 128},
    ]
)
CONTEXT = Context("docs", "eu-west-1", "documents", {found.name: found for found in TYPES}, QUOTAS)


def processor(**settings: Any) -> dict[str, Any]:
    return {
        "name": "summarize",
        "model": "llama3.1:8b",
        "prompt": "Summarise it.",
        "infrastructure": {"instance_type": "g5.xlarge"},
        **settings,
    }


def one(**settings: Any) -> dict[str, Any]:
    (made,) = normalise([processor(**settings)], CONTEXT)
    return made


def problems(*raw: Any, context: Context = CONTEXT) -> list[str]:
    with pytest.raises(PreflightError) as caught:
        normalise(list(raw), context)
    for sentence in caught.value.problems:
        assert "\n" not in sentence
        assert re.search(r"[.?]$", sentence)
        assert not re.search(r"[.?]\.$", sentence)
    return caught.value.problems


def on(instance_type: str, **settings: Any) -> dict[str, Any]:
    return {"instance_type": instance_type, **settings}


def test_the_least_that_can_be_written_is_completed() -> None:
    made = one()
    assert {key: made[key] for key in made if key not in {"model", "event_patterns", "infrastructure"}} == {
        "name": "summarize",
        "task": "generate",
        "prompt": "Summarise it.",
        "combine_prompt": "",
        "system": "",
        "format": "",
        "think": "",
        "options": {},
        "on_overflow": "combine",
        "on_length": "fail",
        "sniff": False,
        "sources": [{"kind": "bucket", "prefix": "", "suffix": ""}],
        "output_type": "text/plain",
        "max_instances": 5,
        "max_tasks": 5,
        "slots": 4,
        "num_ctx": 16384,
        "documents_per_task": 8,
        "idle_minutes": 5,
        "max_receives": 5,
        "stop_timeout": 120,
    }
    assert made["infrastructure"] == {
        "instance_type": "g5.xlarge",
        "gpus": 1,
        "max_memory": 15636,
        "architecture": "x86_64",
        "accelerator": "gpu",
        "market": "on-demand",
        "warm_instances": 0,
        "tasks_per_instance": 1,
        "vcpus": 4,
        "memory_mib": 16384,
        "gpu_count": 1,
        "gpu_memory_mib": 22888,
    }
    assert made["model"]["parameter"] == "/pasture/docs/models/llama3.1/8b"
    assert made["event_patterns"][0]["bus"] == "default"


def test_what_is_given_is_kept() -> None:
    made = one(
        num_ctx=4096,
        slots=2,
        documents_per_task="7",
        max_instances="3",
        options={"temperature": 0},
        system="Be brief.",
        format={"type": "object"},
        infrastructure=on("g5.12xlarge", gpus=2, max_memory=20000),
    )
    assert (made["num_ctx"], made["slots"], made["documents_per_task"]) == (4096, 2, 7)
    assert (made["infrastructure"]["tasks_per_instance"], made["max_tasks"]) == (2, 6)
    assert (made["format"], made["output_type"]) == ('{"type": "object"}', "application/json")


def test_the_context_among_the_options_is_the_context() -> None:
    model = {"name": "llama3.1:8b", "options": {"num_ctx": 2048, "seed": 7}}
    made = one(model=model, options={"temperature": 0})
    assert (made["num_ctx"], made["options"]) == (2048, {"seed": 7, "temperature": 0})
    assert one(model=model, options={"num_ctx": 1024})["num_ctx"] == 1024
    assert one(model=model, num_ctx=512)["num_ctx"] == 512


def test_a_cpu_is_enough_for_a_small_model() -> None:
    made = one(model="smollm2:135m", infrastructure=on("c7i.xlarge", max_memory=4096))
    assert (made["infrastructure"]["accelerator"], made["infrastructure"]["gpus"]) == ("cpu", 0)
    assert (
        one(model="smollm2:135m", infrastructure=on("c7g.4xlarge"))["infrastructure"]["architecture"]
        == "arm64"
    )


def test_a_type_with_gpus_can_be_used_without_them() -> None:
    assert (
        one(model="smollm2:135m", infrastructure=on("g5.xlarge", gpus=0))["infrastructure"]["accelerator"]
        == "cpu"
    )


def test_embeddings_become_lines_of_json() -> None:
    made = one(task="embed", model="nomic-embed-text", prompt=None)
    assert (made["output_type"], made["slots"], made["num_ctx"]) == ("application/x-ndjson", 1, 2048)


def test_fan_out_chains_and_diamonds() -> None:
    made = normalise(
        [
            processor(name="summarize"),
            processor(name="caption", model="llava"),
            processor(name="translate", source="summarize"),
            processor(name="rate", source=["summarize", "caption"]),
            processor(name="join", source=["translate", "rate"]),
        ],
        CONTEXT,
    )
    assert [len(row["event_patterns"]) for row in made] == [1] * 5
    assert made[-1]["event_patterns"][0]["pattern"]["source"] == [
        "/pasture/docs/translate",
        "/pasture/docs/rate",
    ]


# One test for each refusal that the design names, and for those that were found on the way.
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        # unknown instance type
        (
            {"infrastructure": on("g9.huge")},
            (
                "there is no instance type 'g9.huge' in this region; the smallest GPU type that holds "
                "llama3.1:8b is "
                "g4dn.xlarge with gpus: 1."
            ),
        ),
        ({"infrastructure": {}}, "infrastructure.instance_type is missing; the smallest GPU type"),
        (
            {"infrastructure": on("g5.xlarge", gpu=1)},
            "infrastructure has no setting 'gpu'; it has gpus, instance_type",
        ),
        ({"infrastructure": on("g5.xlarge", gpus="one")}, "has 'one' where a whole number belongs"),
        # more GPUs than it has
        ({"infrastructure": on("g5.xlarge", gpus=2)}, "gpus is 2, but g5.xlarge has 1;"),
        ({"infrastructure": on("g5.xlarge", gpus=-1)}, "gpus is -1; it takes 0"),
        # more memory than it leaves free
        (
            {"infrastructure": on("g5.xlarge", max_memory=16384)},
            (
                "max_memory is 16384 MiB, but of the 16384 MiB of g5.xlarge about 15636 MiB are free for "
                "containers."
            ),
        ),
        ({"infrastructure": on("g5.xlarge", max_memory=100)}, "a container needs at least 1024 MiB"),
        # a GPU asked of a CPU type
        ({"infrastructure": on("c7i.xlarge", gpus=1)}, "gpus is 1, but c7i.xlarge has no GPU; set gpus: 0"),
        ({"infrastructure": on("g4ad.xlarge")}, "the GPUs of g4ad.xlarge are made by AMD"),
        ({"infrastructure": on("g5g.xlarge")}, "has ARM processors beside its GPU"),
        ({"infrastructure": on("p4d.24xlarge", market="spot")}, "p4d.24xlarge cannot be had as spot"),
        ({"infrastructure": on("g5.xlarge", warm_instances=-1)}, "warm_instances is -1; it takes 0"),
        (
            {"infrastructure": on("g5.xlarge", market="spot", warm_instances=1)},
            "warm_instances cannot be Spot instances",
        ),
        ({"infrastructure": on("g5.xlarge", market="free")}, "market is 'free'; it can be on-demand or spot"),
        # a model that cannot fit the GPU's memory
        (
            {"model": "llama3.1:70b"},
            (
                "llama3.1:70b takes about 42214 MiB, and of 1 GPU of g5.xlarge a model can have about 21285 "
                "MiB; the "
                "smallest GPU type that holds llama3.1:70b is g5.12xlarge with gpus: 3."
            ),
        ),
        ({"num_ctx": 131072, "slots": 4}, "llama3.1:8b takes about 71252 MiB at num_ctx 131072"),
        ({"infrastructure": on("c7i.xlarge", max_memory=4096)}, "and max_memory is 4096 MiB"),
        ({"model": "llama2", "num_ctx": 8192}, "llama2:latest was trained for 4096 tokens"),
        # an account quota of vCPUs for that family below max_instances
        (
            {"infrastructure": on("g5.xlarge", market="spot"), "max_instances": 3},
            (
                "The account's quota 'All G and VT Spot Instance Requests' in eu-west-1 is 8 vCPUs, and "
                "max_instances asks "
                "for 12 (summarize 3 x g5.xlarge): ask for more in Service Quotas, or lower max_instances."
            ),
        ),
        # an empty prompt
        ({"prompt": " \n"}, "its prompt is empty; say what the model is to do with each document."),
        ({"prompt": None}, "its prompt is empty"),
        # a name that AWS would refuse
        ({"name": "Summarize"}, "'Summarize' is not a name that AWS takes everywhere"),
        ({"name": "a--b"}, "'a--b' is not a name"),
        ({"name": "a-"}, "'a-' is not a name"),
        ({"name": "x" * 25}, "is not a name that AWS takes everywhere"),
        ({"name": "bucket"}, "and not 'bucket'"),
        # models and tasks
        ({"model": None}, "it has no model; name one, such as llama3.1:8b."),
        ({"model": "nope"}, "Model nope is not in the catalogue"),
        ({"model": ["llama2"]}, "its model is neither a name nor a mapping"),
        ({"model": "nomic-embed-text"}, "nomic-embed-text makes embeddings, not text; set task: embed."),
        ({"model": "nomic-embed-text", "prompt": None}, "makes embeddings, not text; set task: embed."),
        ({"task": "embed"}, "llama3.1 makes no embeddings; take one such as nomic-embed-text"),
        ({"task": "draw"}, "task is 'draw'; it can be generate or embed."),
        ({"think": True}, "think is true, but llama3.1 is not a model that thinks."),
        (
            {"think": "deeply", "model": "qwen3:8b"},
            "think is 'deeply'; it can be true, false, low, medium or high.",
        ),
        ({"options": {"temprature": 1}}, "Did you mean 'temperature'?"),
        ({"format": "xml"}, "format is neither 'json' nor a JSON schema."),
        # numbers and switches
        ({"max_instances": 0}, "max_instances is 0; it takes a whole number from 1 to 1000."),
        ({"slots": True}, "slots is True; it takes a whole number"),
        ({"idle_minutes": "soon"}, "idle_minutes is 'soon'; it takes a whole number from 1 to 1440."),
        ({"sniff": "perhaps"}, "sniff is 'perhaps'; it takes true or false."),
        ({"promt": "x"}, "it has no setting 'promt'; did you mean 'prompt'?"),
        # sources
        ({"source": "nobody"}, "has the source 'nobody', and no processor is called so."),
        ({"source": "summarize"}, "The sources go round in a circle: summarize reads from summarize"),
        (
            {"source": {"folder": "x"}},
            "is not understood; it is 'bucket', a processor's name, a mapping with prefix",
        ),
        (
            {"source": {"suffix": ".png"}},
            "can get no documents: it takes keys that end in '.png', which are image/png",
        ),
    ],
)
def test_what_cannot_be_deployed_is_refused_with_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    told = problems(processor(**settings))
    assert any(sentence in problem for problem in told), told


def test_two_processors_whose_types_never_meet_are_refused() -> None:
    assert problems(
        processor(name="summarize"), processor(name="caption", model="llava", source="summarize")
    ) == [
        (
            "Processor caption can get nothing from summarize: summarize writes text/plain, and llava:latest "
            "reads image/png, "
            "image/jpeg, image/webp."
        )
    ]


def test_a_circle_of_several_is_told_in_order() -> None:
    assert problems(
        processor(name="a", source="c"),
        processor(name="b", source=["bucket", "a"]),
        processor(name="c", source="b"),
    ) == [
        (
            "The sources go round in a circle: a reads from c reads from b reads from a; "
            "let one of them read from the bucket."
        )
    ]


def test_names_are_used_once_and_models_defined_once() -> None:
    assert "Two processors are called summarize" in problems(processor(), processor())[0]
    hot = {"name": "llama3.1:8b", "options": {"temperature": 1}}
    assert (
        "define the model llama3.1:8b differently" in problems(processor(), processor(name="b", model=hot))[0]
    )


def test_quotas_are_summed_over_processors_of_one_family() -> None:
    spot = on("g5.xlarge", market="spot")
    told = problems(
        processor(infrastructure=spot, max_instances=2),
        processor(name="b", infrastructure=spot, max_instances=1),
    )
    assert "asks for 12 (summarize 2 x g5.xlarge, b 1 x g5.xlarge)" in told[0]


def test_unknown_quotas_are_not_held_against_anyone() -> None:
    context = Context("docs", "eu-west-1", "documents", CONTEXT.instance_types, {})
    assert normalise([processor(max_instances=1000)], context)[0]["max_tasks"] == 1000


def test_all_reasons_are_told_at_once() -> None:
    told = problems(processor(name="A", prompt=""), processor(name="b", model="nope"), "c", context=CONTEXT)
    assert len(told) == 4


@pytest.mark.parametrize("raw", [None, [], {}, "summarize"])
def test_there_is_at_least_one_processor(raw: Any) -> None:
    with pytest.raises(PreflightError, match="pasture_processors is empty"):
        normalise(raw, CONTEXT)


@pytest.mark.parametrize("stack", ["", "Docs", "a_b", "x" * 17, "docs-", "a--b", "1st"])
def test_a_stack_has_a_name_that_aws_takes(stack: str) -> None:
    context = Context(stack, "eu-west-1", "documents", CONTEXT.instance_types, QUOTAS)
    assert "The stack's name" in problems(processor(), context=context)[0]


def snippets(page: str) -> list[dict[str, Any]]:
    """The processors of every YAML block of a page that has some."""
    found = []
    for block in re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL):
        value = yaml.safe_load(block)
        if isinstance(value, dict) and "pasture_processors" in value:
            found.append(value)
    return found


def test_the_five_examples_of_the_source_system_can_be_deployed() -> None:
    examples = [normalise(snippet["pasture_processors"], CONTEXT)[0] for snippet in snippets("models.md")]
    assert len(examples) == 5
    plain, tagged, full, large, many = examples
    assert (plain["model"]["name"], plain["model"]["tag"]) == ("llama2", "latest")
    assert (tagged["model"]["name"], tagged["model"]["tag"]) == ("llama2", "13b")
    assert full["model"]["inputs"] == ["image/png", "image/jpeg"]
    assert (large["infrastructure"]["gpus"], large["infrastructure"]["max_memory"]) == (8, 180000)
    assert many["max_instances"] == 10


names = st.sampled_from(["llama3.1:8b", "smollm2:135m", "mistral", "qwen3:4b"])


@given(names, st.dictionaries(st.sampled_from(["seed", "top_k"]), st.integers(0, 99)))
def test_registry_worker_and_rules_agree_on_a_model(name: str, options: dict[str, int]) -> None:
    spec = {"name": name, "options": options}
    stored = decode(encode(define(spec)), "p")
    made = one(model=spec)
    assert {**stored.as_dict(), "parameter": stored.parameter("/pasture/docs")} == {
        **made["model"],
        "schema_version": 1,
    }
    suffixes = {
        m["suffix"]["equals-ignore-case"]
        for m in made["event_patterns"][0]["pattern"]["detail"]["object"]["key"]
    }
    assert ".txt" in suffixes
