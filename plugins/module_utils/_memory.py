# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much memory a model takes, and what context and concurrency fit into a given memory.

The formula, its sources and the figures it is tested against are in docs/memory.md.

For internal use of this collection only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ansible_collections.pasture.ollama.plugins.module_utils._catalogue import Shape

MIB = 1024 * 1024
GIB = 1024 * MIB

# Keys and values are kept as 16-bit floats unless OLLAMA_KV_CACHE_TYPE says otherwise.
_KV_BYTES = 2

# llama.cpp keeps the window and one physical batch more of a windowed layer's keys and values
# (src/llama-kv-cache-iswa.cpp; n_ubatch is 512).
_WINDOW_BATCH = 512

# What is neither weights nor cache: the compute buffers (logits of a batch of 512 tokens over 256,000 words
# alone are 500 MiB) and the CUDA context, which every GPU has for itself.
_GPU_OVERHEAD = GIB
_FURTHER_GPU_OVERHEAD = GIB // 2

# On a CPU: the compute buffers, and the worker with a document being extracted.
_CPU_OVERHEAD = GIB

# Drivers and ECC keep a part of what DescribeInstanceTypes calls the GPU's memory: a T4 of 16,384 MiB shows
# 15,360, an L4 of 22,888 shows 22.0 GiB.
_GPU_USABLE = 0.93

#: Tokens that a processor gets first when the user names none: the worker's own default.
DEFAULT_NUM_CTX = 8192
# Beyond these, memory buys no better answers for documents that are split and combined anyway.
_ROOMY_NUM_CTX = 16384
_LARGEST_NUM_CTX = 32768
_MOST_SLOTS = 4

# Ollama runs one request at a time for these, whatever OLLAMA_NUM_PARALLEL says (server/sched.go).
_SINGLE_SLOT_FAMILIES = frozenset(
    {
        "bert",
        "lfm2",
        "lfm2moe",
        "mllama",
        "nemotron_h",
        "nemotron_h_moe",
        "nemotron_h_omni",
        "nomic-bert",
        "nomic-bert-moe",
        "qwen35",
        "qwen35moe",
        "qwen3next",
        "qwen3vl",
        "qwen3vlmoe",
    }
)


@dataclass(frozen=True)
class Weights:
    """What a plan needs to know of a model.

    :ivar size: bytes of the weights; 0 when they are not known, and then nothing is refused.
    :ivar shape: None when it is not known; the cache is then estimated from the size.
    :ivar context_length: tokens the model was trained for; 0 when it is not known.
    """

    size: int
    shape: Shape | None
    context_length: int
    family: str = ""
    embeds: bool = False

    @property
    def single_slot(self) -> bool:
        """Whether Ollama runs it one request at a time."""
        return self.embeds or self.family in _SINGLE_SLOT_FAMILIES


@dataclass(frozen=True)
class Plan:
    """C(num_ctx) tokens for each of C(slots) documents, and the bytes that takes in all."""

    num_ctx: int
    slots: int
    needed: int


def kv_cache_bytes(weights: Weights, num_ctx: int, slots: int = 1) -> int:
    """Bytes of keys and values for C(slots) documents of C(num_ctx) tokens each.

    2 bytes x key-value heads x (key width + value width) x tokens, summed over the layers; a layer with a
    window keeps the window and one batch at the most.
    """
    shape = weights.shape
    if shape is None:
        return round(_estimated_kv_per_token(weights.size) * num_ctx * slots)
    per_layer_and_token = _KV_BYTES * shape.kv_heads * (shape.key_width + shape.value_width)
    windowed = min(num_ctx, shape.window + _WINDOW_BATCH) if shape.window else num_ctx
    tokens = shape.full_layers * num_ctx + (shape.layers - shape.full_layers) * windowed
    return per_layer_and_token * tokens * slots


def _estimated_kv_per_token(size: int) -> float:
    """Bytes per token for weights of unknown shape: above what eight heads of 128 take.

    The cache grows with the layers, about with the square root of the weights: 112 KiB at 0.5 GB
    (qwen3:0.6b), 128 KiB at 4.9 GB (llama3.1:8b), 240 KiB at 6.4 GB (falcon2:11b, which has 60 layers), 320 KiB
    at 43 GB (llama3.1:70b).
    """
    return 1024 * (100 + 130 * math.sqrt(size / 4.9e9))


def gpu_bytes(weights: Weights, num_ctx: int, slots: int, gpus: int) -> int:
    """Bytes of GPU memory, over all C(gpus) of a container, to run it wholly on them."""
    overhead = _GPU_OVERHEAD + (gpus - 1) * _FURTHER_GPU_OVERHEAD
    return weights.size + kv_cache_bytes(weights, num_ctx, slots) + overhead


def cpu_bytes(weights: Weights, num_ctx: int, slots: int) -> int:
    """Bytes of RAM of a container that runs it on the CPU, the worker included."""
    return weights.size + kv_cache_bytes(weights, num_ctx, slots) + _CPU_OVERHEAD


def usable_gpu_bytes(gpu_memory_mib: int, gpus: int) -> int:
    """Bytes that a model can have of C(gpus) GPUs of C(gpu_memory_mib) each."""
    return int(gpu_memory_mib * MIB * _GPU_USABLE) * gpus


def plan(
    weights: Weights, budget: int, gpus: int, num_ctx: int | None = None, slots: int | None = None
) -> Plan | None:
    """Choose what the user left open, within C(budget) bytes; None when not even the least fits.

    First the default context for one document; then, while it fits, room for longer documents, for more
    documents at once, and for still longer ones. On a CPU it stays at the default: there time is scarce,
    not memory. What the user gave is taken as it is.
    """

    def needed(tokens: int, parallel: int) -> int:
        if gpus:
            return gpu_bytes(weights, tokens, parallel, gpus)
        return cpu_bytes(weights, tokens, parallel)

    longest = weights.context_length or DEFAULT_NUM_CTX
    tokens = num_ctx or min(DEFAULT_NUM_CTX, longest)
    parallel = slots or 1
    # Half and a quarter of the default context still take a page; less would only make parts.
    fallbacks = [tokens] if num_ctx else [tokens, tokens // 2, tokens // 4]
    fitting = next((choice for choice in fallbacks if needed(choice, parallel) <= budget), None)
    if fitting is None:
        return None
    tokens = fitting
    can_grow = gpus > 0 and weights.size > 0

    def grow_tokens(limit: int) -> None:
        nonlocal tokens
        while not num_ctx and tokens * 2 <= min(limit, longest):
            if needed(tokens * 2, parallel) > budget:
                break
            tokens *= 2

    if can_grow:
        grow_tokens(_ROOMY_NUM_CTX)
        while not slots and not weights.single_slot and parallel < _MOST_SLOTS:
            if needed(tokens, parallel * 2) > budget:
                break
            parallel *= 2
        grow_tokens(_LARGEST_NUM_CTX)
    return Plan(tokens, parallel, needed(tokens, parallel))


def least(weights: Weights, gpus: int, num_ctx: int | None, slots: int | None) -> int:
    """Bytes below which C(plan) finds nothing."""
    tokens = num_ctx or max(1, min(DEFAULT_NUM_CTX, weights.context_length or DEFAULT_NUM_CTX) // 4)
    parallel = slots or 1
    return gpu_bytes(weights, tokens, parallel, gpus) if gpus else cpu_bytes(weights, tokens, parallel)
