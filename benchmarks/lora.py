"""Low-rank adapters against training all weights: what learns, what is stored, time and memory of a step.

    python benchmarks/lora.py
    python benchmarks/lora.py --model-config model_configs/snac_dit_32khz.json --codec snac_tiny_32khz --chunk-frames 4

Each side is a process of its own: the training wrapper that `train.py` builds, with its optimizer and its moving average, on random
codes. Memory is the most that the process held, the libraries' own about 0.6 GB among it.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import measure
import timing
import torch

import snac_plugin
from snac_plugin.config import load_json
from snac_plugin.model.conditions import Conditions
from snac_plugin.plugin import builders, training_builders
from snac_plugin.training.stage_losses import draw_step, stage_losses

SIDES = ("all weights", "adapters")
MIB = 2**20


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and report; with --side measure one side, and print its figures."""
    parser = measure.parser(__doc__, repeats=5)
    parser.add_argument("--model-config", default="model_configs/snac_dit_lora.json", help="config, with or without training.lora")
    parser.add_argument("--codec", help="codec in place of the config's, of the same levels")
    parser.add_argument("--rank", type=int, default=16, help="rank of the adapters")
    parser.add_argument("--chunk-frames", type=int, help="frames of a chunk: few show what weights alone need")
    parser.add_argument("--batch-size", type=int, default=2, help="samples at once")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    device = measure.start(args)
    if args.side is not None:
        print(json.dumps(one_side(args, device)))
        return
    flags = sys.argv[1:] if argv is None else argv
    figures = {side: _in_a_process([*flags, "--side", side]) for side in SIDES}
    rows = [[name, *(figures[side][name] for side in SIDES)] for name in figures[SIDES[0]]]
    about = f"{args.model_config}, adapters of rank {args.rank}, batch {args.batch_size}. {measure.machine(device)}."
    measure.report(args, device, "lora", [about, measure.table(["", *SIDES], rows)], {"sides": figures})


def _in_a_process(flags: Sequence[str]) -> dict[str, Any]:
    ran = subprocess.run([sys.executable, __file__, *flags], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


def one_side(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Figures of one side."""
    snac_plugin.register()
    config = load_json(args.model_config)
    config["training"]["lora"] = {"rank": args.rank, "alpha": float(args.rank)} if args.side == SIDES[1] else None
    if args.chunk_frames:
        network = config["model"]["diffusion"]["config"]
        config["sample_size"] = config["sample_size"] // network["chunk_frames"] * args.chunk_frames
        network["chunk_frames"] = args.chunk_frames
    if args.codec:
        config["model"]["pretransform"]["config"]["codec"] = args.codec
    wrapper = training_builders.training_wrapper(config, builders.model(config)).to(device).train()
    made = wrapper.configure_optimizers()  # with a scheduler, two lists
    optimizer = made[0][0] if isinstance(made[0], list) else made[0]
    step = training_step(wrapper, optimizer, args.batch_size, device)
    step()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    timed = timing.interleaved({args.side: step}, device, repeats=args.repeats, retries=args.retries)[args.side]
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else held
    checkpoint: dict[str, Any] = {"state_dict": wrapper.state_dict(), "optimizer_states": [optimizer.state_dict()]}
    wrapper.on_save_checkpoint(checkpoint)
    return {
        "weights that learn, M": sum(p.numel() for p in wrapper.parameters() if p.requires_grad) / 1e6,
        "weights in all, M": sum(p.numel() for p in wrapper.diffusion.model.parameters()) / 1e6,
        "what is handed on, MB": _handed_on(wrapper, args) / 1e6,
        "training checkpoint, MB": _stored(lambda path: torch.save(checkpoint, path), args.out / "side.ckpt") / 1e6,
        "seconds a step (range)": timed.cell(),
        "CPU seconds a step": timed.cpu,
        "CPU / wall time": timed.trust(),
        "peak memory, MiB": memory / MIB,
    }


def training_step(wrapper: Any, optimizer: torch.optim.Optimizer, batch: int, device: torch.device) -> Callable[[], None]:
    """A step as the trainer does it, on random codes: draw, forward, backward, clip, optimizer, moving average."""
    levels, network = wrapper.levels, wrapper.diffusion.model.network
    generator = torch.Generator().manual_seed(0)
    frames = wrapper.chunks * network.config.chunk_frames
    codes = torch.randint(levels.codebook_size, (batch, levels.rows, frames), generator=generator).to(device)

    def step() -> None:
        context = wrapper.full_context
        draw = draw_step(codes.cpu(), levels, wrapper.chunks, context, wrapper.timesteps, wrapper.corruption, generator)
        with measure.training_precision(device):
            losses, _ = stage_losses(wrapper.diffusion.model, codes, draw, Conditions(), None)
        losses.mean().backward()
        torch.nn.utils.clip_grad_norm_(wrapper.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        wrapper.diffusion_ema.update()

    return step


def _handed_on(wrapper: Any, args: argparse.Namespace) -> int:
    """Size of the adapter's file, or of a checkpoint for inference."""
    if args.side == SIDES[1]:
        return (wrapper.save_adapter(args.out / "side_lora") / "adapter_model.safetensors").stat().st_size
    weights = wrapper.diffusion.model.state_dict()
    return _stored(lambda path: torch.save(weights, path), args.out / "side_model.ckpt")


def _stored(write: Callable[[Path], object], path: Path) -> int:
    """The size of what is written, which goes again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
    size = path.stat().st_size
    path.unlink()
    return size


if __name__ == "__main__":
    main()
