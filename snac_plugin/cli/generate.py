"""Generate audio from a checkpoint: for each sample a wav, a picture of it and a JSON file with every setting.

    python generate.py --out output --seed 42
    python generate.py --ckpt runs/snac_dit/checkpoints/last.ckpt --out output --seed 42 --steps 48

The same seed and settings give the same file, bit for bit. A sample whose name is taken by one with other settings gets
a number behind it; nothing is overwritten but by itself.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snac_plugin.checkpoints.shipped import DEFAULT
from snac_plugin.cli.arguments import json_object, steps, with_prompt
from snac_plugin.cli.memory import reuse_freed_memory
from snac_plugin.errors import Mismatch


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser("generate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    model = made.add_argument_group("model")
    model.add_argument(
        "--ckpt", "--ckpt-path", default=DEFAULT, metavar="FILE", help=f"checkpoint, of training or unwrapped; {DEFAULT} ships here"
    )
    model.add_argument("--model-config", metavar="FILE", help="model config, for a checkpoint without one inside")
    model.add_argument("--device", metavar="NAME", help="cuda, cuda:1, mps or cpu; the best one here by default")
    what = made.add_argument_group("what is generated")
    what.add_argument("--out", default="output", metavar="FOLDER", help="where to; output by default")
    what.add_argument("--seed", type=int, default=-1, metavar="N", help="of the first sample, then counting up; random by default")
    what.add_argument("--num", type=int, metavar="N", help="samples in all; the batch size by default")
    what.add_argument("--batch-size", type=int, metavar="N", help="samples generated at once; 1 by default")
    what.add_argument("--continue", dest="recording", metavar="FILE", help="recording that each sample begins with and continues")
    length = what.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, metavar="S", help="length of the new audio; one chunk by default")
    length.add_argument("--chunks", type=int, metavar="N", help="length in chunks of the model")
    what.add_argument("--prompt", metavar="TEXT", help='short for --conditioning \'{"prompt": "TEXT"}\'')
    what.add_argument("--conditioning", type=json_object, metavar="JSON", help="what the model's conditioners read")
    what.add_argument("--negative-conditioning", type=json_object, metavar="JSON", help="what guidance leads away from")
    how = made.add_argument_group("how (the model config's values by default)")
    how.add_argument("--steps", type=steps, metavar="N", help="denoising steps of a chunk: 48 in all, or A=6,B=8,C=10,D=24")
    how.add_argument("--sampler", metavar="NAME", help="stable-audio-tools' name of the sampler, or pingpong-codes")
    how.add_argument("--temperature", type=float, metavar="X", help="below 1 pingpong-codes draws likely codes more often")
    how.add_argument("--cfg-scale", type=float, metavar="X", help="classifier-free guidance; 1 is none")
    how.add_argument("--cfg-rescale", type=float, metavar="X", help="0 to 1: keeps guidance from raising the variance")
    how.add_argument("--cfg-interval", type=float, nargs=2, metavar=("LOW", "HIGH"), help="noise levels between which it acts")
    return made


def main(argv: Sequence[str]) -> int:
    """Generate, write, and say where the files lie."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    reuse_freed_memory()
    from snac_plugin.generation.snac_diffusion import sample_seeds
    from snac_plugin.output.samples import Recording, make_samples  # only now: --help must not wait for torch

    for flag, value in (("--num", args.num), ("--batch-size", args.batch_size)):
        if value is not None and value < 1:
            raise Mismatch(flag, value, "1 or more")
    count = args.num or args.batch_size or 1
    seed = sample_seeds(args.seed, 1)[0]
    model, request = _load(args), _request(args)
    recording = None if args.recording is None else Recording.read(args.recording, model)
    print(f"seed {seed}" if count == 1 else f"seeds {seed} to {seed + count - 1}", flush=True)
    started, seconds, heard_after = time.perf_counter(), 0.0, 0.0
    try:
        samples = make_samples(
            model,
            request,
            args.out,
            seed=seed,
            count=count,
            batch_size=args.batch_size or 1,
            recording=recording,
            checkpoint=str(args.ckpt),
        )
        for sample in samples:
            seconds += sample.seconds
            heard_after = heard_after or sample.heard_after
            print(f"wav      {sample.files.wav}\npicture  {sample.files.picture}\nsettings {sample.files.json}", flush=True)
    except KeyboardInterrupt:
        print("stopped; what was finished stays in", Path(args.out))
        return 130
    taken = time.perf_counter() - started
    speed = f"{seconds:.2f} s of new audio in {taken:.2f} s on {model.device}: {seconds / taken:.2g} times real time"
    print(f"{speed}, the first of it after {heard_after:.2f} s")
    return 0


def _load(args: argparse.Namespace) -> Any:
    from snac_plugin.device import pick_device
    from snac_plugin.plugin.loading import load_model

    return load_model(args.ckpt, args.model_config, pick_device(args.device))


def _request(args: argparse.Namespace) -> Any:
    from snac_plugin.output.samples import Request

    return Request(
        seconds=args.seconds,
        chunks=args.chunks,
        steps=args.steps,
        sampler=args.sampler,
        temperature=args.temperature,
        cfg_scale=args.cfg_scale,
        cfg_rescale=args.cfg_rescale,
        cfg_interval=None if args.cfg_interval is None else tuple(args.cfg_interval),
        conditioning=with_prompt(args.conditioning, args.prompt),
        negative_conditioning=args.negative_conditioning,
    )
