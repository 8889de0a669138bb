"""Generate audio from a checkpoint: for each sample a wav, a picture of it and a JSON file with every setting.

    python generate.py --out output --seed 42
    python generate.py --ckpt runs/snac_dit/checkpoints/last.ckpt --out output --seed 42 --steps 48

The same seed and settings give the same file, bit for bit. A sample whose name is taken by one with other settings gets
a number behind it; nothing is overwritten but by itself.
"""

import argparse
import itertools
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snac_plugin.checkpoints.shipped import DEFAULT
from snac_plugin.cli.arguments import (
    add_autoguidance,
    add_lora,
    add_options,
    check_at_least_one,
    check_at_once,
    check_before_loading,
    check_paths,
    options_from,
)
from snac_plugin.cli.command_parser import CommandParser
from snac_plugin.cli.earlier_settings import earlier_options, other_recordings, settings_in
from snac_plugin.cli.memory import reuse_freed_memory
from snac_plugin.cli.stopping import as_by_ctrl_c, exit_status
from snac_plugin.errors import AudioError, UsageError
from snac_plugin.files import check_folder
from snac_plugin.generation.batch import PER_SAMPLE, sample_seeds, with_conditions
from snac_plugin.generation.option_rules import LENGTHS, check_recording
from snac_plugin.generation.prompts import Job, read_prompts
from snac_plugin.generation.request import (
    EDITING,
    SAMPLING,
    WRITING,
    Request,
)
from snac_plugin.generation.times import check_ends, samples_until, spans_of


def parser() -> CommandParser:
    made = CommandParser("generate", description=__doc__)
    model = made.add_argument_group("model")
    shipped = f"checkpoint, of training or unwrapped; {DEFAULT} ships here"
    model.add_argument("--ckpt", "--ckpt-path", default=DEFAULT, metavar="FILE", help=shipped)
    model.add_argument("--model-config", metavar="FILE", help="model config, for a checkpoint without one inside")
    add_lora(model)
    model.add_argument("--device", metavar="NAME", help="cuda, cuda:1, mps or cpu; the best one here by default")
    what = made.add_argument_group("what is generated")
    what.add_argument("--out", default="output", metavar="FOLDER", help="where to; output by default")
    what.add_argument("--seed", type=int, default=-1, metavar="N", help="of the first sample, then counting up; random by default")
    what.add_argument("--num", type=int, metavar="N", help="samples in all; the batch size by default")
    what.add_argument("--batch-size", type=int, metavar="N", help="samples generated at once; 1 by default")
    what.add_argument("--continue", dest="context", metavar="FILE", help="recording that each sample begins with and continues")
    add_options(what.add_mutually_exclusive_group(), "seconds", "chunks")
    add_options(what, "conditioning", "negative_conditioning", *WRITING)
    many = "file with a JSON object a line: options by their Python names, seed, context; over the flags; what is there is skipped"
    what.add_argument("--prompts", metavar="FILE", help=many)
    what.add_argument("--settings", metavar="FILE", help="JSON file of an earlier sample: what no flag says is as there")
    add_options(made.add_argument_group("recordings that are changed, led into, bridged or looped"), *EDITING)
    add_options(made.add_argument_group("how (the model config's values by default)"), *SAMPLING)
    add_autoguidance(model)
    return made


def main(argv: Sequence[str]) -> int:
    """Generate, write, and say where the files lie."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    prompts = _prompts(args)
    count = args.num or args.batch_size or 1
    for prompt in prompts:
        with prompt.named():
            _check(args, prompt)
    check_paths(args)
    check = check_at_once(args.ckpt, args.model_config)
    for prompt in prompts:
        with prompt.named():
            check(prompt.request)
    reuse_freed_memory()
    from snac_plugin.output.make_samples import make_samples  # only now: wrong flags and paths must not wait for torch

    if overlapping := _overlapping(count, prompts):
        logging.warning("%s", overlapping)
    model, recordings = _load(args, prompts)
    print(_seeds(args, count, prompts), flush=True)
    started, seconds, first_audio_after = time.perf_counter(), 0.0, 0.0
    options: Any = {"count": count, "batch_size": args.batch_size or 1, "checkpoint": str(args.ckpt), "skip": bool(args.prompts)}
    try:
        with as_by_ctrl_c():
            for prompt, recording in zip(prompts, recordings, strict=True):
                with prompt.named():
                    for sample in make_samples(model, prompt.request, args.out, recording=recording, seed=prompt.seed, **options):
                        seconds += sample.seconds
                        first_audio_after = first_audio_after or sample.first_audio_after
                        _say_where(sample)
    except KeyboardInterrupt as stopped:
        print("stopped; what was finished stays in", Path(args.out))
        return exit_status(stopped)
    if not seconds:
        return 0  # all samples were there: of nothing there is no speed
    taken = time.perf_counter() - started
    speed = f"{seconds:.2f} s of new audio in {taken:.2f} s on {model.device}: {seconds / taken:.2g} times real time"
    print(f"{speed}, the first of it after {first_audio_after:.2f} s")
    return 0


def _seeds(args: argparse.Namespace, count: int, prompts: Sequence[Job]) -> str:
    """Which seeds are used, so that the same samples can be made again."""
    if args.prompts is None:
        return f"seed {args.seed}" if count == 1 else f"seeds {args.seed} to {args.seed + count - 1}"
    again = f"--seed {args.seed} makes the same again, or skips what is there"
    return f"prompts: {len(prompts)}; where a line names no seed, they count up from {args.seed}: {again}"


def _overlapping(count: int, prompts: Sequence[Job]) -> str:
    """What to say of lines that use the same seeds, since each makes several samples."""
    seeds = sorted({prompt.seed for prompt in prompts})
    pair = next((pair for pair in itertools.pairwise(seeds) if pair[1] - pair[0] < count), None)
    if pair is None:
        return ""
    shared = " and ".join(f"{seed} to {seed + count - 1}" for seed in pair)
    apart = f"Name a seed in each line, {count} or more apart, for noise of its own in each sample."
    return f"Lines use the same seeds, since each makes {count} samples: {shared}. {apart}"


def _say_where(sample: Any) -> None:
    """Print the names of a sample's files."""
    if sample.skipped:
        print(f"skipped  {sample.files.wav}: it is there, with these settings", flush=True)
        return
    names = (sample.files.wav.suffix[1:], "picture", "settings")
    print(*(f"{name:8} {file}" for name, file in zip(names, sample.files, strict=True)), sep="\n", flush=True)


def _prompts(args: argparse.Namespace) -> list[Job]:
    """What the flags ask for: one prompt, or those of a file, over what the flags say; `args.seed` is the one used from now on."""
    settings = settings_in(args)
    earlier, options = earlier_options(args, settings), options_from(args)
    single = [name for name in PER_SAMPLE if name in options and getattr(args, name) is None]  # flags name some, not all as JSON
    options |= {name: with_conditions(earlier.get(name), options[name]) for name in single}
    if any(name in options for name in LENGTHS):
        earlier.pop("seconds", None)
    before = earlier.pop("seed", -1)
    args.seed = sample_seeds(before if args.seed == -1 else args.seed, 1)[0]
    for file in other_recordings(settings, earlier | options, args.context):
        told = "%s is of another recording than %s: its settings are used, but the same sample does not come again."
        logging.warning(told, args.settings, file)
    if args.prompts is None:
        return [Job(Request(**earlier | options), args.seed, args.context)]
    recording = {} if args.context is None else {"context": args.context}
    return read_prompts(args.prompts, earlier | options | recording | {"seed": args.seed})


def _check(args: argparse.Namespace, prompt: Job) -> None:
    """What can be checked without a model, besides the request."""
    check_at_least_one(args, "num", "batch_size")
    request, recording = prompt.request, prompt.context
    check_recording(request, recording is not None)
    headers = [_header(file) for file in (recording, *request.recordings) if file is not None]
    if request.from_second is not None:
        samples_until(request.from_second, headers[0].rate, headers[0].samples)
    if request.repaint is not None:
        spans_of(request.repaint, headers[0].rate, headers[0].samples)
    if request.bridge is not None:
        check_ends([(one.rate, one.channels) for one in headers])
    check_folder("--out", args.out)


def _header(file: Any) -> Any:
    """What the header of a recording says; it takes no torch."""
    if not isinstance(file, str):  # in a file of prompts or settings
        raise UsageError("recording", repr(file), "the name of an audio file")
    if not os.path.isfile(file):
        from snac_plugin.config.dataset_config import AUDIO_ENDINGS

        found = "a folder" if os.path.isdir(file) else "no such file"
        raise AudioError(file, found, f"an audio file: {', '.join(AUDIO_ENDINGS)}")
    from snac_plugin.data.audio_file import audio_header

    return audio_header(file, counted=False)


def _load(args: argparse.Namespace, prompts: Sequence[Job]) -> tuple[Any, list[Any]]:
    """The model, and of each prompt the recording to continue; all requests are checked before the model is built."""
    from snac_plugin.checkpoints.reading import read_checkpoint
    from snac_plugin.device import pick_device
    from snac_plugin.output.make_samples import Recording
    from snac_plugin.plugin.loading import load_model

    device, checkpoint, recordings = pick_device(args.device), read_checkpoint(args.ckpt), []
    for prompt in prompts:
        with prompt.named():
            levels = check_before_loading(prompt.request, checkpoint, args.model_config)
            recordings.append(None if prompt.context is None else Recording.read(prompt.context, levels))
            for file in prompt.request.recordings:  # each is checked, and read again when its turn comes
                Recording.read(file, levels)
    return load_model(checkpoint, args.model_config, device, args.lora or (), args.autoguidance), recordings
