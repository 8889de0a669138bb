"""Where a checkpoint lies: a file, a folder, a model that ships here, or one of the hub in stable-audio-tools' form; adapters."""

import math
import os
import re
from pathlib import Path
from typing import Any

from snac_plugin.checkpoints.shipped import model_file, shipped_models
from snac_plugin.diffusion.sampler_names import AUTOGUIDANCE
from snac_plugin.errors import CheckpointError, UsageError, did_you_mean

EXPECTED = "a checkpoint of this package or of stable-audio-tools (.ckpt or .safetensors)"
ADVICE = "Copy the file again from where it was made, or take another checkpoint of the run."
WEIGHTS, CONFIG = ("model.safetensors", "model.ckpt"), "model_config.json"
ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
AVERAGES = "ema"
"""The folder of a run with snapshots of the averages of `training.ema_lengths`."""
IN_FOLDER = (*WEIGHTS, "last.ckpt", "checkpoints/last.ckpt")
"""What a folder is searched for, the first found is taken: an unwrapped model, then a run's newest checkpoint."""


def locate(path: str | Path) -> tuple[Path, Path | None]:
    """The file of a checkpoint, and the model config that lies beside it in its folder or on the hub.

    Raises:
        CheckpointError: there is none.
    """
    place = model_file(path)
    if os.path.isfile(place):  # unlike pathlib's, false of a name that is too long
        return place, None
    if os.path.isdir(place):
        file = next((place / name for name in IN_FOLDER if (place / name).is_file()), None)
        if file is None:
            expected, advice = "a checkpoint (.ckpt or .safetensors)", f"A folder needs one of {', '.join(IN_FOLDER)}."
            raise CheckpointError(str(path), "a folder", expected, advice)
        return file, config if (config := file.parent / CONFIG).is_file() else None
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", str(path)) and place.suffix not in (".ckpt", ".safetensors"):
        config = hub_file(str(path), CONFIG)
        return hub_file(str(path), *WEIGHTS), config
    advice = f"Training writes them under --save-dir; {', '.join(shipped_models())} ships here."
    advice = did_you_mean(str(path), shipped_models()) or advice
    raise CheckpointError(str(place), "no such file", "a checkpoint (.ckpt or .safetensors)", advice)


def snapshots_in(run: str | Path) -> dict[int, Path]:
    """Snapshots of averages by their steps, the first step first, in the folder of a run or in that of its snapshots."""
    folder = Path(run) / AVERAGES if os.path.isdir(Path(run) / AVERAGES) else Path(run)
    steps = {path: re.fullmatch(r"step=(\d+)", path.stem) for path in sorted(folder.glob("step=*.safetensors"))}
    return {int(step[1]): path for path, step in steps.items() if step is not None}


def locate_adapter(path: str | Path) -> tuple[Path, Path | None]:
    """The weights of an adapter and the config beside it, by its file, its folder or the folder of the run that trained it.

    Raises:
        CheckpointError: there is none.
    """
    place = Path(path)
    file = next((one for one in (place, place / ADAPTER, place / "lora" / ADAPTER) if os.path.isfile(one)), None)
    if file is None:
        found = "a folder without one" if os.path.isdir(place) else "no such file or folder"
        advice = f"Training with training.lora writes {ADAPTER} into the folder lora of its run."
        raise CheckpointError(str(place), found, "an adapter in peft's format", advice)
    return file, config if (config := file.parent / ADAPTER_CONFIG).is_file() else None


def adapter_in(text: str | Path) -> tuple[str, float]:
    """The place and the strength of an adapter that is written as PLACE or PLACE:STRENGTH."""
    return _with_number(text, "lora", "the adapter's strength", 1.0)


def weaker_in(text: str | Path) -> tuple[str, float]:
    """The checkpoint and the scale of autoguidance that are written as CHECKPOINT or CHECKPOINT:SCALE."""
    place, scale = _with_number(text, "autoguidance", "the scale of guidance", AUTOGUIDANCE)
    if scale < 0:
        raise UsageError("autoguidance", str(text), "a scale from 0 up behind the colon")
    return place, scale


def _with_number(text: str | Path, name: str, meaning: str, default: float) -> tuple[str, float]:
    place, colon, number = str(text).rpartition(":")
    try:
        value = float(number)
    except ValueError:
        if colon and not os.path.exists(text) and os.path.exists(place):
            raise UsageError(name, f"{number!r} behind {place}", f"a number there: {meaning}, as in FILE:0.5") from None
        return str(text), default
    if not colon or os.path.exists(text):
        return str(text), default
    if not math.isfinite(value):
        raise UsageError(name, str(text), f"a finite number behind the colon: {meaning}")
    return place, value


def hub_config(name: str | None) -> dict[str, Any]:
    """The model config of a model on the hub; empty without a name, which stable-audio-tools reports."""
    from snac_plugin.config import load_json

    return {} if name is None else load_json(_pretrained(name, CONFIG))


def hub_weights(name: str) -> Path:
    return _pretrained(name, *WEIGHTS)


def _pretrained(name: str, *files: str) -> Path:
    try:
        return hub_file(name, *files)
    except CheckpointError as error:
        found, expected = f"{name!r}, {error.found}", "a model of the hub within reach"
        raise UsageError("--pretrained-name", found, expected, "Or give a checkpoint: --ckpt-path.") from error


def hub_file(name: str, *files: str) -> Path:
    """The first of these files that a model on the hub, or its cache, has; a CheckpointError if there is none."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    for file in files:
        try:
            return Path(hf_hub_download(name, filename=file))
        except (OSError, ValueError, HfHubHTTPError, EntryNotFoundError) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
    found = f"neither a file nor a folder, and {' or '.join(files)} cannot be had from the hub ({reason})"
    raise CheckpointError(name, found, "a checkpoint, a folder, or a model of the hub within reach")
