"""Which data a training reads: the dataset configs given, or demo music rendered for it."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from snac_plugin.config import check_dataset_config, check_model_config, load_json
from snac_plugin.config.codec_fit import check_dataset_against_model
from snac_plugin.data.demo_music import metadata as demo_metadata
from snac_plugin.data.demo_music import render_demo_music
from snac_plugin.levels import Levels

log = logging.getLogger(__name__)
DEMO_FOLDER = Path("demo_music")
DEMO_SONGS = {"train": 240, "held_out": 16}


def dataset_configs(
    args: argparse.Namespace, config: dict[str, Any], levels: Levels
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Checked dataset configs for training and validation, in stable-audio-tools' form.

    Without --dataset-config, demo music is rendered into `demo_music/` at the codec's sample rate, and songs held out
    of it are validated on.
    """
    given, validation = args.dataset_config, args.val_dataset_config
    train = checked(given, config, levels) if given else demo_dataset("train", levels.sample_rate)
    if validation:
        return train, checked(validation, config, levels)
    if given or args.val_every <= 0:
        return train, None
    return train, demo_dataset("held_out", levels.sample_rate)


def checked(path: str, config: dict[str, Any], levels: Levels) -> dict[str, Any]:
    """A dataset config file that fits the model."""
    dataset = check_dataset_config(load_json(path), path)
    check_dataset_against_model(dataset, check_model_config(config), levels, path)
    return dataset


def demo_dataset(split: str, sample_rate: int, folder: Path = DEMO_FOLDER, songs: int | None = None) -> dict[str, Any]:
    """The dataset config of rendered demo music."""
    where = render_demo_music(folder / split, split=split, songs=songs or DEMO_SONGS[split], sample_rate=sample_rate)
    module = str(Path(str(demo_metadata.__file__)).resolve())
    datasets = [{"id": f"demo_music_{split}", "path": str(where), "custom_metadata_module": module}]
    return {"dataset_type": "audio_dir", "datasets": datasets, "random_crop": split == "train"}
