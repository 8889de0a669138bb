"""Memory and time of a training step on GPUs that are not here, computed from operation counts.

    python benchmarks/step_costs.py

Networks of one block and of two run forward and backward on torch's fake tensors, which have shapes and no numbers: their matrix
products are counted, those of attention among them, and the bytes kept for the backward pass. Each further block costs as much as
the second. Everything else in the table follows from these counts and from the assumptions that are printed with it. Nothing is
measured.
"""

import argparse
import functools
from typing import Any

import measure
import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from training_speed import SNAC_32KHZ

from snac_plugin.config import NetworkConfig
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.network import SnacDiT
from snac_plugin.model.training_pass import all_stages

CHUNKS, FRAMES = 3, 64
WINDOW_SECONDS = CHUNKS * FRAMES * SNAC_32KHZ.frame_samples / SNAC_32KHZ.sample_rate
NETWORKS = {
    "model_configs/snac_dit_32khz.json": {"dim": 1024, "depth": 12, "num_heads": 16},
    '"dim": 1792, "depth": 16, "num_heads": 28': {"dim": 1792, "depth": 16, "num_heads": 28},
}
BYTES_A_WEIGHT = 4 + 4 + 8 + 4 + 2
"""Weight, gradient, Adam's two moments and moving average in float32; the copy in bfloat16 that autocast makes."""
PEAK, SHARE = 989e12, 0.35
"""bfloat16 operations a second of an H100 SXM, as its data sheet has them, and the share of them that is assumed to be reached."""
MEMORY = 80e9
LINKS = {8: 450e9, 64: 50e9}
"""Bytes a second of a GPU to others, each way: NVLink within a machine, 400 Gbit/s between machines."""


def counted(network: SnacDiT) -> np.ndarray:
    """Operations of a step on one window, bytes kept for its backward pass, and weights.

    Computing is in bfloat16; attention matrices are never kept.
    """
    kept: dict[int, int] = {}
    shapes = {shape for weight in network.parameters() for shape in (tuple(weight.shape), tuple(weight.shape)[::-1])}

    def keep(tensor: Tensor) -> Tensor:
        if tuple(tensor.shape) not in shapes and not _attention(tensor, network):  # copies of weights are counted with them
            kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    latents = torch.zeros(1, SNAC_32KHZ.channels, CHUNKS * FRAMES)
    t = torch.zeros(1, CHUNKS, len(SNAC_32KHZ))
    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            outputs = all_stages(network, latents, latents, t, Conditions())
        # The loss keeps the logits in float32, and their logarithms.
        loss_bytes = sum(2 * 4 * output.numel() for output in outputs)
        torch.stack([output.float().sum() for output in outputs]).sum().backward()
    weights = sum(weight.numel() for weight in network.parameters())
    return np.array([counter.get_total_flops(), sum(kept.values()) + loss_bytes, weights], dtype=float)


def costs(size: dict[str, Any], checkpointing: bool) -> tuple[float, float, float]:
    """Operations of a step on one window, bytes kept for its backward pass, and weights, of a network of any depth."""
    depth, tokens = size["depth"], 2 * CHUNKS * FRAMES * SNAC_32KHZ.rows
    one, two = (_counted(tuple(sorted((size | {"depth": blocks}).items()))) for blocks in (1, 2))
    block = two - one
    operations, kept, weights = one + (depth - 1) * block
    if checkpointing:  # what enters each block, and one block at work; the forward pass of blocks runs twice
        kept, operations = one[1] + depth * tokens * size["dim"] * 2, operations + depth * block[0] / 3
    return operations, kept, weights


@functools.lru_cache
def _counted(size: tuple[tuple[str, Any], ...]) -> np.ndarray:
    config = NetworkConfig(**dict(size), head="logits", modulation_rank=64, chunk_frames=FRAMES, context_chunks=CHUNKS - 1)
    with FakeTensorMode():
        return counted(SnacDiT(config, SNAC_32KHZ))


def _attention(tensor: Tensor, network: SnacDiT) -> bool:
    """Whether a tensor is a matrix of attention, queries by keys, which a GPU's kernels never write."""
    head = network.config.dim // network.config.num_heads
    return tensor.ndim >= 3 and tensor.shape[-3] == network.config.num_heads and tensor.shape[-1] > head < tensor.shape[-2]


def rows_of(name: str, size: dict[str, Any], checkpointing: bool) -> list[list[str]]:
    operations, activations, weights = costs(size, checkpointing)
    fixed = weights * BYTES_A_WEIGHT
    batch = int((0.9 * MEMORY - fixed) // activations)
    rows = []
    for gpus, link in LINKS.items():
        compute = operations * batch / (PEAK * SHARE)
        exchange = 2 * (gpus - 1) / gpus * weights * 4 / link
        step = max(compute, exchange) + 0.1 * min(compute, exchange)  # DDP exchanges gradients while it computes others
        hours = batch * gpus * WINDOW_SECONDS / step
        cells = [f"{operations / 1e12:.1f}", f"{fixed / 1e9:.1f}", f"{activations / 1e9:.2f}", str(batch)]
        cells += [f"{step:.2f}", f"{exchange:.3f}", f"{hours:,.0f}"]
        rows.append([f"{name}: {weights / 1e6:,.0f} M", "yes" if checkpointing else "no", str(gpus), *cells])
    return rows


def main() -> None:
    """Count and print a table."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.parse_args()
    rows = [row for name, size in NETWORKS.items() for more in (False, True) for row in rows_of(name, size, more)]
    names = ["network", "gradient checkpointing", "GPUs", "TFLOP a window", "weights and optimizer, GB", "GB kept a window"]
    names += ["windows a GPU in 72 GB", "s a step", "of them to exchange gradients", "s of music a second"]
    print(measure.table(names, rows))
    print(
        f"\nAssumed: {SHARE:.0%} of {PEAK / 1e12:.0f} TFLOP/s, links of {', '.join(f'{b / 1e9:.0f} GB/s' for b in LINKS.values())}."
    )


if __name__ == "__main__":
    main()
