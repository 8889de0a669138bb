"""Small trainings by `train.py`'s own trainer, for benchmarks that compare settings."""

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from snac_plugin.cli.train import train
from snac_plugin.cli.train_flags import parse
from snac_plugin.config import load_json
from snac_plugin.device import pick_device, pick_precision
from snac_plugin.files import read_json_object, write_whole
from snac_plugin.levels import Levels

CONFIG = Path(__file__).resolve().parents[1] / "model_configs" / "snac_dit.json"
CONTEXT_CHUNKS = 2
CHUNKS = CONTEXT_CHUNKS + 1
PARTS = 8  # of a training; each ends with a checkpoint


@dataclass(frozen=True)
class Training:
    """One of the trainings that are compared.

    Args:
        name: what it is called.
        config: its model config.
        steps: of the whole training.
        folder: of its run.
    """

    name: str
    config: dict[str, Any]
    steps: int
    folder: Path

    def checkpoint(self, step: int) -> Path:
        return self.folder / "checkpoints" / f"step={step:08d}.ckpt"


def add_arguments(parser: argparse.ArgumentParser, *, batch_size: int, heads: int, chunk_frames: int) -> None:
    """Arguments on the data and the size of a small training, with defaults."""
    parser.add_argument("--model-config", type=Path, default=CONFIG, help="what codec and network are taken from")
    parser.add_argument("--codes", type=Path, metavar="FOLDER", help="codes to train on, in place of demo music")
    parser.add_argument("--songs", type=int, default=64, help="songs of demo music to train on")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each")
    parser.add_argument("--batch-size", type=int, default=batch_size, help="windows in a batch")
    parser.add_argument("--dim", type=int, default=128, help="width of the network")
    parser.add_argument("--depth", type=int, default=4, help="blocks")
    parser.add_argument("--heads", type=int, default=heads, help="attention heads")
    parser.add_argument("--chunk-frames", type=int, default=chunk_frames, help="frames of a chunk; 32 are 3.072 s")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="constant learning rate")


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


def training(benchmark: str, name: str, config: dict[str, Any], steps: int, args: argparse.Namespace, codes: Path) -> Training:
    """A training in a folder named by its settings and the precision it runs in, under the benchmark's."""
    precision = pick_precision(pick_device(args.device))
    about = [config, steps, args.batch_size, args.seed, str(codes), precision]
    return Training(name, config, steps, args.out / benchmark / f"{name.replace(' ', '_')}_{tag(about)}")


def tag(about: Sequence[Any]) -> str:
    """A short name of settings, for folders."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]


def run_training(
    training: Training, args: argparse.Namespace, dataset: Path, clock: Callable[[], float] = time.perf_counter, keep: int = -1
) -> float | None:
    """Train, or go on from where an earlier call was stopped; keeps so many checkpoints (-1: all).

    Returns its minutes by `clock`, those of earlier calls with them; None if one of these was killed, so that nobody counted.
    """
    note = training.folder / "minutes.json"
    if finished(training):
        return json.loads(note.read_text())
    training.folder.mkdir(parents=True, exist_ok=True)
    begun = any(training.folder.glob("checkpoints/*.ckpt"))
    before = json.loads(note.read_text()) if begun and note.is_file() else None if begun else 0.0
    write_whole(note, "null")
    path = training.folder / "model.json"
    path.write_text(json.dumps(training.config, indent=1))
    defaults = training.folder / "no_defaults.ini"  # or one in the current folder would be read
    defaults.touch()
    flags = {
        "config-file": defaults,
        "model-config": path,
        "dataset-config": dataset,
        "save-dir": training.folder,
        "batch-size": args.batch_size,
        "max-steps": training.steps,
        "checkpoint-every": max(1, training.steps // PARTS),
        "save-top-k": keep,
        "accelerator": "cpu" if args.device == "cpu" else "auto",
        "seed": args.seed,
        "recover": "true",
    }
    started = clock()
    train(parse([word for name, value in flags.items() for word in (f"--{name}", str(value))]))
    minutes = None if before is None else before + (clock() - started) / 60
    write_whole(note, json.dumps(minutes))
    if not training.checkpoint(training.steps).is_file():
        raise SystemExit(f"{training.name}: stopped before step {training.steps}; the same command goes on from there.")
    return minutes


def finished(training: Training) -> bool:
    """Whether it came to its last step."""
    return training.checkpoint(training.steps).is_file() and (training.folder / "minutes.json").is_file()


def kept(path: Path, about: Mapping[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `make` gives, from a JSON file that an earlier call wrote about the same, or made now and written."""
    if (found := found_in(path, about)) is not None:
        return found
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps({"of": _key(about), "found": made}))
    return made


def found_in(path: Path, about: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `kept` wrote about the same, if it did."""
    written = read_json_object(path)
    return written["found"] if written is not None and written.get("of") == _key(about) else None


def _key(about: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(about, default=str))


def digest(windows: Tensor) -> str:
    """Which windows of codes these are."""
    return hashlib.sha256(windows.contiguous().numpy().tobytes()).hexdigest()
