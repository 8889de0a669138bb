"""Train a SNAC codec on a folder of audio files; the shipped codec was made with this command.

    python -m snac_plugin train_codec --data FOLDER --out FOLDER --minutes 80

FOLDER of --out then holds config.json, model.safetensors and README.md: give it as "codec" in a model config.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from snac_plugin.codec.load import load_codec, read_config
from snac_plugin.codec.store import save_codec
from snac_plugin.codec_training.evaluation import CodecReport, evaluate
from snac_plugin.codec_training.plan import TINY_32KHZ, TrainingPlan
from snac_plugin.codec_training.recordings import Recordings, audio_files
from snac_plugin.codec_training.training import CodecTrainer, read_state
from snac_plugin.errors import ConfigError
from snac_plugin.levels import Levels


def parse(argv: list[str]) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser("train_codec")
    parser.add_argument("--data", type=Path, required=True, help="folder of audio files to train on")
    parser.add_argument("--held-out", type=Path, help="folder of audio files to measure on; by default every 20th of --data")
    parser.add_argument("--out", type=Path, required=True, help="folder for the codec and the training's state")
    parser.add_argument("--config", type=Path, help="a SNAC config.json; by default that of snac_tiny_32khz")
    parser.add_argument("--decoder-of", metavar="CODEC", help="train the decoder of this codec alone: its codes stay as they are")
    parser.add_argument("--resume", action="store_true", help="go on from the state in --out, by its plan but for what is given")
    parser.add_argument("--every", type=int, default=100, help="steps between rows of measurements (%(default)s)")
    parser.add_argument("--save-minutes", type=float, default=5.0, help="minutes between saves of state and codec (%(default)s)")
    # What is not typed must not be there: a resumed training keeps its own plan.
    plan = parser.add_argument_group("the plan", argument_default=argparse.SUPPRESS)
    plan.add_argument("--minutes", type=float, help="length of the training by the clock; wins over --steps")
    plan.add_argument("--steps", type=int, help=f"length of the training in steps ({TrainingPlan.steps})")
    plan.add_argument("--batch", type=int, help=f"crops a step ({TrainingPlan.batch})")
    plan.add_argument("--crop", type=int, help=f"samples of a crop ({TrainingPlan.crop})")
    plan.add_argument("--peak", type=float, help=f"highest learning rate ({TrainingPlan.peak})")
    words = "torch.compile: 1.7 times as fast, needs a C++ compiler (not by default)"
    plan.add_argument("--compile", action=argparse.BooleanOptionalAction, dest="compiled", help=words)
    plan.add_argument("--lines", type=float, help=f"weight against buzzing at the code rate ({TrainingPlan.lines})")
    plan.add_argument("--seed", type=int, help=f"of weights, crops and noise ({TrainingPlan.seed})")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Train, print a row of measurements every so often, save the codec and a card with what was measured."""
    args = parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_flush_denormal(True)  # numbers near 0 cost a CPU a hundred times as much as others
    state, changes = args.out / "state.pt", _changes(args)
    earlier = _earlier(args, state, changes)
    if earlier:
        config, plan = earlier["config"], replace(earlier["plan"], **changes)
    elif args.decoder_of and args.config:
        raise ConfigError("--config", args.config, "nothing beside --decoder-of, which names a codec with its config")
    elif args.decoder_of:
        codec = load_codec(args.decoder_of)
        config, plan = codec.config, TrainingPlan(**{"settle": 0.0, "starts": (), **changes})
    else:
        config, plan = read_config(args.config) if args.config else TINY_32KHZ, TrainingPlan(**changes)
    whole = Levels.from_snac_config(config).padded_samples(1)
    if plan.crop <= 0 or plan.crop % whole:
        raise ConfigError("--crop", plan.crop, f"a multiple of {whole}, which SNAC encodes without padding")
    train, held_out = _recordings(args, config["sampling_rate"], plan.crop)
    args.out.mkdir(parents=True, exist_ok=True)
    if earlier:
        trainer = CodecTrainer.resume(state, train, **changes)
    else:
        trainer = CodecTrainer(config, plan, train)
        if args.decoder_of:
            trainer.model.load_state_dict(codec.model.state_dict())
        print(f"at the start: {_words(evaluate(trainer.model, held_out))}", flush=True)
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


def _changes(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of the plan that were typed."""
    changes = {field.name: getattr(args, field.name) for field in fields(TrainingPlan) if hasattr(args, field.name)}
    if "steps" in changes and "minutes" not in changes:
        changes["minutes"] = None  # or an earlier --minutes would win over it
    return changes


def _earlier(args: argparse.Namespace, state: Path, changes: dict[str, Any]) -> dict[str, Any] | None:
    """The state to go on from, or None; says which arguments it makes useless and takes them out of `changes`."""
    if not args.resume:
        return None
    if not state.exists():
        print(f"--resume: there is no {state}; a new training begins", flush=True)
        return None
    ignored = ["--config"] if args.config else []
    ignored += ["--decoder-of"] if args.decoder_of else []
    if changes.pop("seed", None) is not None:
        ignored.append("--seed")
    if ignored:
        print(f"--resume: ignored {', '.join(ignored)}; {state} has its own", flush=True)
    return read_state(state)


def _recordings(args: argparse.Namespace, rate: int, crop: int) -> tuple[Recordings, Recordings]:
    files = audio_files(args.data)
    held = audio_files(args.held_out) if args.held_out else files[::20]
    train = files if args.held_out else [path for path in files if path not in held] or files
    return Recordings.load(train, rate, shortest=crop), Recordings.load(held, rate, shortest=4 * rate)


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
