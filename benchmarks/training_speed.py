"""Training speed: one forward for all stages against a pass of its own for each stage.

    python benchmarks/training_speed.py

Supervised codes (codes whose loss is counted) per second of forward and backward, of one network and the same data:

* a pass a stage: the clean tokens of two chunks of context, the finished levels, and the noised tokens of one stage, for the
  stages of the last chunk in turn;
* one pass, last chunk: one forward for all stages of the last chunk;
* one pass, all chunks: one forward for all stages of all three chunks, as the trainer does;
* the same in bfloat16 on a CPU, where the trainer picks it. (On a GPU all sides run in bfloat16.)
"""

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not spin, or CPU time says nothing

import measure
import timing
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile

from snac_plugin.device import pick_precision
from snac_plugin.levels import Levels
from snac_plugin.model.attention import SequenceAttention
from snac_plugin.model.backbones import network_of
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.network import SnacDiT
from snac_plugin.model.training_pass import all_stages
from snac_plugin.model.visibility import Role, Segment, attention_calls

SNAC_32KHZ = Levels(strides=(8, 4, 2, 1), hop=384, attn_window=32, sample_rate=32000)
CHUNKS, LAST = 3, 2
SIDES = ("a pass a stage", "one pass, last chunk", "one pass, all chunks")
ROUNDED = f"{SIDES[2]}, bfloat16"
# Kinds of operators by the beginnings of their names; the first that fits counts.
KINDS = {
    "attention": ("_scaled_dot_product", "_flash_attention", "_efficient_attention", "_cudnn_attention"),
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "linear"),
    "loss": ("_log_softmax", "nll_loss", "mse_loss"),
    "layer norm": ("native_layer_norm", "layer_norm"),
    "modulation, gates, activations, rotary": ("add", "mul", "sum", "sub", "neg", "gelu", "silu", "sin", "cos"),
    "copies": ("cat", "copy_", "clone", "contiguous", "_to_copy", "fill_", "zero_", "split", "slice", "narrow", "select"),
}


class Sides:
    """The network, a batch, and the three ways to train on it.

    Args:
        args: the command's arguments.
        device: where to run.
        options: of the network's config, besides its size.
    """

    def __init__(self, args: argparse.Namespace, device: torch.device, **options: Any) -> None:
        self.device, self.levels, self.frames = device, SNAC_32KHZ, args.chunk_frames
        config = measure.network_config(args, LAST, **options)
        self.network = draw_zeros(network_of(config, self.levels)).to(device)
        shape = (args.batch_size, self.levels.channels, CHUNKS * self.frames)
        self.clean, self.noised = torch.randn(shape, device=device), torch.randn(shape, device=device)
        self.t = torch.rand(args.batch_size, CHUNKS, len(self.levels), device=device)
        self.codes = torch.randint(self.levels.codebook_size, (args.batch_size, self.levels.rows, shape[-1]), device=device)

    @property
    def functions(self) -> dict[str, Callable[[], object]]:
        functions = dict(zip(SIDES, (self.pass_a_stage, self.last_chunk, self.all_chunks), strict=True))
        if self.device.type == "cpu" and pick_precision(self.device) != "32-true":
            functions[ROUNDED] = self.all_chunks_rounded
        return functions

    def supervised(self, side: str) -> int:
        """Codes whose loss is counted."""
        return len(self.codes) * self.levels.rows * self.frames * (CHUNKS if SIDES[2] in side else 1)

    def pass_a_stage(self) -> list[Tensor]:
        """Forward and backward of each stage of the last chunk by itself; returns the outputs."""
        outputs = []
        for level in range(len(self.levels)):
            with measure.precision(self.device):
                output = self._stage(level)
            self._loss(level, output, LAST).backward()
            outputs.append(output.detach())
        self.network.zero_grad()
        return outputs

    def last_chunk(self) -> list[Tensor]:
        """Forward and backward of all stages of the last chunk; returns the outputs."""
        return self._one_pass(LAST)

    def all_chunks(self) -> list[Tensor]:
        """Forward and backward of all stages of all chunks; returns the outputs."""
        return self._one_pass(0)

    def all_chunks_rounded(self) -> list[Tensor]:
        """The same on a CPU in bfloat16; returns the outputs."""
        with torch.autocast(self.device.type, torch.bfloat16):
            return self._one_pass(0)

    def _one_pass(self, given: int) -> list[Tensor]:
        noised, t = self.noised[..., given * self.frames :], self.t[:, given:]
        with measure.precision(self.device):
            outputs = all_stages(self.network, self.clean, noised, t, Conditions(), chunks_before=given)
        loss = torch.stack([self._loss(level, output, given) for level, output in enumerate(outputs)]).sum()
        loss.backward()
        self.network.zero_grad()
        return [output.detach() for output in outputs]

    def _stage(self, level: int) -> Tensor:
        """Output for one stage of the last chunk, from a sequence of only what it sees and itself."""
        network, past = self.network, []
        for chunk in range(CHUNKS):
            seen = range(len(self.levels) if chunk < LAST else level)
            past += [(Segment(Role.CLEAN, chunk, i, self.frames * self.network.tokens_per_frame[i]), self.clean) for i in seen]
        noised = Segment(Role.NOISED, LAST, level, self.frames * self.network.tokens_per_frame[level])
        pairs = [*past, (noised, self.noised)]
        segments = tuple(segment for segment, _ in pairs)
        tokens = [network.embed_codes(s.level, self._latents(packed, s), s.role) for s, packed in pairs]
        t = torch.cat([self.t.new_zeros(len(self.t), len(past)), self.t[:, LAST, level, None]], dim=1)
        embedding = network.embed_segments(segments, t, Conditions())
        attend = SequenceAttention(segments, attention_calls(segments, segments, network.visibility))
        hidden = network.trunk(torch.cat(tokens, dim=1), network.tokens(segments, Conditions()), embedding, attend)
        return network.read_out(
            level, hidden[:, -noised.length :], [noised.length], embedding[:, -1:], self._latents(self.noised, noised)
        )

    def _latents(self, packed: Tensor, segment: Segment) -> Tensor:
        part = packed[..., segment.chunk * self.frames : (segment.chunk + 1) * self.frames]
        return self.levels.unpack_latents(part)[segment.level]

    def _loss(self, level: int, output: Tensor, first_chunk: int) -> Tensor:
        here = slice(first_chunk * self.frames, CHUNKS * self.frames)
        if self.network.config.head != "velocity":
            return cross_entropy(output.transpose(1, 2).float(), self.levels.unpack(self.codes[..., here])[level])
        return (output.float() - self.levels.unpack_latents(self.clean[..., here])[level]).square().mean()


def draw_zeros(network: SnacDiT) -> SnacDiT:
    """Draw the weights that start at zero, as training would have: with closed gates all sides would agree on nothing."""
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)
    return network


def what_limits(function: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Share of each kind of operator in the time of a run, each without the operators it calls."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as profiled:
        function()
        timing.synchronise(device)
    shares = dict.fromkeys([*KINDS, "the rest"], 0.0)
    for event in profiled.key_averages():
        time = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        shares[kind_of(event.key)] += time if event.key.startswith("aten::") or not on_gpu else 0.0
    total = sum(shares.values())
    return {kind: time / total for kind, time in shares.items()}


def kind_of(operator: str) -> str:
    """Which kind an operator is of."""
    name = operator.removeprefix("aten::")
    return next((kind for kind, names in KINDS.items() if operator != name and name.startswith(names)), "the rest")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = measure.parser(__doc__, repeats=5)
    measure.add_network_arguments(parser, batch_size=2)
    args = parser.parse_args(argv)
    device = measure.start(args)
    sides = Sides(args, device)
    apart = zip(sides.pass_a_stage(), sides.last_chunk(), strict=True)
    difference = max(float((a.float() - b.float()).abs().max()) for a, b in apart)
    memory = {side: timing.peak_memory(function, device) for side, function in sides.functions.items()}
    timings = timing.interleaved(sides.functions, device, repeats=args.repeats, retries=args.retries)
    shares = what_limits(sides.all_chunks, device)
    _report(args, device, sides, difference, memory, timings, shares)


def _report(
    args: argparse.Namespace,
    device: torch.device,
    sides: Sides,
    difference: float,
    memory: dict[str, float | None],
    timings: dict[str, timing.Timing],
    shares: dict[str, float],
) -> None:
    speed = {side: sides.supervised(side) / runs.seconds for side, runs in timings.items()}
    slowest, data = speed[SIDES[0]], {}
    rows: list[Sequence[Any]] = []
    for side, runs in timings.items():
        needed = memory[side]
        cells = [runs.cell(), runs.trust(), "not measured" if needed is None else f"{needed:,.0f}"]
        rows.append([side, sides.supervised(side), f"{speed[side]:,.0f}", f"**{speed[side] / slowest:.2f}x**", *cells])
        data[side] = runs.as_dict() | {"codes_per_second": speed[side], "memory_mib": needed}
    weights = sum(p.numel() for p in sides.network.parameters()) / 1e6
    paragraphs = [
        f"Training: {weights:.1f} M weights (dim {args.dim}, depth {args.depth}, {args.head}), batch {args.batch_size}, "
        f"three chunks of {args.chunk_frames} frames, forward and backward. {measure.machine(device)}.",
        measure.table(
            ["", "supervised codes", "codes/s", "speed-up", "seconds (range)", "CPU / wall time", "peak memory, MiB"], rows
        ),
        f"Outputs of a pass a stage and of one pass differ by at most {difference:.1e}.",
        measure.table(["operators of one pass, all chunks", "share of time"], [[k, f"{v:.0%}"] for k, v in shares.items()]),
    ]
    measure.report(
        args,
        device,
        "training_speed",
        paragraphs,
        {"difference": difference, "sides": data, "shares": shares},
    )


if __name__ == "__main__":
    main()
