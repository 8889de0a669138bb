"""Generation speed: cached keys and values against recomputing everything at each step.

    python benchmarks/generation_speed.py

One chunk after two chunks of context, with the sampler, the noise and the steps that generation uses:

* cached: keys and values of the context and of finished levels are computed once; a step runs one level's own tokens;
* recomputing: each step is one forward over context, finished levels and the noised level, by the same network.

Both without and with classifier-free guidance, whose two branches make one batch.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not spin, or CPU time says nothing

import measure
import timing
import torch
from torch import Tensor
from training_speed import SNAC_32KHZ, draw_zeros

from snac_plugin.diffusion.guidance import Guidance
from snac_plugin.generation.chunks import generate_chunks
from snac_plugin.generation.request import Request
from snac_plugin.generation.settings import Settings, resolve
from snac_plugin.latents import LatentSpace
from snac_plugin.model import diffusion_model
from snac_plugin.model.attention import SequenceAttention
from snac_plugin.model.backbones import network_of
from snac_plugin.model.chunk_in_progress import ChunkInProgress, Denoiser
from snac_plugin.model.conditions import Conditions
from snac_plugin.model.diffusion_model import SnacDiffusionModel
from snac_plugin.model.visibility import Role, Segment, attention_calls

CONTEXT_CHUNKS = 2


class RecomputedChunk(ChunkInProgress):
    """A chunk in progress that remembers tokens, and runs all of them through the network at every step."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.past: list[tuple[Segment, Tensor, Tensor | None]] = []
        super().__init__(*args, **options)

    def _prefill(self, segments: Sequence[Segment], tokens: Sequence[Tensor], masks: Sequence[Tensor | None]) -> None:
        self.past += zip(segments, tokens, masks, strict=True)

    def outputs(self, level: int) -> Denoiser:
        """The network's output for a level."""
        network, noised = self.network, self._segment(Role.NOISED, level)
        segments = (*(segment for segment, _, _ in self.past), noised)
        masks = [*(mask for _, _, mask in self.past), None]
        attend = SequenceAttention(segments, attention_calls(segments, segments, network.visibility), masks)
        positions = network.tokens(segments, self.conditions)

        def output(x: Tensor, t: Tensor) -> Tensor:
            noise_levels = torch.cat([t.new_zeros(len(t), len(self.past)), t[:, None]], dim=1)
            embedding = network.embed_segments(segments, noise_levels, self.conditions)
            tokens = torch.cat([*(z for _, z, _ in self.past), self._embed(level, x, Role.NOISED, self.unknown)], dim=1)
            hidden = network.trunk(tokens, positions, embedding, attend)
            return network.read_out(level, hidden[:, -noised.length :], [noised.length], embedding[:, -1:], x)

        return output


class Generator:
    """A model with random weights that continues random codes, either way.

    Args:
        args: the command's arguments.
        device: where to run.
        options: of the network's config, besides its size.
    """

    def __init__(self, args: argparse.Namespace, device: torch.device, **options: Any) -> None:
        config = measure.network_config(args, CONTEXT_CHUNKS, **options)
        levels = SNAC_32KHZ
        space = LatentSpace(levels, [torch.randn(levels.codebook_size, levels.codebook_dim) for _ in levels.names])
        network = draw_zeros(network_of(config, levels))
        weights = config.sampling.weights(levels.names)
        model = SnacDiffusionModel(network, "rectified_flow", space, weights)
        self.model = model.to(device).eval().requires_grad_(False)
        self.settings = resolve(Request(steps=args.steps), config, levels.names, "rectified_flow")
        self.short = resolve(Request(steps=len(levels)), config, levels.names, "rectified_flow")
        shape = (args.batch_size, levels.rows, CONTEXT_CHUNKS * args.chunk_frames)
        self.context = torch.randint(levels.codebook_size, shape, device=device)
        self.seeds = list(range(args.seed, args.seed + args.batch_size))
        self.results: dict[tuple[str, float], tuple[list[Tensor], Tensor]] = {}  # (way, scale): latents a level, codes

    def warm_up(self, scale: float) -> None:
        """Each way once, with one step a level."""
        self.generate("cached", scale, self.short)
        self.generate("recomputing", scale, self.short)

    @torch.inference_mode()
    def generate(self, way: str, scale: float, settings: Settings | None = None) -> None:
        """Generate a chunk; what comes out is kept in `results`."""
        settings = replace(settings or self.settings, guidance=Guidance(scale))
        kind = ChunkInProgress if way == "cached" else RecomputedChunk
        latents, nearest = [], self.model.space.nearest

        def watched(level: int, solved: Tensor) -> Tensor:
            latents.append(solved)
            return nearest(level, solved)

        with patch.object(diffusion_model, "ChunkInProgress", kind), patch.object(self.model.space, "nearest", watched):
            chunks = generate_chunks(self.model, Conditions(), self.seeds, settings, 1, context=self.context, progress=False)
            self.results[way, scale] = latents, next(iter(chunks))

    def difference(self, scale: float) -> tuple[float, float]:
        """Largest difference of latents between both ways, over their standard deviation, and the share of equal codes."""
        (latents, codes), (others, other_codes) = self.results["cached", scale], self.results["recomputing", scale]
        apart = max(float((a - b).abs().max() / a.std()) for a, b in zip(latents, others, strict=True))
        return apart, float((codes == other_codes).float().mean())


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = measure.parser(__doc__, repeats=3)
    measure.add_network_arguments(parser, batch_size=1)
    parser.add_argument("--steps", type=int, default=48, help="denoising steps of the chunk in all")
    parser.add_argument("--cfg-scale", type=float, default=3.0, help="scale of the guided runs")
    args = parser.parse_args(argv)
    device = measure.start(args)
    generator = Generator(args, device)
    scales = {"no guidance": 1.0, "guidance": args.cfg_scale}
    for scale in scales.values():
        generator.warm_up(scale)
    sides: dict[tuple[str, str], Callable[[], object]] = {
        (name, way): partial(generator.generate, way, scale) for name, scale in scales.items() for way in ("cached", "recomputing")
    }
    timings = timing.interleaved(sides, device, repeats=args.repeats, retries=args.retries)
    differences = {name: generator.difference(scale) for name, scale in scales.items()}
    _report(args, device, generator, differences, timings)


def _report(
    args: argparse.Namespace,
    device: torch.device,
    generator: Generator,
    differences: dict[str, tuple[float, float]],
    timings: dict[tuple[str, str], timing.Timing],
) -> None:
    rows, data = [], {}
    for (name, way), runs in timings.items():
        faster = timings[name, "recomputing"].seconds / runs.seconds
        apart, equal = differences[name]
        same = f"{apart:.1e}, {equal:.2%} of codes equal" if way == "cached" else ""
        rows.append([name, way, runs.cell(), f"**{faster:.2f}x**", runs.trust(), same])
        data[f"{name}, {way}"] = runs.as_dict() | {"speed_up": faster, "difference": apart, "equal_codes": equal}
    weights = sum(p.numel() for p in generator.model.parameters()) / 1e6
    steps = ", ".join(f"{name} {n}" for name, n in zip(SNAC_32KHZ.names, generator.settings.steps, strict=True))
    seconds = args.chunk_frames / SNAC_32KHZ.frames_per_second
    paragraphs = [
        f"Generation: a chunk of {seconds:.3f} s after two chunks of context, {args.steps} steps ({steps}), batch "
        f"{args.batch_size}, {weights:.1f} M weights (dim {args.dim}, depth {args.depth}, {args.head}). "
        f"{measure.machine(device)}.",
        measure.table(["", "", "seconds (range)", "speed-up", "CPU / wall time", "largest difference (standard deviations)"], rows),
    ]
    measure.report(args, device, "generation_speed", paragraphs, {"sides": data})


if __name__ == "__main__":
    main()
