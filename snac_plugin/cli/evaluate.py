"""Measure a model, a codec or a folder of generated audio on held-out songs: tables, a JSON file and one picture.

    python evaluate.py --ckpt-path runs/snac_dit/checkpoints/last.ckpt --data held_out --out evaluation
    python evaluate.py --generated my_wavs --data held_out
    python evaluate.py --codec snac_tiny_32khz --data held_out

Figures have a 95 % interval, bootstrapped over songs: give it eight or more.
Files that are no audio or too short are named and passed over.
results.json, results.md and results.png appear whole at the end, or not at all.
"""

import argparse
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snac_plugin.cli.arguments import (
    add_autoguidance,
    add_lora,
    add_options,
    check_at_least_one,
    check_before_loading,
    check_paths,
    model_at_once,
    request_from,
)
from snac_plugin.cli.command_parser import CommandParser
from snac_plugin.cli.memory import reuse_freed_memory
from snac_plugin.cli.stopping import as_by_ctrl_c, exit_status
from snac_plugin.errors import UsageError
from snac_plugin.files import check_folder
from snac_plugin.generation.request import SAMPLING, Request

SHIPPED = "snac_tiny_32khz"
OF_A_CHECKPOINT = ("model_config", "chunks", *SAMPLING, "prompt", "condition", "conditioning", "no_free", "lora", "autoguidance")


def parser() -> CommandParser:
    made = CommandParser("evaluate", description=__doc__)
    what = made.add_argument_group("what is measured (one of the three)")
    what.add_argument("--ckpt-path", "--ckpt", metavar="FILE", help="checkpoint, of training or unwrapped")
    what.add_argument("--generated", metavar="FOLDER", help="generated audio, compared with that of --data")
    words = f"codec, by shipped name, folder or hub id; beside --generated, whose encoder is used ({SHIPPED} by default)"
    what.add_argument("--codec", metavar="NAME", help=words)
    made.add_argument("--model-config", metavar="FILE", help="model config, for a checkpoint without one inside")
    made.add_argument("--device", metavar="NAME", help="cuda, cuda:1, mps or cpu; the best one here by default")
    made.add_argument("--data", required=True, metavar="FOLDER", help="held-out audio; a file is a song")
    made.add_argument("--out", default="evaluation", metavar="FOLDER", help="where to; evaluation by default")
    made.add_argument("--clips", type=int, default=32, metavar="N", help="most clips in all (%(default)s)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of clips, noise and bootstrap (%(default)s)")
    made.add_argument("--batch-size", type=int, default=8, metavar="N", help="clips at once (%(default)s)")
    model = made.add_argument_group("of a checkpoint")
    model.add_argument("--chunks", type=int, default=1, metavar="N", help="new chunks in a continuation (%(default)s)")
    add_options(model, *SAMPLING, "conditioning", conditioning="for all clips, over what the JSON beside each song says")
    add_lora(model)
    add_autoguidance(model)
    model.add_argument("--no-free", action="store_true", help="do not generate without context")
    other = made.add_argument_group("of a folder or a codec")
    other.add_argument("--seconds", type=float, metavar="S", help="length of a clip; 64 frames, 6.144 s at 32 kHz, by default")
    return made


def main(argv: Sequence[str]) -> int:
    """Measure, print the tables, and say where the files lie."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    _check(args)
    request = request_from(args, "chunks", *SAMPLING, "conditioning")
    if args.ckpt_path:
        _check_at_once(args, request)
    reuse_freed_memory()
    started = time.perf_counter()
    try:
        from snac_plugin.evaluation.report import write_report

        with as_by_ctrl_c():
            report, picture = _evaluate(args, request)
            files = write_report(report, picture, args.out)
    except KeyboardInterrupt as stopped:
        print("stopped; no file is half written")
        return exit_status(stopped)
    print(report.markdown())
    print("\n".join(["", *(f"{kind:8} {path}" for kind, path in zip(("figures", "tables", "picture"), files, strict=True))]))
    print(f"taken    {time.perf_counter() - started:.0f} s")
    return 0


def _check(args: argparse.Namespace) -> None:
    kinds = {"--ckpt-path": args.ckpt_path, "--generated": args.generated, "--codec": args.codec}
    named = {flag for flag, value in kinds.items() if value}
    if not named or (len(named) > 1 and named != {"--generated", "--codec"}):
        found = ", ".join(flag for flag in kinds if flag in named) or "none of them"
        raise UsageError("evaluate", found, "one of --ckpt-path, --generated and --codec", "A checkpoint names its codec itself.")
    for name in ("seconds",) if args.ckpt_path else OF_A_CHECKPOINT:  # a flag without effect is an error
        if getattr(args, name) != parser().get_default(name):
            where, beside = f"--{name.replace('_', '-')}", "--generated or --codec" if args.ckpt_path else "--ckpt-path"
            raise UsageError(where, getattr(args, name), f"no such flag without {beside}")
    check_at_least_one(args, "clips", "chunks", "batch_size")
    if args.seed < 0:
        raise UsageError("--seed", args.seed, "0 or more", "A measurement is to be repeatable.")
    if args.seconds is not None and args.seconds <= 0:
        raise UsageError("--seconds", args.seconds, "a length above 0")
    check_folder("--out", args.out)
    for flag, folder in (("--data", args.data), ("--generated", args.generated)):
        if folder is not None and not os.path.isdir(folder):
            raise UsageError(flag, f"{folder}, which is no folder", "a folder of audio files")
    check_paths(args)


def _check_at_once(args: argparse.Namespace, request: Request) -> None:
    """Request and songs against a model whose config can be read without torch; of others they are checked later."""
    from snac_plugin.evaluation.long_songs import check_long_songs, window_samples
    from snac_plugin.generation.settings import check_request

    if (found := model_at_once(args.ckpt_path, args.model_config)) is not None:
        config, levels = found
        check_request(request, config, levels.names, complete=False)
        check_long_songs(args.data, levels.sample_rate, window_samples(config.model.diffusion.config, levels, args.chunks))


def _evaluate(args: argparse.Namespace, request: Request) -> Any:
    from snac_plugin.checkpoints.reading import read_checkpoint
    from snac_plugin.codec.load import load_codec
    from snac_plugin.codec.pretransform import SnacPretransform
    from snac_plugin.device import pick_device
    from snac_plugin.evaluation.codec_report import evaluate_codec
    from snac_plugin.evaluation.folder_report import evaluate_folder
    from snac_plugin.evaluation.model_report import evaluate_model
    from snac_plugin.evaluation.options import Options
    from snac_plugin.plugin.loading import load_model

    same = {name: getattr(args, name) for name in ("clips", "seconds", "seed")}
    options = Options(**same, batch=args.batch_size, request=request, free=not args.no_free)
    device = pick_device(args.device)
    if args.ckpt_path:
        checkpoint = read_checkpoint(args.ckpt_path)
        check_before_loading(request, checkpoint, args.model_config, complete=False)  # the songs say what is left out
        model = load_model(checkpoint, args.model_config, device, args.lora or (), args.autoguidance)
        return evaluate_model(model, args.data, options, Path(args.ckpt_path).name)
    codec = load_codec(args.codec or SHIPPED)
    if args.generated:
        return evaluate_folder(args.generated, args.data, SnacPretransform(codec).to(device), options)
    return evaluate_codec(codec, args.data, options, device)
