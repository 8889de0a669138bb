"""The data loaders of a training: from dataset configs, or from demo music that is rendered for it.

What a data loader would fail at, or silently train on, is reported before: unreadable audio, codes of another codec.
"""

import argparse
import logging
import os
import signal
from typing import Any

from stable_audio_tools.data.dataset import collation_fn
from torch.utils.data import DataLoader

from snac_plugin.cli.demo_songs import DemoSongs
from snac_plugin.codec.load import load_codec
from snac_plugin.config import check_dataset_config, check_model_config, load_json
from snac_plugin.config.model_fits_codec import check_dataset_against_model, holds_latents
from snac_plugin.data.audio_folders import AudioFile
from snac_plugin.data.codes_details import read_details
from snac_plugin.data.codes_folder import check_fingerprint
from snac_plugin.data.file_list import scan_dataset
from snac_plugin.data.resumable_loader import repeatable, resumable
from snac_plugin.data.streams import Stream
from snac_plugin.data.training_files import AudioFiles, PreEncodedFiles, PreEncodedShards
from snac_plugin.errors import ConfigError
from snac_plugin.files import printable

log = logging.getLogger(__name__)


def data_loaders(args: argparse.Namespace, config: dict[str, Any], wrapper: Any) -> tuple[Any, Any]:
    """stable-audio-tools' data loaders for training and validation (or None); a resumed run goes on at its trainer's step."""
    train_config, val_config = dataset_configs(args, config)
    common = {key: config[key] for key in ("sample_rate", "sample_size")}
    common |= {"audio_channels": config.get("audio_channels", 1), "batch_size": args.batch_size}
    common["num_workers"] = max(args.num_workers, 1)  # stable-audio-tools keeps its workers alive, so there must be one

    def batches_so_far() -> int:
        trainer = wrapper._trainer  # none yet when stable-audio-tools' autoencoder demo reads ahead
        return trainer.global_step * trainer.accumulate_grad_batches if trainer is not None else 0

    def rank() -> tuple[int, int]:
        return (wrapper.trainer.global_rank, wrapper.trainer.world_size) if wrapper._trainer is not None else (0, 1)

    loader = resumable(_loader(train_config, common, args.dataset_config), args.seed, batches_so_far, rank)
    loader.worker_init_fn = ignore_job_signals
    if val_config is None:
        return loader, None
    validation = repeatable(_loader(val_config, common, args.val_dataset_config), args.seed)
    validation.worker_init_fn = ignore_job_signals
    return loader, validation


def _loader(config: dict[str, Any], common: dict[str, Any], path: str) -> Any:
    """stable-audio-tools' loader of shards; over files, items for `resumable` or `repeatable` to put in order."""
    kind, local = config["dataset_type"], all(entry.get("path") for entry in config["datasets"])
    if kind not in ("audio_dir", "pre_encoded") and not (local and config.get("pre_encoded")):
        return Stream(config, **common)
    dataset: AudioFiles | PreEncodedFiles | PreEncodedShards
    if kind == "audio_dir":
        about = {key: common[key] for key in ("sample_rate", "sample_size", "audio_channels")}
        dataset = AudioFiles(config, audio_files(config, common["sample_rate"], path), **about)
    elif kind == "pre_encoded":
        dataset = PreEncodedFiles(config)
    else:
        dataset = PreEncodedShards(config)
    if not len(dataset):
        advice = "If pre-encoding was stopped, run it again: it goes on where it stopped."
        raise ConfigError(f"{path}: datasets", "no track in any folder", "pre-encoded tracks", advice)
    return DataLoader(dataset, common["batch_size"], num_workers=common["num_workers"], collate_fn=collation_fn)


def ignore_job_signals(_: int) -> None:
    """Ctrl-C and the end of a job reach every process of a group; if they ended a worker, the trainer could not finish its step.

    A worker whose trainer is gone ends by itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):  # not on Windows
        os.setpgid(0, 0)


def dataset_configs(args: argparse.Namespace, config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Checked dataset configs for training and validation, in stable-audio-tools' form.

    Without --dataset-config, demo music is rendered at the model's sample rate, and validation is on songs held out of it.
    """
    path, validation = args.dataset_config, args.val_dataset_config
    train = checked(path, config) if path else DemoSongs().dataset("train", config["sample_rate"])
    if validation:
        return train, checked(validation, config)
    if path or args.val_every <= 0:
        return train, None
    return train, DemoSongs().dataset("held_out", config["sample_rate"])


def checked(path: str, config: dict[str, Any]) -> dict[str, Any]:
    """A dataset config file that fits the model. ConfigError: it does not. CodecError: its codes are another codec's."""
    dataset = check_dataset_config(load_json(path), path)
    if config["model_type"] == "autoencoder":
        if holds_latents(dataset):
            raise ConfigError(f"{path}: dataset_type", "what a codec made", "audio, to train a codec on")
    else:
        _check_for_diffusion(dataset, config, path)
    return dataset


def _check_for_diffusion(dataset: dict[str, Any], config: dict[str, Any], path: str) -> None:
    """Codes must come from the model's codec, and fit the model as other data must."""
    codec, paths = load_codec(config["model"]["pretransform"]["config"]["codec"]), [e.get("path") for e in dataset["datasets"]]
    codes = {each: read_details(each) for each in paths if each is not None} if holds_latents(dataset) else {}
    for folder, details in codes.items():
        if details is not None:
            check_fingerprint(details, codec.name, codec.known_as, folder)
    check_dataset_against_model(dataset, check_model_config(config), codec.levels, path, codes)


def audio_files(dataset: dict[str, Any], sample_rate: int, path: str) -> list[AudioFile]:
    """The audio files to train on, in stable-audio-tools' order; the others are logged, each with its reason.

    ConfigError: none can be read.
    """
    scans = scan_dataset(dataset, sample_rate, sort=False)
    files, rejected = [each for scan in scans for each in scan.files], [each for scan in scans for each in scan.rejected]
    for file, reason in rejected:
        log.warning("Cannot train on %s: %s", printable(file), reason)
    if not files:
        raise ConfigError(
            f"{path}: datasets",
            f"{len(rejected)} audio files, none of which can be read",
            "audio to train on",
            "The log has each reason.",
        )
    log.info("%d audio files, %s; %d cannot be read", len(files), _duration(sum(f.seconds for f in files)), len(rejected))
    return files


def _duration(seconds: float) -> str:
    """In the unit that says most."""
    for unit, name in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} s"
