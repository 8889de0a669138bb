"""Cost of a chunk, from chunk 3 to chunk 50: time and memory of a generation that streams to disk.

    python benchmarks/chunk_cost.py

From chunk 3 on each chunk has two chunks of context. The time of a chunk is that from one piece of audio to the next: one
chunk generated, one decoded, one written. Weights are random: they change what is heard, not what it costs.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not spin, or CPU time says nothing

import measure
import numpy as np
import soundfile
import timing
import torch
from training_speed import draw_zeros

from snac_plugin.config import load_json
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.plugin import builders

CONTEXT_CHUNKS = 2
AHEAD = 1  # the last piece also decodes what was held back: one more is made and not counted
CONFIG = Path(__file__).resolve().parents[1] / "model_configs" / "snac_dit.json"


def build(config: Path) -> SnacDiffusion:
    """The model of a config, with two chunks of context and random weights."""
    raw = load_json(config)
    network = raw["model"]["diffusion"]["config"]
    chunk = raw["sample_size"] // (network.get("context_chunks", CONTEXT_CHUNKS) + 1)
    raw["model"]["diffusion"]["config"] = network | {"context_chunks": CONTEXT_CHUNKS}
    raw["sample_size"] = chunk * (CONTEXT_CHUNKS + 1)
    raw.pop("training", None)
    model = builders.model(raw)
    draw_zeros(model.model.network)
    return model.eval().requires_grad_(False)


def stream(model: SnacDiffusion, args: argparse.Namespace, device: torch.device) -> list[dict[str, float]]:
    """Generate to a file; wall and CPU seconds of each chunk and the memory after it, from the first chunk on."""
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "music.wav"
        with soundfile.SoundFile(path, "w", samplerate=model.sample_rate, channels=1, subtype="FLOAT") as file:
            watch = timing.Stopwatch(device)
            pieces = model.stream(chunks=args.chunks + AHEAD, steps=args.steps, seed=args.seed, progress=False)
            for piece in pieces:
                file.write(piece.audio[0, 0].numpy())
                run = watch.lap()
                cost = {"seconds": run.wall, "cpu_seconds": run.cpu, "memory_mib": memory(device), "disturbed": run.disturbed}
                costs.append(cost)
    return costs[: args.chunks]


def memory(device: torch.device) -> float:
    """What the process holds in MiB: on the GPU if it runs there."""
    return torch.cuda.memory_allocated(device) / 2**20 if device.type == "cuda" else timing.resident()


def growth(values: Sequence[float]) -> tuple[float, float]:
    """Slope per chunk by least squares, and its standard error."""
    count = len(values)
    x = np.arange(count) - (count - 1) / 2
    slope = float((x * np.asarray(values)).sum() / (x**2).sum())
    left = np.asarray(values) - np.mean(values) - slope * x
    return slope, float(np.sqrt((left**2).sum() / max(count - 2, 1) / (x**2).sum()))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = measure.parser(__doc__)
    parser.add_argument("--model-config", type=Path, default=CONFIG, help="model to measure, given two chunks of context")
    parser.add_argument("--chunks", type=int, default=50, help="chunks to generate, 5 or more")
    parser.add_argument("--steps", type=int, default=8, help="denoising steps of a chunk in all")
    args = parser.parse_args(argv)
    device = measure.start(args)
    model = build(args.model_config).to(device)
    stream(model, argparse.Namespace(**vars(args) | {"chunks": CONTEXT_CHUNKS + 1}), device)  # loads what runs need
    costs = stream(model, args, device)
    _report(args, device, model, costs)


def _report(args: argparse.Namespace, device: torch.device, model: SnacDiffusion, costs: list[dict[str, float]]) -> None:
    first, last, keys = CONTEXT_CHUNKS + 1, args.chunks, ("seconds", "cpu_seconds", "memory_mib")
    starts = sorted({first, last - 2, *(c for c in range(10, last - 2, 10) if c > first + 2)})
    rows: list[list[Any]] = []
    for start in starts:
        group = costs[start - 1 : start + 2]
        means = [statistics.median(cost[key] for cost in group) for key in keys]
        rows.append([f"{start} to {start + 2}", *(f"{value:.3f}" for value in means[:2]), f"{means[2]:,.0f}"])
    late = costs[first - 1 :]
    slopes = {key: growth([cost[key] for cost in late]) for key in keys}
    total = {key: slope * (last - first) / statistics.median(c[key] for c in late) for key, (slope, _) in slopes.items()}
    rows.append(["growth per chunk", *(f"{slopes[key][0]:+.5f} ± {slopes[key][1]:.5f}" for key in keys)])
    rows.append([f"growth from chunk {first} to {last}", *(f"{total[key]:+.1%}" for key in keys)])
    ratio = sum(cost["cpu_seconds"] for cost in late) / sum(cost["seconds"] for cost in late)
    network = model.config.model.diffusion.config
    seconds = network.chunk_frames / model.levels.frames_per_second
    disturbed = f", {count} of {len(late)} chunks disturbed" if (count := sum(cost["disturbed"] > 0 for cost in late)) else ""
    paragraphs = [
        f"Cost of a chunk: {args.chunks} chunks of {seconds:.3f} s streamed to disk, {args.steps} steps a chunk, dim "
        f"{network.dim}, depth {network.depth}, codec {model.pretransform.codec_name}; CPU over wall time "
        f"{ratio:.2f}{disturbed}. {measure.machine(device)}.",
        measure.table(["chunks (median)", "seconds", "CPU seconds", "memory, MiB"], rows),
    ]
    data = {"chunks": costs, "slopes": slopes, "growth": total}
    measure.report(args, device, "chunk_cost", paragraphs, data)


if __name__ == "__main__":
    main()
