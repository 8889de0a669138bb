"""Checkpoints: reading them, wrapped by Lightning or not, and keeping the frozen codec out of them.

A checkpoint notes the name and fingerprint of its codec instead of holding its weights, which are the same in all of them.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from snac_plugin.checkpoints.shipped import model_file
from snac_plugin.errors import CheckpointError
from snac_plugin.files import write_whole

log = logging.getLogger(__name__)

CODEC = "pretransform."
WRAPPERS = (("diffusion.", "diffusion_ema.ema_model.", "model."), ("autoencoder.", "autoencoder_ema.ema_model.", ""))
"""Prefixes that stable-audio-tools' training wrappers put before weights and averaged ones, and what those are averages of."""

CODEC_NOTE = "snac_codec"


class HasCodec(Protocol):
    """A model whose frozen codec is its `pretransform`."""

    pretransform: Any

    def state_dict(self) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Args:
        state: weights by the model's own names, without the codec's.
        model_config: the model config it was trained with, or None.
        codec: {"name", "fingerprint"} of its codec, or None.
        path: the file.
        steps: training steps behind it, 0 if it does not say.
    """

    state: dict[str, Tensor]
    model_config: dict[str, Any] | None
    codec: dict[str, str] | None
    path: Path
    steps: int = 0


def read_checkpoint(path: str | Path, ema: bool = True) -> Checkpoint:
    """Read a training checkpoint, or an unwrapped one (.ckpt or .safetensors).

    Weights stay on disk until something is done with them: what else a training checkpoint holds is never read.

    Args:
        path: the file, or a shipped model's name.
        ema: take the averaged weights where there are any.

    Raises:
        CheckpointError: no such file, or not a checkpoint.
    """
    path = model_file(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise CheckpointError(str(path), found, "a checkpoint (.ckpt or .safetensors)", "Training writes them under --save-dir.")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return Checkpoint(
        state=own_state(content["state_dict"], ema),
        model_config=content.get("model_config"),
        codec=content.get(CODEC_NOTE),
        path=path,
        steps=content.get("global_step", 0),
    )


def load_weights(model: Any, source: str | Path | Checkpoint, ema: bool = True) -> Checkpoint:
    """Load a checkpoint into a model that was built from its config.

    Args:
        model: the model.
        source: the file, or what `read_checkpoint` gave.
        ema: take the averaged weights of a file where there are any.

    Raises:
        CheckpointError: another codec, another head, or weights that are missing, left over, or of another shape.
    """
    checkpoint = source if isinstance(source, Checkpoint) else read_checkpoint(source, ema)
    check_codec(checkpoint.codec, model, str(checkpoint.path))
    check_head(checkpoint.model_config, model, str(checkpoint.path))
    load_state(model, checkpoint.state, str(checkpoint.path))
    return checkpoint


def load_state(model: Any, state: Mapping[str, Tensor], where: str) -> None:
    """Load weights, by whoever's names, into a model; the codec stays the model's own.

    Raises:
        CheckpointError: weights that are missing, left over, or of another shape; `where` is where they came from.
    """
    given = own_state(state)
    check_weights(given, {name: value for name, value in model.state_dict().items() if not is_codec(name)}, where)
    model.load_state_dict(given, strict=False)


def is_codec(name: str) -> bool:
    """Whether a weight of that name is the frozen codec's."""
    return name.startswith(CODEC)


def own_state(state: Mapping[str, Tensor], ema: bool = True) -> dict[str, Tensor]:
    """Weights by the model's own names, whoever wrapped them, without the codec's.

    Args:
        state: weights by name: the model's own ones, or those of its training wrapper.
        ema: take the averaged weights where there are any.
    """
    own = dict(state)
    for prefix, averaged, part in WRAPPERS:
        if any(name.startswith(prefix) for name in state):
            own = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
            if ema:
                own |= {part + n.removeprefix(averaged): v for n, v in state.items() if n.startswith(averaged)}
    return {name: value for name, value in own.items() if not is_codec(name)}


def check_weights(given: Mapping[str, Tensor], own: Mapping[str, Tensor], where: str) -> None:
    """Raise a CheckpointError unless weights by name are those that a model has, in shape."""
    missing, surplus = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    reshaped = sorted(n for n in own.keys() & given.keys() if own[n].shape != given[n].shape)
    problems = [("missing", missing), ("not in the model", surplus), ("of another shape", reshaped)]
    if missing or surplus or reshaped:
        found = "; ".join(f"{len(names)} weights {what}, first {names[0]}" for what, names in problems if names)
        raise CheckpointError(
            where, found, "the weights of this model config", "Use the config that the checkpoint was trained with."
        )


def strip_codec(checkpoint: dict[str, Any], prefix: str) -> None:
    """Leave the frozen codec's weights out of a checkpoint that is about to be saved."""
    state = checkpoint["state_dict"]
    checkpoint["state_dict"] = {name: value for name, value in state.items() if not name.startswith(prefix + CODEC)}


def note_codec(checkpoint: dict[str, Any], model: HasCodec) -> None:
    """Write down which codec a checkpoint goes with."""
    checkpoint[CODEC_NOTE] = {"name": model.pretransform.codec_name, "fingerprint": model.pretransform.fingerprint}


def with_codec(checkpoint: dict[str, Any], model: HasCodec, prefix: str) -> None:
    """Put the model's own codec into a checkpoint that is about to be loaded; an error if it goes with another."""
    check_codec(checkpoint.get(CODEC_NOTE), model, "checkpoint")
    own = {prefix + name: value for name, value in model.state_dict().items() if is_codec(name)}
    checkpoint["state_dict"] = {**own, **checkpoint["state_dict"]}


def check_codec(noted: dict[str, str] | None, model: HasCodec, where: str) -> None:
    """Raise a CheckpointError unless the noted codec is the model's; names may differ, weights may not."""
    own = model.pretransform
    if noted is not None and not hasattr(own, "known_as"):
        raise CheckpointError(
            where, f"a diffusion model over codec {noted['name']!r}", "a checkpoint of the kind that the config builds"
        )
    if noted is not None and noted["fingerprint"] not in own.known_as:
        raise CheckpointError(
            where,
            f"codec {noted['name']!r} (fingerprint {noted['fingerprint']})",
            f"codec {own.codec_name!r} (fingerprint {own.fingerprint}), the one of the model config",
            "Codes of one codec mean nothing to another: use the codec that it was made with.",
        )


def check_head(noted: Mapping[str, Any] | None, model: Any, where: str) -> None:
    """Raise a CheckpointError unless weights were trained for the model's head: those of two heads may have the same shapes."""
    network = getattr(getattr(model, "model", None), "network", None)
    if network is None or noted is None or noted.get("model_type") != "diffusion_snac_dit":
        return
    trained = noted["model"]["diffusion"]["config"].get("head", "velocity")
    if trained != network.config.head:
        advice = f'Set model.diffusion.config.head to "{trained}".'
        raise CheckpointError(where, f'weights of the head "{trained}"', f'"{network.config.head}", as in the model config', advice)


def save_unwrapped(
    model: nn.Module, path: Path, model_config: dict[str, Any], codec: dict[str, str] | None, half: bool = False
) -> None:
    """Write a model's own weights, without the codec's, as .safetensors or .ckpt; both hold the config and the codec's note.

    Args:
        model: the model.
        path: where to.
        model_config: its config.
        codec: {"name", "fingerprint"} of its codec.
        half: store float16, at half the size.
    """
    state = {n: v.detach().cpu().contiguous() for n, v in model.state_dict().items() if not is_codec(n)}
    if half:
        state = {n: v.half() if v.is_floating_point() else v for n, v in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        notes = {"model_config": json.dumps(model_config)} | ({CODEC_NOTE: json.dumps(codec)} if codec else {})
        write_whole(path, lambda part: save_file(state, str(part), metadata=notes))
        path.chmod(0o644)  # safetensors leaves it to the owner alone
    else:
        content = {"state_dict": state, "model_config": model_config, CODEC_NOTE: codec}
        write_whole(path, lambda part: torch.save(content, part))


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(str(path), framework="pt") as file:
            notes = file.metadata() or {}
        return {
            "state_dict": load_file(str(path)),
            **{key: json.loads(notes[key]) for key in ("model_config", CODEC_NOTE) if key in notes},
        }
    except SafetensorError as error:
        raise CheckpointError(str(path), f"an unreadable file ({error})", "a .safetensors checkpoint") from None


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        in_place = zipfile.is_zipfile(path)  # what torch before 1.6 wrote is read whole
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=in_place)
    except Exception as error:  # torch.load raises whatever the damaged bytes happen to trigger
        reason = str(error).split("\n", maxsplit=1)[0]
        raise CheckpointError(str(path), f"an unreadable file ({reason})", "a checkpoint that torch can load") from None
    if not isinstance(content, dict) or "state_dict" not in content:
        raise CheckpointError(str(path), "a file without a state_dict", "a checkpoint of this package or of stable-audio-tools")
    return content
