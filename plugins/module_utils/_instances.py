# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What EC2 says of instance types, and what follows for containers on them.

For internal use of this collection only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._memory import (
    DEFAULT_NUM_CTX,
    Weights,
    gpu_bytes,
    usable_gpu_bytes,
)

#: The GPU types that are proposed when another one does not fit; as C(instance-type) filters of
#: DescribeInstanceTypes. NVIDIA, x86 and sold by the hour; fractions of a GPU and bare metal are left out.
CANDIDATES = (
    "g4dn.*xlarge",
    "g5.*xlarge",
    "g6.*xlarge",
    "g6e.*xlarge",
    "p4d.*",
    "p4de.*",
    "p5.*",
    "p5e.*",
    "p5en.*",
)

# What firmware, kernel and the ECS agent keep: an instance never registers all of its memory, and one that
# registers less than a task reserves never runs it.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/memory-management.html
_RESERVED_SHARE = 0.03
_RESERVED_MIB = 256

# A task in awsvpc mode has a network interface of its own; the instance's first is not for tasks.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-networking-awsvpc.html
_OWN_INTERFACES = 1


@dataclass(frozen=True)
class InstanceType:
    """One type, as far as this collection cares.

    :ivar memory_mib: RAM in MiB.
    :ivar gpu_memory_mib: memory of one GPU in MiB.
    :ivar markets: C(on-demand), C(spot).
    """

    name: str
    vcpus: int
    memory_mib: int
    architecture: str
    gpu_count: int = 0
    gpu_memory_mib: int = 0
    gpu_manufacturer: str = ""
    network_interfaces: int = 2
    markets: tuple[str, ...] = ("on-demand",)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> InstanceType:
        """From the mapping that C(as_dict) makes."""
        return cls(**{**facts, "markets": tuple(facts["markets"])})

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "markets": list(self.markets)}

    @property
    def usable_memory_mib(self) -> int:
        """RAM that containers can have, in MiB."""
        return int(self.memory_mib * (1 - _RESERVED_SHARE)) - _RESERVED_MIB

    def tasks(self, gpus: int, memory_mib: int) -> int:
        """How many containers of that size fit on one instance."""
        bounds = [self.usable_memory_mib // memory_mib, self.network_interfaces - _OWN_INTERFACES, self.vcpus]
        if gpus:
            bounds.append(self.gpu_count // gpus)
        return max(0, min(bounds))


def from_ec2(described: Mapping[str, Any]) -> InstanceType:
    """From one element of DescribeInstanceTypes."""
    gpus = (described.get("GpuInfo") or {}).get("Gpus") or []
    # A type with a fraction of a GPU (g6f) needs NVIDIA's licensed GRID driver, which the ECS image lacks.
    whole = [gpu for gpu in gpus if gpu.get("GpuPartitionSize", 1) >= 1]
    architectures = (described.get("ProcessorInfo") or {}).get("SupportedArchitectures") or ["x86_64"]
    classes = described.get("SupportedUsageClasses") or ["on-demand"]
    return InstanceType(
        name=str(described["InstanceType"]),
        vcpus=int(described["VCpuInfo"]["DefaultVCpus"]),
        memory_mib=int(described["MemoryInfo"]["SizeInMiB"]),
        architecture="arm64" if "arm64" in architectures else "x86_64",
        gpu_count=sum(int(gpu.get("Count", 0)) for gpu in whole),
        gpu_memory_mib=int(whole[0]["MemoryInfo"]["SizeInMiB"]) if whole else 0,
        gpu_manufacturer=str(whole[0].get("Manufacturer", "")) if whole else "",
        network_interfaces=int((described.get("NetworkInfo") or {}).get("MaximumNetworkInterfaces", 2)),
        markets=tuple(sorted(set(classes) & {"on-demand", "spot"})),
    )


def smallest_fitting(
    types: Iterable[InstanceType], weights: Weights, num_ctx: int | None, slots: int | None
) -> tuple[InstanceType, int] | None:
    """The smallest type whose GPUs hold the model, and how many of them it takes; None when there is none.

    Smallest by the GPU memory of the whole instance, then by vCPUs: what is paid for, since prices are not in
    any API that a deployer can be expected to have access to.
    """
    wanted = num_ctx or min(DEFAULT_NUM_CTX, weights.context_length or DEFAULT_NUM_CTX)
    fitting = []
    for candidate in types:
        if candidate.gpu_manufacturer.upper() != "NVIDIA" or candidate.architecture != "x86_64":
            continue
        for gpus in range(1, candidate.gpu_count + 1):
            needed = gpu_bytes(weights, wanted, slots or 1, gpus)
            if needed <= usable_gpu_bytes(candidate.gpu_memory_mib, gpus):
                size = candidate.gpu_count * candidate.gpu_memory_mib
                fitting.append((size, candidate.vcpus, candidate.name, candidate, gpus))
                break
    if not fitting:
        return None
    *_size, found, gpus = min(fitting, key=lambda row: row[:3])
    return found, gpus


_ON_DEMAND_QUOTA = re.compile(r"^Running On-Demand (?P<classes>.+) instances$")
_SPOT_QUOTA = re.compile(r"^All (?P<classes>.+) Spot Instance Requests$")


def vcpu_quotas(quotas: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The vCPU quotas among EC2's, by market.

    Which instance classes a quota is for stands in its name and nowhere else: "Running On-Demand G and VT
    instances", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", "All P4, P3 and P2 Spot
    Instance Requests". https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-limits.html
    """
    found: dict[str, list[dict[str, Any]]] = {"on-demand": [], "spot": []}
    for quota in quotas:
        name = str(quota.get("QuotaName", ""))
        for market, pattern in (("on-demand", _ON_DEMAND_QUOTA), ("spot", _SPOT_QUOTA)):
            match = pattern.match(name)
            if match:
                listed = match["classes"].removeprefix("Standard (").rstrip(")")
                classes = [part.strip().lower() for part in re.split(r",| and ", listed) if part.strip()]
                found[market].append({"name": name, "classes": classes, "vcpus": int(quota["Value"])})
    return found


def quota_of(instance_type: str, market: str, quotas: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The quota that instances of that type count against, or None when it is not known.

    C(p5.48xlarge) counts as P5 where there is such a quota, else as P; C(gr6.4xlarge) as G.
    """
    family = instance_type.split(".", maxsplit=1)[0].lower()
    generation = re.match(r"[a-z]+\d*", family)
    letters = re.match(r"[a-z]+", family)
    for key in (generation, letters):
        for quota in quotas.get(market, []):
            if key and key[0] in quota["classes"]:
                return dict(quota)
    return next((dict(q) for q in quotas.get(market, []) if family[:1] in q["classes"]), None)
