"""The two trainings that `context.py` compares, by `train.py`'s own trainer: with a curriculum, with full context at once."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snac_plugin.cli.train import train
from snac_plugin.cli.train_flags import parse
from snac_plugin.config import check_model_config, load_json
from snac_plugin.levels import Levels
from snac_plugin.training.curriculum import curriculum_from_config

CONTEXT_CHUNKS = 2
CHUNKS = CONTEXT_CHUNKS + 1
PARTS = 8  # of a training: the first two phases take one each
PHASES = {
    "no context": (1, {"context": {"0": 1.0}, "level_weights": {"A": 0.25}}),
    "one chunk": (1, {"context": {"0": 0.2, "1": 0.8}}),
    "two chunks": (6, {"context": {"0": 0.1, "1": 0.2, "2": 0.7}}),
}


@dataclass(frozen=True)
class Training:
    """One of the trainings that are compared.

    Args:
        name: what it is called.
        config: its model config.
        folder: of its run.
    """

    name: str
    config: dict[str, Any]
    folder: Path

    def checkpoint(self, step: int) -> Path:
        return self.folder / "checkpoints" / f"step={step:08d}.ckpt"


def model_config(args: argparse.Namespace, levels: Levels, curriculum: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """The config of the small model, with a curriculum or without."""
    raw = load_json(args.model_config)
    raw["sample_size"] = CHUNKS * args.chunk_frames * levels.frame_samples
    size = {"dim": args.dim, "depth": args.depth, "num_heads": args.heads, "chunk_frames": args.chunk_frames}
    raw["model"]["diffusion"]["config"] |= size | {"context_chunks": CONTEXT_CHUNKS}
    optimizer = {"type": "AdamW", "config": {"lr": args.learning_rate, "betas": [0.9, 0.99], "weight_decay": 0.01}}
    raw["training"] = {
        "use_ema": True,
        "corruption": 0.02,
        "optimizer_configs": {"diffusion": {"optimizer": optimizer}},
        "demo": {"demo_every": 10**9, "demo_steps": len(levels), "num_demos": 1},
    }
    if curriculum is not None:
        raw["training"]["curriculum"] = list(curriculum)
    return raw


def curriculum(steps: int) -> list[dict[str, Any]]:
    """The phases of a training of so many steps."""
    lengths = [steps * parts // PARTS for parts, _ in PHASES.values()]
    ends = [*lengths[:-1], None]
    return [{"name": name, "steps": end, **keys} for (name, (_, keys)), end in zip(PHASES.items(), ends, strict=True)]


def phase_ends(steps: int) -> list[int]:
    """The global step at the end of each phase."""
    parts = [sum(parts for parts, _ in list(PHASES.values())[: i + 1]) for i in range(len(PHASES))]
    return [steps * part // PARTS for part in parts]


def supervised_codes(config: Mapping[str, Any], levels: Levels, batch_size: int, steps: int) -> int:
    """Codes whose loss counted in the first steps of a training."""
    checked = check_model_config(dict(config))
    assert checked.training is not None
    phases = curriculum_from_config(checked.training, levels.names, CONTEXT_CHUNKS)
    frames = batch_size * CHUNKS * checked.model.diffusion.config.chunk_frames
    trained = [sum(n for n, w in zip(levels.per_frame, p.level_weights, strict=True) if w) for p in map(phases.at, range(steps))]
    return frames * sum(trained)


def run_training(training: Training, args: argparse.Namespace, dataset: Path) -> float | None:
    """Train, or go on from where an earlier call was stopped; returns its minutes, None if they were not all measured."""
    note = training.folder / "minutes.json"
    if training.checkpoint(args.steps).is_file() and note.is_file():
        return json.loads(note.read_text())
    training.folder.mkdir(parents=True, exist_ok=True)
    path = training.folder / "model.json"
    path.write_text(json.dumps(training.config, indent=1))
    begun = any(training.folder.glob("checkpoints/*.ckpt"))
    flags = {
        "config-file": training.folder / "no_defaults.ini",
        "model-config": path,
        "dataset-config": dataset,
        "save-dir": training.folder,
        "batch-size": args.batch_size,
        "max-steps": args.steps,
        "checkpoint-every": args.steps // PARTS,
        "save-top-k": -1,
        "accelerator": "cpu" if args.device == "cpu" else "auto",
        "seed": args.seed,
        "recover": "true",
    }
    started = time.perf_counter()
    train(parse([word for name, value in flags.items() for word in (f"--{name}", str(value))]))
    minutes = None if begun else (time.perf_counter() - started) / 60
    note.write_text(json.dumps(minutes))
    for checkpoint in training.folder.glob("checkpoints/step=*.ckpt"):
        if checkpoint not in map(training.checkpoint, phase_ends(args.steps)):
            checkpoint.unlink()
    return minutes


def trainings(args: argparse.Namespace, levels: Levels, codes: Path) -> list[Training]:
    """Both trainings, in folders named by their settings."""
    made = []
    for name, phases in (("curriculum", curriculum(args.steps)), ("full context", None)):
        config = model_config(args, levels, phases)
        about = json.dumps([config, args.steps, args.batch_size, args.seed, str(codes)], sort_keys=True)
        tag = hashlib.sha256(about.encode()).hexdigest()[:8]
        made.append(Training(name, config, args.out / "context" / f"{name.replace(' ', '_')}_{tag}"))
    return made
