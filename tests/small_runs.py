"""Trainings of a tiny model on a few seconds of noise, through the code behind `train.py`."""

import contextlib
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import soundfile
from tiny import tiny_model_config, write_tiny_codec

from snac_plugin.cli.train import train
from snac_plugin.cli.train_flags import parse
from snac_plugin.training.demo import SnacDemoCallback

SAMPLE_RATE = 32000


def prepare(
    folder: Path, changes: dict[str, Any] | None = None, files: int = 3, objective: str = "rectified_flow", **network: Any
) -> list[str]:
    """Write a codec, a model config, audio and a dataset config into a folder; the flags that name them.

    Args:
        folder: where to.
        changes: keys of `training` to set.
        files: number of wav files, each shorter than two chunks of the tiny model.
        objective: `model.diffusion.diffusion_objective`.
        network: keys of `model.diffusion.config` to set.
    """
    codec, audio = folder / "codec", folder / "audio"
    config = tiny_model_config(codec if codec.is_dir() else write_tiny_codec(codec), **network)
    config["training"] |= changes or {}
    config["model"]["diffusion"]["diffusion_objective"] = objective
    audio.mkdir(exist_ok=True)
    generator = np.random.default_rng(0)
    for index in range(files):
        soundfile.write(audio / f"{index}.wav", generator.uniform(-0.5, 0.5, 20000 + 1000 * index), SAMPLE_RATE)
    dataset = {"dataset_type": "audio_dir", "datasets": [{"id": "noise", "path": str(audio)}], "random_crop": True}
    for name, content in (("model", config), ("dataset", dataset)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return ["--model-config", str(folder / "model.json"), "--dataset-config", str(folder / "dataset.json")]


def run(flags: list[str], save_dir: Path, *more: Any, demos: bool = False) -> Path:
    """Train in this process on the CPU; the newest checkpoint. Demos take longer than all the rest, so they are asked for."""
    defaults = Path(flags[1]).with_name("none.ini")  # or one in the current folder would be read
    defaults.touch()
    common = ["--save-dir", save_dir, "--batch-size", 2, "--accelerator", "cpu", "--config-file", defaults]
    with contextlib.nullcontext() if demos else patch.object(SnacDemoCallback, "on_train_batch_end", lambda *_: None):
        newest = train(parse([*flags, *map(str, [*common, *more])]))
    assert newest is not None
    return newest


def logged(save_dir: Path) -> dict[str, dict[int, float]]:
    """What a run logged to TensorBoard: {name: {step: value}}."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    values: dict[str, dict[int, float]] = {}
    for file in sorted((save_dir / "tensorboard").glob("events*")):
        events = EventAccumulator(str(file))
        events.Reload()
        for name in events.Tags()["scalars"]:
            values.setdefault(name, {}).update({event.step: event.value for event in events.Scalars(name)})
    return values
