# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a processor's containers run: checked against the instance type, and what fits there.

For internal use of this collection only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._instances import (
    InstanceType,
    quota_of,
    smallest_fitting,
)
from ansible_collections.pasture.ollama.plugins.module_utils._memory import (
    MIB,
    Weights,
    least,
    plan,
    usable_gpu_bytes,
)

_KEYS = ("gpus", "instance_type", "market", "max_memory", "warm_instances")
_MARKETS = ("on-demand", "spot")

# The worker and the engine's own host memory; below this a container does not start reliably.
_LEAST_MEMORY_MIB = 1024


class InfrastructureError(ValueError):
    """Why a processor cannot run where it is to run; C(problems) are clauses without a full stop."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class Infrastructure:
    """Where the containers of one processor run.

    :ivar gpus: GPUs of one container; 0 runs it on the CPU.
    :ivar max_memory: RAM of one container in MiB.
    :ivar warm_instances: how many instances are kept booted and stopped, for a shorter start.
    :ivar num_ctx: tokens of context for one document.
    :ivar slots: documents in inference at a time in one container.
    """

    instance_type: str
    gpus: int
    max_memory: int
    architecture: str
    market: str
    warm_instances: int
    tasks_per_instance: int
    vcpus: int
    memory_mib: int
    gpu_count: int
    gpu_memory_mib: int
    num_ctx: int
    slots: int

    def as_dict(self) -> dict[str, Any]:
        """As C(preflight_result) has it; context and slots are the processor's own there."""
        facts = {key: value for key, value in asdict(self).items() if key not in {"num_ctx", "slots"}}
        return {**facts, "accelerator": "gpu" if self.gpus else "cpu"}


def place(
    given: Any,
    model: str,
    weights: Weights,
    types: Mapping[str, InstanceType],
    *,
    num_ctx: int | None,
    slots: int | None,
) -> Infrastructure:
    """Check the user's C(infrastructure) and complete it.

    :param model: the model's C(name:tag), for messages.
    :param types: the types that the account's region has, among them candidates to propose.
    :raises InfrastructureError: with every reason against it.
    """
    infrastructure = given if isinstance(given, Mapping) else {}
    unknown = sorted(set(infrastructure) - set(_KEYS))
    if unknown:
        raise InfrastructureError(
            [f"infrastructure has no setting '{key}'; it has {', '.join(_KEYS)}" for key in unknown]
        )
    proposal = _proposal(types, weights, num_ctx, slots, model)
    name = str(infrastructure.get("instance_type") or "")
    if not name:
        raise InfrastructureError([f"infrastructure.instance_type is missing{proposal}"])
    if name not in types:
        raise InfrastructureError([f"there is no instance type '{name}' in this region{proposal}"])
    instance = types[name]
    market = str(infrastructure.get("market") or "on-demand")
    gpus = _whole(infrastructure.get("gpus"), min(1, instance.gpu_count))
    warm = _whole(infrastructure.get("warm_instances"), 0)
    memory = _whole(infrastructure.get("max_memory"), instance.usable_memory_mib // _shares(instance, gpus))

    problems = _check_gpus(instance, gpus, proposal)
    if market not in _MARKETS:
        problems.append(f"infrastructure.market is '{market}'; it can be {' or '.join(_MARKETS)}")
    elif market not in instance.markets:
        problems.append(
            f"{name} cannot be had as {market}; it is sold as {', '.join(instance.markets) or 'neither'}"
        )
    if warm < 0:
        problems.append(f"warm_instances is {warm}; it takes 0 (none) or more")
    elif warm and market == "spot":
        # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutWarmPool.html
        problems.append("warm_instances cannot be Spot instances; take market: on-demand, or 0 of them")
    if memory > instance.usable_memory_mib:
        problems.append(
            f"max_memory is {memory} MiB, but of the {instance.memory_mib} MiB of {name} about "
            f"{instance.usable_memory_mib} MiB are free for containers"
        )
    elif memory < _LEAST_MEMORY_MIB:
        problems.append(f"max_memory is {memory} MiB; a container needs at least {_LEAST_MEMORY_MIB} MiB")
    if problems:
        raise InfrastructureError(problems)

    budget = usable_gpu_bytes(instance.gpu_memory_mib, gpus) if gpus else memory * MIB
    fit = plan(weights, budget, gpus, num_ctx, slots)
    if fit is None:
        needed = least(weights, gpus, num_ctx, slots)
        raise InfrastructureError(
            [_too_small(model, needed, num_ctx, _room(instance, gpus, budget)) + proposal]
        )
    return Infrastructure(
        instance_type=name,
        gpus=gpus,
        max_memory=memory,
        architecture=instance.architecture,
        market=market,
        warm_instances=warm,
        tasks_per_instance=instance.tasks(gpus, memory),
        vcpus=instance.vcpus,
        memory_mib=instance.memory_mib,
        gpu_count=instance.gpu_count,
        gpu_memory_mib=instance.gpu_memory_mib,
        num_ctx=fit.num_ctx,
        slots=fit.slots,
    )


def check_quotas(
    demands: Sequence[tuple[str, Infrastructure, int]], quotas: Mapping[str, Any], region: str
) -> list[str]:
    """One sentence for each vCPU quota that the processors together exceed.

    :param demands: processor, where it runs, and its C(max_instances).
    """
    wanted: dict[tuple[str, str], list[tuple[str, Infrastructure, int]]] = {}
    limits: dict[tuple[str, str], int] = {}
    for name, infrastructure, instances in demands:
        quota = quota_of(infrastructure.instance_type, infrastructure.market, quotas)
        if quota is not None:
            key = (infrastructure.market, str(quota["name"]))
            limits[key] = int(quota["vcpus"])
            wanted.setdefault(key, []).append((name, infrastructure, instances))
    problems = []
    for key, users in wanted.items():
        total = sum(infrastructure.vcpus * instances for _name, infrastructure, instances in users)
        if total > limits[key]:
            shares = ", ".join(f"{name} {count} x {where.instance_type}" for name, where, count in users)
            problems.append(
                f"The account's quota '{key[1]}' in {region} is {limits[key]} vCPUs, and max_instances asks "
                f"for {total} ({shares}): ask for more in Service Quotas, or lower max_instances."
            )
    return problems


def _whole(given: Any, default: int) -> int:
    if given in (None, ""):
        return default
    try:
        return int(given)
    except (TypeError, ValueError) as error:
        raise InfrastructureError([f"infrastructure has {given!r} where a whole number belongs"]) from error


def _shares(instance: InstanceType, gpus: int) -> int:
    """How many containers share the instance when the user names no memory."""
    return max(1, instance.gpu_count // gpus) if gpus > 0 else 1


def _check_gpus(instance: InstanceType, gpus: int, proposal: str) -> list[str]:
    if gpus < 0:
        return [f"gpus is {gpus}; it takes 0 (run on the CPU) or more"]
    if gpus == 0:
        return []
    if instance.gpu_count == 0:
        return [
            (
                f"gpus is {gpus}, but {instance.name} has no GPU; set gpus: 0 to run on the CPU, or take a "
                f"GPU type"
                f"{proposal}"
            )
        ]
    if instance.gpu_manufacturer.upper() != "NVIDIA":
        return [
            (
                f"the GPUs of {instance.name} are made by {instance.gpu_manufacturer}; the image runs on "
                f"NVIDIA's"
                f"{proposal}"
            )
        ]
    if instance.architecture != "x86_64":
        return [
            f"{instance.name} has ARM processors beside its GPU; the GPU image is built for x86_64{proposal}"
        ]
    if gpus > instance.gpu_count:
        return [f"gpus is {gpus}, but {instance.name} has {instance.gpu_count}{proposal}"]
    return []


def _too_small(model: str, needed: int, num_ctx: int | None, room: str) -> str:
    at = f" at num_ctx {num_ctx}" if num_ctx else ""
    return f"{model} takes about {needed // MIB} MiB{at}, and {room}"


def _room(instance: InstanceType, gpus: int, budget: int) -> str:
    if not gpus:
        return f"max_memory is {budget // MIB} MiB"
    which = "1 GPU" if gpus == 1 else f"{gpus} GPUs"
    return f"of {which} of {instance.name} a model can have about {budget // MIB} MiB"


def _proposal(
    types: Mapping[str, InstanceType], weights: Weights, num_ctx: int | None, slots: int | None, model: str
) -> str:
    if not weights.size:
        return ""
    found = smallest_fitting(types.values(), weights, num_ctx, slots)
    if found is None:
        return f"; no GPU instance type of this region holds {model}"
    instance, gpus = found
    return f"; the smallest GPU type that holds {model} is {instance.name} with gpus: {gpus}"
