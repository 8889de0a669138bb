"""Train a SNAC codec on a folder of audio files; the shipped codec was made with this command.

    python -m snac_plugin train_codec --data FOLDER --out FOLDER --minutes 80

FOLDER of --out then holds config.json, model.safetensors and README.md: give it as "codec" in a model config.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import torch

from snac_plugin.codec.evaluation import CodecReport, evaluate
from snac_plugin.codec.load import read_config
from snac_plugin.codec.plan import TINY_32KHZ, TrainingPlan
from snac_plugin.codec.recordings import Recordings, audio_files
from snac_plugin.codec.store import save_codec
from snac_plugin.codec.training import CodecTrainer
from snac_plugin.errors import ConfigError
from snac_plugin.levels import Levels


def parse(argv: list[str]) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser("train_codec", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of audio files to train on")
    parser.add_argument("--held-out", type=Path, help="folder of audio files to measure on; by default every 20th of --data")
    parser.add_argument("--out", type=Path, required=True, help="folder for the codec and the training's state")
    parser.add_argument("--config", type=Path, help="a SNAC config.json; by default that of snac_tiny_32khz")
    parser.add_argument("--minutes", type=float, help="length of the training by the clock; wins over --steps")
    parser.add_argument("--steps", type=int, default=TrainingPlan.steps, help="length of the training in steps")
    parser.add_argument("--batch", type=int, default=TrainingPlan.batch, help="crops a step")
    parser.add_argument("--crop", type=int, default=TrainingPlan.crop, help="samples of a crop")
    parser.add_argument("--peak", type=float, default=TrainingPlan.peak, help="highest learning rate")
    parser.add_argument("--compile", action="store_true", help="torch.compile: 1.7 times as fast, needs a C++ compiler")
    parser.add_argument("--resume", action="store_true", help="go on from the state in --out")
    parser.add_argument("--seed", type=int, default=0, help="of weights, crops and noise")
    parser.add_argument("--every", type=int, default=100, help="steps between rows of measurements")
    parser.add_argument("--save-minutes", type=float, default=5.0, help="minutes between saves of state and codec")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Train, print a row of measurements every so often, save the codec and a card with what was measured."""
    args = parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_flush_denormal(True)  # numbers near 0 cost a CPU a hundred times as much as others
    config = read_config(args.config) if args.config else TINY_32KHZ
    whole = Levels.from_snac_config(config).padded_samples(1)
    if args.crop <= 0 or args.crop % whole:
        raise ConfigError("--crop", args.crop, f"a multiple of {whole}, which SNAC encodes without padding")
    train, held_out = _recordings(args, config["sampling_rate"])
    args.out.mkdir(parents=True, exist_ok=True)
    state = args.out / "state.pt"
    length = {"minutes": args.minutes, "steps": args.steps}
    if args.resume and state.exists():
        trainer = CodecTrainer.resume(state, train, **length, compiled=args.compile)
    else:
        plan = TrainingPlan(**length, batch=args.batch, crop=args.crop, peak=args.peak, compiled=args.compile, seed=args.seed)
        trainer = CodecTrainer(config, plan, train)
        print(f"untrained: {_words(evaluate(trainer.model, held_out))}", flush=True)
    saved = trainer.seconds
    try:
        for row in trainer.rows(args.every):
            print("  ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)
            if trainer.seconds - saved > 60 * args.save_minutes:
                saved = trainer.seconds
                _save(args.out, trainer, held_out)
    except KeyboardInterrupt:
        print("stopped; the state is saved, go on with --resume")
    _save(args.out, trainer, held_out)
    return 0


def _recordings(args: argparse.Namespace, rate: int) -> tuple[Recordings, Recordings]:
    files = audio_files(args.data)
    held = audio_files(args.held_out) if args.held_out else files[::20]
    train = files if args.held_out else [path for path in files if path not in held] or files
    return Recordings.load(train, rate, shortest=args.crop), Recordings.load(held, rate, shortest=4 * rate)


def _save(folder: Path, trainer: CodecTrainer, held_out: Recordings) -> None:
    report = evaluate(trainer.model, held_out)
    trainer.save(folder / "state.pt")
    save_codec(folder, trainer.model, trainer.config, _card(folder.name, trainer, report))
    print(f"saved: {_words(report)}", flush=True)


def _words(report: CodecReport) -> str:
    codes = ", ".join(f"{n}/{p:.0f}" for n, p in zip(report.codes, report.perplexity, strict=True))
    return f"log-mel distance {report.log_mel_db:.2f} dB, codes used/perplexity per level {codes}"


def _card(name: str, trainer: CodecTrainer, report: CodecReport) -> str:
    """The README.md that lies beside the weights."""
    plan: dict[str, Any] = dict(vars(trainer.plan))
    weights = sum(p.numel() for p in trainer.model.parameters())
    rows = zip("ABCDEFGH", report.codes, report.perplexity, report.counted, strict=False)
    table = "\n".join(f"| {level} | {codes:,} | {perplexity:,.0f} | {count:,} |" for level, codes, perplexity, count in rows)
    return f"""# {name}

A SNAC codec ([hubertsiuzdak/snac](https://github.com/hubertsiuzdak/snac), its own class and format) with {weights:,} weights.

Trained by `python -m snac_plugin train_codec` for {trainer.step:,} steps ({trainer.seconds / 60:.0f} minutes) on
{trainer.recordings.seconds / 60:.0f} minutes of audio. Plan: {", ".join(f"{key} {value}" for key, value in plan.items())}.

On held-out recordings the log-mel distance (80 bands, window 1,024) of a round trip is {report.log_mel_db:.2f} dB.

| level | codes used | perplexity | codes counted |
|---|---|---|---|
{table}
"""
