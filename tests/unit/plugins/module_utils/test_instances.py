# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""EC2's answers as they are, cut down to the fields that are read."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils import _catalogue
from ansible_collections.pasture.ollama.plugins.module_utils._instances import (
    InstanceType,
    from_ec2,
    quota_of,
    smallest_fitting,
    vcpu_quotas,
)
from ansible_collections.pasture.ollama.plugins.module_utils._memory import Weights

G5_12XLARGE: dict[str, Any] = {
    "InstanceType": "g5.12xlarge",
    "VCpuInfo": {"DefaultVCpus": 48},
    "MemoryInfo": {"SizeInMiB": 196608},
    "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
    "GpuInfo": {
        "Gpus": [{"Name": "A10G", "Manufacturer": "NVIDIA", "Count": 4, "MemoryInfo": {"SizeInMiB": 22888}}]
    },
    "NetworkInfo": {"MaximumNetworkInterfaces": 15},
    "SupportedUsageClasses": ["spot", "on-demand", "capacity-block"],
}

NAMES = [
    "Running On-Demand G and VT instances",
    "Running On-Demand P instances",
    "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
    "Running On-Demand High Memory instances",
    "All G and VT Spot Instance Requests",
    "All P4, P3 and P2 Spot Instance Requests",
    "All P5 Spot Instance Requests",
    "EC2-VPC Elastic IPs",
]


def test_a_gpu_type_is_read() -> None:
    assert from_ec2(G5_12XLARGE) == InstanceType(
        "g5.12xlarge", 48, 196608, "x86_64", 4, 22888, "NVIDIA", 15, ("on-demand", "spot")
    )


def test_a_type_without_gpu_is_read_from_the_least_that_ec2_says() -> None:
    described = {
        "InstanceType": "c7g.large",
        "VCpuInfo": {"DefaultVCpus": 2},
        "MemoryInfo": {"SizeInMiB": 4096},
    }
    instance = from_ec2(
        {**described, "ProcessorInfo": {"SupportedArchitectures": ["arm64"]}, "GpuInfo": None}
    )
    assert (instance.architecture, instance.gpu_count, instance.markets) == ("arm64", 0, ("on-demand",))


def test_a_fraction_of_a_gpu_is_none() -> None:
    gpu = {**G5_12XLARGE["GpuInfo"]["Gpus"][0], "GpuPartitionSize": 0.125}
    assert from_ec2({**G5_12XLARGE, "GpuInfo": {"Gpus": [gpu]}}).gpu_count == 0


def test_the_facts_survive_the_way_through_a_playbook() -> None:
    instance = from_ec2(G5_12XLARGE)
    assert InstanceType.of(instance.as_dict()) == instance


@pytest.mark.parametrize(
    ("gpus", "memory", "interfaces", "tasks"),
    [
        (1, 15360, 15, 4),
        (2, 15360, 15, 2),
        (3, 15360, 15, 1),
        (1, 100_000, 15, 1),  # the memory is for one
        (1, 15360, 3, 2),  # each task has an interface of its own, and the instance keeps one
        (0, 4096, 15, 14),
    ],
)
def test_containers_share_an_instance(gpus: int, memory: int, interfaces: int, tasks: int) -> None:
    described = {**G5_12XLARGE, "NetworkInfo": {"MaximumNetworkInterfaces": interfaces}}
    assert from_ec2(described).tasks(gpus, memory) == tasks


def test_the_quotas_of_vcpus_are_told_by_their_names() -> None:
    quotas = vcpu_quotas({"QuotaName": name, "Value": 64.0} for name in NAMES)
    assert [quota["classes"] for quota in quotas["on-demand"]] == [
        ["g", "vt"],
        ["p"],
        ["a", "c", "d", "h", "i", "m", "r", "t", "z"],
        ["high memory"],
    ]
    assert [quota["classes"] for quota in quotas["spot"]] == [["g", "vt"], ["p4", "p3", "p2"], ["p5"]]


@pytest.mark.parametrize(
    ("instance_type", "market", "name"),
    [
        ("g5.xlarge", "on-demand", NAMES[0]),
        ("gr6.4xlarge", "on-demand", NAMES[0]),
        ("p5en.48xlarge", "on-demand", NAMES[1]),
        ("c7gn.large", "on-demand", NAMES[2]),
        ("p4d.24xlarge", "spot", NAMES[5]),
        ("p5.48xlarge", "spot", NAMES[6]),
        ("c7i.large", "spot", None),
        ("x2gd.large", "on-demand", None),
    ],
)
def test_an_instance_counts_against_the_quota_of_its_class(
    instance_type: str, market: str, name: str | None
) -> None:
    quotas = vcpu_quotas({"QuotaName": name, "Value": 64.0} for name in NAMES)
    found = quota_of(instance_type, market, quotas)
    assert (found and found["name"]) == name


def gpu_type(name: str, vcpus: int, count: int, memory: int, **facts: Any) -> InstanceType:
    return InstanceType(
        name,
        vcpus,
        65536,
        **{"architecture": "x86_64", "gpu_manufacturer": "NVIDIA", **facts},
        gpu_count=count,
        gpu_memory_mib=memory,
    )


TYPES = [
    gpu_type("p5.48xlarge", 192, 8, 81920),
    gpu_type("g5.48xlarge", 192, 8, 22888),
    gpu_type("g5.12xlarge", 48, 4, 22888),
    gpu_type("g6.xlarge", 4, 1, 22888),
    gpu_type("g5.xlarge", 4, 1, 22888),
    gpu_type("g5.2xlarge", 8, 1, 22888),
    gpu_type("g4dn.xlarge", 4, 1, 16384),
    gpu_type("g5g.xlarge", 4, 1, 16384, architecture="arm64"),
    gpu_type("g4ad.xlarge", 4, 1, 8192, gpu_manufacturer="AMD"),
    InstanceType("c7i.xlarge", 4, 8192, "x86_64"),
]


@pytest.mark.parametrize(
    ("model", "tag", "expected"),
    [
        ("llama3.1", "8b", ("g4dn.xlarge", 1)),
        ("gemma3", "27b", ("g5.xlarge", 1)),
        ("llama3.1", "70b", ("g5.12xlarge", 3)),
        ("llama3.1", "405b", ("p5.48xlarge", 4)),
        ("deepseek-v3", "671b", ("p5.48xlarge", 6)),
    ],
)
def test_the_smallest_type_that_holds_a_model_is_proposed(
    model: str, tag: str, expected: tuple[str, int]
) -> None:
    found = _catalogue.find(model)
    assert found
    entry = found.tags[tag]
    proposal = smallest_fitting(TYPES, Weights(entry.size, entry.shape, entry.context_length), None, None)
    assert proposal
    assert (proposal[0].name, proposal[1]) == expected


def test_nothing_is_proposed_when_nothing_fits() -> None:
    assert smallest_fitting(TYPES[3:], Weights(10**12, None, 0), None, None) is None
