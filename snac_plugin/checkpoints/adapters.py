"""Low-rank adapters on disk, in peft's format: `adapter_config.json` beside `adapter_model.safetensors`.

The weights' file also holds the config, so that it can be handed on alone, and the fingerprint of the model that the adapter
was trained on. In checkpoints of a training the adapter lies beside the weights that it changes: `folded` adds it to them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from snac_plugin.checkpoints.opening import open_weights
from snac_plugin.checkpoints.places import ADAPTER, ADAPTER_CONFIG, locate_adapter
from snac_plugin.checkpoints.weights import fingerprint, model_weights
from snac_plugin.checkpoints.writing import write_safetensors
from snac_plugin.config import load_json
from snac_plugin.errors import CheckpointError
from snac_plugin.files import make_folder, write_whole

NOTE = "snac_lora"
"""In a training checkpoint: the scale of its adapter, and the fingerprint of the model below it."""
BASE = "snac_base_fingerprint"
IN_PEFT = "base_model.model."  # what peft puts before the names of a model's parts
WRAPPED = ".base_layer."  # and how it names a layer that has adapters


@dataclass(frozen=True)
class Adapter:
    """What a file holds."""

    path: Path
    config: dict[str, Any]  # arguments of peft's LoraConfig
    weights: dict[str, Tensor]  # by peft's names
    base: str | None  # fingerprint of the model it was trained on, None if it does not say


def base_fingerprint(state: Mapping[str, Tensor]) -> str:
    """The fingerprint of a model's weights without the codec and adapters, the same for a model that was stored in half."""
    plain = {name.replace(WRAPPED, "."): value for name, value in model_weights(state).items() if not is_adapter_weight(name)}
    return fingerprint({name: value.half() if value.is_floating_point() else value for name, value in plain.items()})


def is_adapter_weight(name: str) -> bool:
    return ".lora_A." in name or ".lora_B." in name


def read_adapter(place: str | Path) -> Adapter:
    """Read an adapter by its folder or its file. CheckpointError: there is none, or the file is no adapter."""
    path, config_file = locate_adapter(place)
    weights, metadata = open_weights(path, CheckpointError, "a .safetensors adapter", "Copy it again from where it was made.")
    if not weights or not all(is_adapter_weight(name) for name in weights):
        advice = "A checkpoint of a whole model is named by --ckpt."
        raise CheckpointError(str(path), "weights that are no adapter's", "an adapter in peft's format", advice)
    if config_file is None and ADAPTER_CONFIG not in metadata:
        raise CheckpointError(str(path), f"no {ADAPTER_CONFIG} beside it or in it", "an adapter in peft's format")
    config = json.loads(metadata[ADAPTER_CONFIG]) if config_file is None else load_json(config_file)
    return Adapter(path, config, weights, metadata.get(BASE))


def write_adapter(folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor], base: str) -> Path:
    """Write an adapter of the model with this fingerprint, each file whole; returns the folder."""
    make_folder("adapter", folder)
    text = json.dumps(config, indent=2, sort_keys=True)
    metadata = {"format": "pt", BASE: base, ADAPTER_CONFIG: text}
    stored = {name: value.detach().float().cpu().contiguous() for name, value in weights.items()}
    write_whole(folder / ADAPTER_CONFIG, f"{text}\n")
    write_safetensors(folder / ADAPTER, stored, metadata)
    return folder


def folded(state: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Weights of a model in training with its adapter added: W + scale * B A (Hu et al. 2021, eq. 3)."""
    plain = {name.replace(WRAPPED, "."): value for name, value in state.items() if not is_adapter_weight(name)}
    for name in (name for name in state if ".lora_A." in name):
        layer, _, adapter = name.partition(".lora_A.")
        weight, up = plain[f"{layer}.weight"], state[f"{layer}.lora_B.{adapter}"]
        plain[f"{layer}.weight"] = (weight.float() + scale * up.float() @ state[name].float()).to(weight.dtype)
    return plain
