"""Which head, objective, modulation and skips? Short trainings at equal compute, one setting changed at a time.

    python benchmarks/choices.py

Measures the seconds of a training step of each variant, trains each by `train.py`'s own trainer for as many steps as fit into
the same CPU time (wall time on a GPU), and tests the averaged weights on songs they never heard:

* the estimate of a chunk's data given the two chunks before it: mean squared error and share of nearest codes that are right, at
  equal ratios of data to noise; of masked codes at equal shares t of them, which says another thing: those alone count, and
  nothing of them is seen;
* continuations by a chunk: Frechet distance to the songs' recordings (that of `evaluate.py`), codes used, seconds a chunk.

Finished trainings and tests are kept and used again.
"""

import argparse
import copy
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not spin beside other processes

import estimates
import measure
import songs
import timing
import torch
from choices_report import report
from context_losses import windows_of
from small_trainings import CHUNKS, CONTEXT_CHUNKS, Training, add_arguments, digest, kept, model_config, run_training, training
from torch import Tensor

from snac_plugin.cli.demo_songs import kind_from
from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.config import NetworkConfig, load_json
from snac_plugin.device import pick_precision
from snac_plugin.diffusion.sampler_names import CODE_SAMPLER, MASKED_SAMPLERS
from snac_plugin.generation.chunks import generate_chunks
from snac_plugin.generation.request import Request
from snac_plugin.generation.settings import resolve
from snac_plugin.generation.snac_diffusion import SnacDiffusion
from snac_plugin.model.backbones import network_of
from snac_plugin.model.conditions import Conditions
from snac_plugin.plugin import builders
from snac_plugin.plugin.loading import load_model
from snac_plugin.training.stage_losses import draw_step, stage_losses

NETWORK = "model.diffusion.config"
BASE = {
    f"{NETWORK}.head": "logits",
    "model.diffusion.diffusion_objective": "rectified_flow",
    f"{NETWORK}.modulation": "adaln_sola",
    f"{NETWORK}.long_skips": False,
    "training.timestep_sampler": "uniform",
}
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "velocity": {f"{NETWORK}.head": "velocity"},
    "posterior": {f"{NETWORK}.head": "posterior"},
    "v": {"model.diffusion.diffusion_objective": "v"},
    "masked": {"model.diffusion.diffusion_objective": "masked"},
    "masked_cosine": {"model.diffusion.diffusion_objective": "masked", "training.timestep_sampler": "cosine"},
    "masked_spans": {"model.diffusion.diffusion_objective": "masked", "training.mask_spans": 3},
    "uncertainty": {"training.uncertainty": True},
    "time_warp": {
        "training.uncertainty": True,
        "training.timestep_sampler": "time_warp",
        "training.timestep_sampler_options": {"warmup": 300},  # of the thousand or so steps that five minutes have
    },
    "perturbed": {"training.input_perturbation": 0.1},
    "adaln_zero": {f"{NETWORK}.modulation": "adaln_zero"},
    "long_skips": {f"{NETWORK}.long_skips": True},
    "patches": {f"{NETWORK}.patch": "frame"},
    "by_code": {f"{NETWORK}.read_out": "code"},
    "pairs_by_code": {f"{NETWORK}.patch": {"C": 2, "D": 4}, f"{NETWORK}.read_out": "code"},
    "patches_by_code": {f"{NETWORK}.patch": "frame", f"{NETWORK}.read_out": "code"},
    "magnitude_preserving": {f"{NETWORK}.backbone": "magnitude-preserving"},
    "x_transformers": {f"{NETWORK}.backbone": "x-transformers"},
    "stable_audio_tools": {f"{NETWORK}.backbone": "stable-audio-tools"},
    # Which levels of the context does D need at all? And which the others?
    "d_sees_d_before": {f"{NETWORK}.visibility": {"context": {"D": ["D"]}}},
    "d_sees_none_before": {f"{NETWORK}.visibility": {"context": {"D": []}}},
    "d_sees_c_and_d_before": {f"{NETWORK}.visibility": {"within": {"D": ["C"]}, "context": {"D": ["C", "D"]}}},
    "same_level_before": {f"{NETWORK}.visibility": {"context": "same"}},
    "next_coarser_alone": {f"{NETWORK}.visibility": {"within": {"C": ["B"], "D": ["C"]}, "context": "same"}},
    "shift": {"training.timestep_sampler_options": {"shift": 2.0}},
}
# Both objectives' deterministic first-order sampler; and the default of v. Heads that predict codes draw them, too.
SAMPLERS = {"rectified_flow": ("euler",), "v": ("v-ddim", "dpmpp-3m-sde"), "masked": MASKED_SAMPLERS}


def main(argv: Sequence[str] | None = None) -> None:
    """Time, train, test, report."""
    args = _parser().parse_args(argv)
    device = measure.start(args)
    codec, window = songs.codec_of(load_json(args.model_config)), CHUNKS * args.chunk_frames
    whole = songs.held_out(args, codec, window)
    windows = windows_of(whole, args.windows, window)
    codes = args.codes or songs.demo_codes(codec, "train", args.music, args.songs, args.seconds, window, kind_from(args))
    names = ["base", *(name for name in VARIANTS if name in args.variants and name != "base")]
    configs = {name: config_of(name, args, codec) for name in names}
    seconds = step_seconds(configs, args, device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    found: dict[str, dict[str, Any]] = {}
    for name, config in configs.items():
        run = training("choices", name, config, max(1, round(args.minutes * 60 / seconds[name])), args, codes)
        run.folder.mkdir(parents=True, exist_ok=True)
        minutes = run_training(run, args, songs.dataset_config(codes, window, run.folder / "dataset.json"), clock)
        found[name] = {"step_seconds": seconds[name], "steps": run.steps, "minutes": minutes, **tested(run, args, windows, device)}
    report(args, device, codec, whole, windows, found)


def _parser() -> argparse.ArgumentParser:
    parser = measure.parser(__doc__, repeats=5)
    add_arguments(parser, batch_size=8, heads=2, chunk_frames=16)
    songs.add_arguments(parser, held_out=16, seconds=60.0)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="what to compare with the base")
    parser.add_argument("--minutes", type=float, default=5.0, help="CPU minutes of each training; of wall time on a GPU")
    parser.add_argument("--windows", type=int, default=8, help="windows of each held-out song")
    parser.add_argument("--noise-levels", type=float, nargs="+", default=[0.3, 0.6, 0.9], help="t of the rectified flow to test at")
    parser.add_argument("--steps", type=int, nargs="+", default=[24, 48], help="denoising steps of a chunk in all")
    parser.add_argument("--generate-batch", type=int, default=16, help="chunks that are generated at once")
    return parser


def config_of(name: str, args: argparse.Namespace, codec: SnacPretransform) -> dict[str, Any]:
    """The model config of a variant."""
    raw = copy.deepcopy(model_config(args, codec.levels, None))
    raw["model"]["diffusion"]["config"]["sampling"] = {}  # tests name their samplers, and not every one fits every variant
    for path, value in (BASE | VARIANTS[name]).items():
        *parents, key = path.split(".")
        section = raw
        for parent in parents:
            section = section[parent]
        section[key] = value
    return raw if f"{NETWORK}.backbone" not in VARIANTS[name] else _of_equal_weights(raw, config_of("base", args, codec), codec)


def _of_equal_weights(raw: dict[str, Any], base: dict[str, Any], codec: SnacPretransform) -> dict[str, Any]:
    """The config with the width of the feed-forward at which it has as many weights as the base, which they are linear in."""

    def weights(config: dict[str, Any], **keys: float) -> int:
        section = config["model"]["diffusion"]["config"]
        return sum(p.numel() for p in network_of(NetworkConfig.model_validate(section | keys), codec.levels).parameters())

    low, high = (weights(raw, ff_mult=mult) for mult in (1.0, 9.0))
    wide = 1.0 + 8 * (weights(base) - low) / (high - low)
    section = raw["model"]["diffusion"]["config"]
    section["ff_mult"] = round(wide * section["dim"]) / section["dim"]
    return raw


def step_seconds(configs: dict[str, dict[str, Any]], args: argparse.Namespace, device: torch.device) -> dict[str, float]:
    """Median seconds of a training step of each variant (CPU seconds on a CPU); kept, or repeated runs would train anew."""
    notes = args.out / "choices" / "step_seconds.json"
    known: dict[str, float] = json.loads(notes.read_text()) if notes.is_file() else {}
    about = {
        name: json.dumps([measure.machine(device), pick_precision(device), args.batch_size, config])
        for name, config in configs.items()
    }
    sides = {key: _step(configs[name], args, device) for name, key in about.items() if key not in known}
    for step in sides.values():
        step()  # the first one sets memory up
    timings = timing.interleaved(sides, device, repeats=args.repeats, retries=args.retries)
    known |= {key: runs.cpu if device.type == "cpu" else runs.seconds for key, runs in timings.items()}
    notes.parent.mkdir(parents=True, exist_ok=True)
    notes.write_text(json.dumps(known, indent=1))
    return {name: known[key] for name, key in about.items()}


def _step(config: dict[str, Any], args: argparse.Namespace, device: torch.device) -> Callable[[], None]:
    """A training step on random codes."""
    model = builders.model(config).to(device)
    training = model.config.training
    assert training is not None
    names, generator = model.levels.names, torch.Generator().manual_seed(args.seed)
    shape = (args.batch_size, model.levels.rows, CHUNKS * args.chunk_frames)
    codes = torch.randint(model.levels.codebook_size, shape, generator=generator).to(device)
    optimizer = torch.optim.AdamW(model.model.parameters(), lr=args.learning_rate)

    def step() -> None:
        timesteps, corruption = training.timesteps(names), training.corruptions(names)
        draw = draw_step(codes, model.levels, CHUNKS, CONTEXT_CHUNKS, timesteps, corruption, generator)
        with measure.training_precision(device):
            losses, _ = stage_losses(model.model, codes, draw, Conditions(), None)
        losses.mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def tested(run: Training, args: argparse.Namespace, windows: Tensor, device: torch.device) -> dict[str, Any]:
    """Scores of the estimates [2, S, P, L], with the base those of a noised point alone, and continuations; kept."""
    checkpoint = run.checkpoint(run.steps)
    about = {
        "seed": args.seed,
        "t": args.noise_levels,
        "steps": args.steps,
        "windows": digest(windows),
        "precision": pick_precision(device),
    }

    def test() -> dict[str, Any]:
        model = load_model(checkpoint, device=device)
        whose = {"scores": True} | ({"alone": False} if run.name == "base" else {})
        scores = {k: estimates.evaluate(model, windows, args.noise_levels, args.seed, net).tolist() for k, net in whose.items()}
        made = [
            {"sampler": sampler, "steps": steps, **continued(model, windows, steps, sampler, args.seed, args.generate_batch)}
            for sampler in _samplers(model)
            for steps in args.steps
        ]
        return {**scores, "made": made}

    return kept(checkpoint.with_suffix(".choices.json"), about, test)


def _samplers(model: SnacDiffusion) -> tuple[str, ...]:
    draws = model.model.objective.name == "rectified_flow" and model.model.network.config.head != "velocity"
    return (*SAMPLERS[model.model.objective.name], *([CODE_SAMPLER] if draws else []))


@torch.inference_mode()
def continued(model: SnacDiffusion, windows: Tensor, steps: int, sampler: str, seed: int, batch: int) -> dict[str, Any]:
    """Last chunks of windows [S, W, R, 3 T] made anew from what is before them: codes [S * W, R, T], and seconds a chunk."""
    network = model.model.network.config
    settings = resolve(Request(steps=steps, sampler=sampler), network, model.levels.names, model.model.objective.name)
    past = windows[..., : -network.chunk_frames].flatten(0, 1)
    made, seconds = [], []
    watch = timing.Stopwatch(model.device)
    for start in range(0, len(past), batch):
        context = past[start : start + batch].to(model.device)
        seeds = range(start, start + len(context))
        made.append(next(generate_chunks(model.model, Conditions(), seeds, settings, 1, context=context, progress=False)).cpu())
        lap = watch.lap()
        seconds.append((lap.cpu if lap.threads else lap.wall) / len(context))
    return {"codes": torch.cat(made).tolist(), "seconds": float(torch.tensor(seconds).median())}


if __name__ == "__main__":
    main()
