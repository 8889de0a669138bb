"""Reading checkpoints of Lightning and of `unwrap`, and loading them into a model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from snac_plugin.checkpoints import adapters, notes
from snac_plugin.checkpoints.new_classes import check_classes, with_classes_by_name
from snac_plugin.checkpoints.new_parts import with_new_parts
from snac_plugin.checkpoints.opening import open_weights
from snac_plugin.checkpoints.places import ADVICE, EXPECTED, locate
from snac_plugin.checkpoints.weights import check_finite, load_state, model_weights
from snac_plugin.config import NetworkConfig, load_json
from snac_plugin.config.migration import CONFIG_VERSION, with_former_defaults
from snac_plugin.diffusion.model_type import MODEL_TYPE
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
    missing: tuple[str, ...] = ()  # what a training would need beside the weights to go on

    def check_resumable(self) -> None:
        """CheckpointError for a file whose training cannot go on, as an unwrapped one."""
        if self.missing:
            advice = "Start a new run from its weights: --pretrained-ckpt-path."
            raise CheckpointError(str(self.path), f"no {', '.join(self.missing)}", "a checkpoint that a training wrote", advice)

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
        CheckpointError: no such file, a damaged one, not a checkpoint, or weights that are not finite.
    """
    path, beside = locate(path)
    content = _read(path)
    weights, steps = model_weights(content["state_dict"], ema), content.get("global_step") or 0
    if (lora := content.get(adapters.NOTE)) is not None:
        weights = adapters.folded(weights, lora["scale"])
    check_finite(weights, str(path), "Take an earlier checkpoint, and go on with a lower learning rate.")
    config, version = notes.saved_config(content), notes.noted_version(content)
    if config is None and beside is not None:
        config = with_former_defaults(load_json(beside), version)
    missing = tuple(key for key in RESUMED if key not in content or (key in FILLED and not content[key]))
    return Checkpoint(weights, config, notes.saved_codec(content), path, steps, version, missing)


def load_weights(model: Any, source: str | Path | Checkpoint, fine_tuned: bool = False) -> Checkpoint:
    """Load a checkpoint into a model that was built from its config, averaged weights where a file has them.

    With `fine_tuned` the model may have other conditioners and other classes: see `with_new_parts` and `with_classes_by_name`.

    Raises:
        CheckpointError: another codec, another head, other classes, or weights that are missing, left over, or of another shape.
    """
    checkpoint = source if isinstance(source, Checkpoint) else read_checkpoint(source)
    where = str(checkpoint.path)
    notes.check_codec(checkpoint.codec, model, where)
    check_head(checkpoint.model_config, model, where)
    state: Mapping[str, Tensor] = checkpoint.state
    if fine_tuned:
        state = with_classes_by_name(model, state, checkpoint.model_config, where)
        state = with_new_parts(model, state, checkpoint.model_config, where)
    else:
        check_classes(model, checkpoint.model_config, where)
    load_state(model, state, where)
    return checkpoint


def check_head(config: Mapping[str, Any] | None, model: Any, where: str) -> None:
    """Raise a CheckpointError unless weights were trained for the model's head: those of two heads may have the same shapes."""
    network = getattr(getattr(model, "model", None), "network", None)
    if network is None or config is None or config.get("model_type") != MODEL_TYPE:
        return
    section: Any = config
    for key in ("model", "diffusion", "config"):
        section = section.get(key) if isinstance(section, Mapping) else None
    if not isinstance(section, Mapping):
        return  # the check of the config has said so
    trained = section.get("head", NetworkConfig.model_fields["head"].default)
    if trained != network.config.head:
        advice = f'Set model.diffusion.config.head to "{trained}".'
        raise CheckpointError(where, f'weights of the head "{trained}"', f'"{network.config.head}", as in the model config', advice)


FILLED = ("loops", "optimizer_states")
RESUMED = (*FILLED, "epoch", "global_step", "lr_schedulers", "pytorch-lightning_version")
"""What Lightning needs to go on with a training, and what of it is never empty."""

NOTES: dict[str, type] = {notes.CONFIG: dict, notes.CONFIG_VERSION_NOTE: int, notes.CODEC_NOTE: dict, "global_step": int}
"""What a checkpoint may hold beside its weights."""


def _read(path: Path) -> dict[str, Any]:
    """The weights under "state_dict", and the notes; a CheckpointError unless they are such."""
    content, metadata = open_weights(path, CheckpointError, EXPECTED, ADVICE)
    if path.suffix == ".safetensors":
        content = {"state_dict": content} | {key: _from_json(metadata[key], key, path) for key in NOTES if key in metadata}
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise CheckpointError(str(path), "a file without a state_dict", EXPECTED)
    for key, kind in NOTES.items():
        if (value := content.get(key)) is not None and not isinstance(value, kind):
            raise CheckpointError(str(path), f"{key}: {value!r:.40}", f"there a value of type {kind.__name__}", ADVICE)
    codec = content.get(notes.CODEC_NOTE)
    if codec is not None and not all(isinstance(codec.get(key), str) for key in ("name", "fingerprint")):
        raise CheckpointError(str(path), f"{notes.CODEC_NOTE}: {codec!r:.40}", "name and fingerprint of a codec", ADVICE)
    return content


def _from_json(text: str, key: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise CheckpointError(str(path), f"{key}: {text!r:.40}", "JSON there", ADVICE) from None
