"""Encode folders of audio once, whole tracks as integer codes, so that training need not run the codec.

    python pre_encode.py --model-config model_configs/snac_dit.json --dataset-config dataset_configs/local_folder.json \\
        --output-path encoded
    python train.py --model-config model_configs/snac_dit.json --dataset-config encoded/dataset_config.json

A run that was stopped goes on where it was; later runs encode what is new or has changed. Flags are stable-audio-tools'
where it has them. The random inversion of polarity, which stable-audio-tools' audio loader adds, is not in codes.
"""

import argparse
import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from multiprocessing import current_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snac_plugin.checkpoints.config_inside import config_at_once
from snac_plugin.checkpoints.shipped import DEFAULT
from snac_plugin.cli import demo_songs
from snac_plugin.cli.command_parser import CommandParser
from snac_plugin.cli.run_lock import PRE_ENCODING, locked
from snac_plugin.cli.stopping import as_by_ctrl_c, exit_status
from snac_plugin.codec import places as codecs
from snac_plugin.data.codes_details import check_output
from snac_plugin.errors import UsageError
from snac_plugin.files import check_folder

if TYPE_CHECKING:
    from snac_plugin.codec.pretransform import SnacPretransform

# Flags of stable-audio-tools' script that this one has no use for, and why.
FOREIGN_FLAGS = {
    "--ckpt-path": "The model config names the codec, with its weights: model.pretransform.config.codec.",
    "--batch-size": "Whole tracks are encoded one by one.",
    "--num-nodes": "Several machines encode as workers of a Dask cluster: --cluster.",
    "--strategy": "Several processes encode with --processes, several machines with --cluster.",
    "--limit-batches": "Name a folder with fewer files.",
    "--shuffle": "All tracks are encoded once, in any order.",
}

TO_MEND = "Correct the JSON file beside it, or the conditioner in the model config."


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags; UsageError for one of stable-audio-tools' that is not used here."""
    made = parser()
    args, rest = made.parse_known_args(argv)
    for flag in (word.partition("=")[0] for word in rest):
        if flag in FOREIGN_FLAGS:
            raise UsageError(flag, "a flag of stable-audio-tools' script", "it left out", FOREIGN_FLAGS[flag])
    if rest:
        made.error(f"unrecognized arguments: {' '.join(rest)}")
    return args


def parser() -> CommandParser:
    made = CommandParser("pre_encode", description=__doc__)
    made.add_argument("--model-config", required=True, metavar="FILE", help="model config: names the codec and the window")
    made.add_argument("--dataset-config", metavar="FILE", help="audio_dir dataset config; without one, demo music is rendered")
    made.add_argument("--output-path", required=True, metavar="FOLDER", help="folder for the codes; made if need be")
    made.add_argument("--sample-size", type=int, metavar="N", help="audio samples in a crop; the model config's by default")
    made.add_argument("--model-half", action="store_true", help="run the codec's encoder in half precision")
    made.add_argument("--is-discrete", action="store_true", help="no effect: codes are always what is saved")
    made.add_argument("--num-workers", type=int, metavar="N", help="threads that read ahead; by default 4 on a GPU, 0 on the CPU")
    made.add_argument("--device", metavar="NAME", help="cuda, cuda:1, mps or cpu; the best one here by default")
    made.add_argument("--overwrite", action="store_true", help="encode everything again, to take over changed metadata")
    text = "pack tracks into tar files of so many megabytes, for WebDataset and collections of many files (%(const)s)"
    made.add_argument("--shards", type=float, nargs="?", const=256.0, metavar="MB", help=text)
    text = "encode each track N times, from N places inside its first frame: more codes of the same music (%(default)s)"
    made.add_argument("--offsets", type=int, default=1, metavar="N", help=text)
    text = "encode in N processes of this machine, on its GPUs in turn; the codes are the same"
    made.add_argument("--processes", type=int, metavar="N", help=text)
    text = "encode on the workers of this Dask scheduler, tcp://HOST:8786 say; the codes are the same"
    made.add_argument("--cluster", metavar="ADDRESS", help=text)
    demo_songs.add_arguments(made)
    return made


def main(argv: Sequence[str]) -> int:
    """Encode, and say how to train on the codes."""
    args = parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    _check_others(args)
    check_output("--output-path", Path(args.output_path))
    try:
        with as_by_ctrl_c(), locked(Path(args.output_path), PRE_ENCODING):
            config = str(run(args))
    except KeyboardInterrupt as stopped:
        print(f"stopped; what was encoded stays in {args.output_path}, and the same command goes on from there")
        return exit_status(stopped)
    train = ["python", "train.py", "--model-config", args.model_config, "--dataset-config", config]
    adapters, base = _fine_tunes(args.model_config)
    train += ["--pretrained-ckpt-path", base or "CHECKPOINT"] if adapters else []
    print(f"dataset config: {config}\ntrain with: {shlex.join(train)}")
    if base and not adapters:
        print(f"or, to fine-tune {base}, with --pretrained-ckpt-path {base} beside it")
    return 0


def _check_others(args: argparse.Namespace) -> None:
    """What several processes and machines must not be asked for. UsageError: they were."""
    if args.processes is not None and args.cluster:
        raise UsageError("--processes", f"{args.processes} and --cluster", "one of both", "Workers of a cluster are its own.")
    if args.processes is not None and args.processes < 1:
        raise UsageError("--processes", args.processes, "at least 1")
    ranks = {name: int(value) for name in ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS") if (value := os.environ.get(name, "")).isdigit()}
    if name := next((name for name, count in ranks.items() if count > 1), None):
        advice = "Use --processes on one machine; on several, start dask workers as those tasks, and this command once: --cluster."
        raise UsageError("the launcher", f"{ranks[name]} tasks ({name})", "one: it writes what all encode", advice)


def codec_on(section: Mapping[str, Any], sample_rate: int, half: bool, device: str | None) -> "SnacPretransform":
    """The codec of a model config, on a device: here, or in a worker, which takes the GPU of its number."""
    import torch

    from snac_plugin.cli.memory import reuse_freed_memory
    from snac_plugin.device import pick_device
    from snac_plugin.plugin import builders

    reuse_freed_memory()
    number = (current_process()._identity or (1,))[0] - 1
    gpus = torch.cuda.device_count() if device in (None, "cuda") else 0
    codec = builders.pretransform(section, sample_rate).to(pick_device(f"cuda:{number % gpus}" if gpus > 1 else device))
    return codec.half() if half else codec


def _fine_tunes(path: str) -> tuple[bool, str]:
    """Whether a model config trains adapters, which need a checkpoint, and the shipped model that it can fine-tune, or ""."""
    from snac_plugin.config import check_model_config, load_json

    config, shipped = check_model_config(load_json(path)), config_at_once(DEFAULT)
    adapters = config.training is not None and config.training.lora is not None
    if shipped is None:  # nothing to fine-tune, and no reason to fail after hours of encoding
        return adapters, ""
    models = [one.model for one in (config, check_model_config(shipped))]
    networks = [
        (one.pretransform.config.codec, one.diffusion.diffusion_objective, one.diffusion.config.model_dump(exclude={"sampling"}))
        for one in models
    ]
    return adapters, DEFAULT if networks[0] == networks[1] else ""


def run(args: argparse.Namespace) -> Path:
    """Encode what the flags say; returns the dataset config to train with."""
    if args.dataset_config and (flags := demo_songs.demo_flags(args)):
        raise UsageError("--dataset-config", f"{', '.join(flags)} beside it", "either a dataset config or flags of demo music")
    if args.shards is not None and not args.shards > 0:
        raise UsageError("--shards", args.shards, "megabytes above 0")

    from snac_plugin.config import check_against_codec, check_dataset_config, check_model_config, load_json

    raw = load_json(args.model_config)
    config = check_model_config(raw, args.model_config)
    codecs.check_name(config.model.pretransform.config.codec)
    source = check_dataset_config(load_json(args.dataset_config), args.dataset_config) if args.dataset_config else None
    check_folder("--output-path", args.output_path)

    from snac_plugin.data.encode_elsewhere import by_cluster, by_processes
    from snac_plugin.data.pre_encode import pre_encode
    from snac_plugin.generation.data_conditions import DataConditions

    there = partial(codec_on, raw["model"]["pretransform"], config.sample_rate, args.model_half)
    codec = there("cpu" if args.processes or args.cluster else args.device)  # where others encode, its geometry is wanted alone
    check_against_codec(config, codec.levels, codec.codec_name, args.model_config)
    window, frame = config.sample_size if args.sample_size is None else args.sample_size, codec.levels.frame_samples
    if window < 1 or window % frame:
        raise UsageError("--sample-size", window, f"a multiple of {frame}, the samples of a frame")
    elsewhere = by_cluster(args.cluster, partial(there, args.device)) if args.cluster else None
    if args.processes:
        elsewhere = by_processes(args.processes, partial(there, args.device))
    return pre_encode(
        source or demo_songs.songs_from(args).dataset(args.split, config.sample_rate),
        args.output_path,
        codec,
        min_frames=window // frame,
        workers=args.num_workers,
        overwrite=args.overwrite,
        shard_bytes=None if args.shards is None else round(args.shards * 1e6),
        offsets=args.offsets,
        check=DataConditions(config, TO_MEND).check,
        elsewhere=elsewhere,
    )
