"""Reading checkpoints of Lightning and of `unwrap`, and loading them into a model."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from snac_plugin.checkpoints import notes
from snac_plugin.checkpoints.new_parts import with_new_parts
from snac_plugin.checkpoints.places import locate
from snac_plugin.checkpoints.weights import load_state, model_weights
from snac_plugin.config import NetworkConfig, load_json
from snac_plugin.config.migration import CONFIG_VERSION, with_former_defaults
from snac_plugin.errors import CheckpointError


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds."""

    state: dict[str, Tensor]  # by the model's own names, without the codec's
    model_config: dict[str, Any] | None  # former defaults filled in
    codec: dict[str, str] | None  # its "name" and "fingerprint"
    path: Path
    steps: int = 0  # of training, 0 if it does not say
    config_version: int = CONFIG_VERSION  # of the defaults under which it was written

    def config_for(self, config: Mapping[str, Any] | str | Path | None = None) -> dict[str, Any]:
        """The model config inside, or one given beside it, whose gaps mean what they meant back then. CheckpointError: neither."""
        if config is not None:
            return with_former_defaults(load_json(config) if isinstance(config, str | Path) else config, self.config_version)
        if self.model_config is None:
            advice = "Give the config it was trained with: --model-config."
            raise CheckpointError(str(self.path), "no model config inside", "a training checkpoint", advice)
        return self.model_config


def read_checkpoint(path: str | Path, ema: bool = True) -> Checkpoint:
    """Read a training checkpoint or an unwrapped one (.ckpt or .safetensors).

    It is named by its file, its folder (that of a run too), a shipped model's name or a hub id. Weights stay on disk until they
    are used. `ema`: the averaged weights where there are any.

    Raises:
        CheckpointError: no such file, or not a checkpoint.
    """
    path, beside = locate(path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    weights, steps = model_weights(content["state_dict"], ema), content.get("global_step", 0)
    config, version = notes.saved_config(content), notes.noted_version(content)
    if config is None and beside is not None:
        config = with_former_defaults(load_json(beside), version)
    return Checkpoint(weights, config, content.get(notes.CODEC_NOTE), path, steps, version)


def load_weights(model: Any, source: str | Path | Checkpoint, fine_tuned: bool = False) -> Checkpoint:
    """Load a checkpoint into a model that was built from its config, averaged weights where a file has them.

    With `fine_tuned` the model may have other conditioners: see `with_new_parts`.

    Raises:
        CheckpointError: another codec, another head, or weights that are missing, left over, or of another shape.
    """
    checkpoint = source if isinstance(source, Checkpoint) else read_checkpoint(source)
    where = str(checkpoint.path)
    notes.check_codec(checkpoint.codec, model, where)
    check_head(checkpoint.model_config, model, where)
    state = with_new_parts(model, checkpoint.state, checkpoint.model_config, where) if fine_tuned else checkpoint.state
    load_state(model, state, where)
    return checkpoint


def check_head(config: Mapping[str, Any] | None, model: Any, where: str) -> None:
    """Raise a CheckpointError unless weights were trained for the model's head: those of two heads may have the same shapes."""
    network = getattr(getattr(model, "model", None), "network", None)
    if network is None or config is None or config.get("model_type") != "diffusion_snac_dit":
        return
    trained = config["model"]["diffusion"]["config"].get("head", NetworkConfig.model_fields["head"].default)
    if trained != network.config.head:
        advice = f'Set model.diffusion.config.head to "{trained}".'
        raise CheckpointError(where, f'weights of the head "{trained}"', f'"{network.config.head}", as in the model config', advice)


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
        weights = load_file(str(path))
    except SafetensorError as error:
        raise CheckpointError(str(path), f"an unreadable file ({error})", "a .safetensors checkpoint") from None
    keys = (notes.CONFIG, notes.CONFIG_VERSION_NOTE, notes.CODEC_NOTE)
    return {"state_dict": weights} | {key: json.loads(metadata[key]) for key in keys if key in metadata}


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        in_place = zipfile.is_zipfile(path)  # files of torch before 1.6 cannot be mapped into memory
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=in_place)
    except Exception as error:  # torch.load raises whatever the damaged bytes happen to trigger
        reason = str(error).split("\n", maxsplit=1)[0]
        raise CheckpointError(str(path), f"an unreadable file ({reason})", "a checkpoint that torch can load") from None
    if not isinstance(content, dict) or "state_dict" not in content:
        raise CheckpointError(str(path), "a file without a state_dict", "a checkpoint of this package or of stable-audio-tools")
    return content
