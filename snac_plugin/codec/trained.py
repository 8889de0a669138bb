"""From a checkpoint of stable-audio-tools' autoencoder trainer to the SNAC model in it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from snac import SNAC
from torch import Tensor

from snac_plugin.errors import CheckpointError

PREFIXES = ("autoencoder_ema.ema_model.", "autoencoder.", "")
"""Before the names of a codec's weights: averaged, as trained, and in a file that stable-audio-tools unwrapped."""

PARTS = {"encoder.": "encoder.", "decoder.": "decoder.", "bottleneck.quantizer.": "quantizer."}
"""Names of the parts in an autoencoder, and in SNAC."""


def read_codec_checkpoint(path: str | Path) -> dict[str, Any]:
    """What a checkpoint holds: "state_dict", and "model_config" if training wrote it.

    Raises:
        CheckpointError: no such file, or not a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(str(path), "no such file", "a checkpoint", "Training writes them under --save-dir.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch.load raises whatever the damaged bytes happen to trigger
        reason = str(error).split("\n", maxsplit=1)[0]
        raise CheckpointError(str(path), f"an unreadable file ({reason})", "a checkpoint that torch can load") from None
    if not isinstance(content, dict) or "state_dict" not in content:
        raise CheckpointError(str(path), "a file without a state_dict", "a checkpoint of an autoencoder")
    return content


def snac_from_state(state: Mapping[str, Tensor], config: dict[str, Any], where: str, ema: bool = True) -> SNAC:
    """The SNAC model whose weights a training checkpoint holds, in evaluation mode.

    Args:
        state: the checkpoint's state dict.
        config: the contents of SNAC's config.json.
        where: the checkpoint, for messages.
        ema: take the averaged weights where there are any.

    Raises:
        CheckpointError: weights are missing, or of another shape.
    """
    prefixes = PREFIXES if ema else PREFIXES[1:]
    prefix = next(p for p in prefixes if not p or any(name.startswith(p) for name in state))
    given = {own + name.removeprefix(prefix + part): value for part, own in PARTS.items() for name, value in state.items()
             if name.startswith(prefix + part)}  # fmt: skip
    model = SNAC(**config)
    wanted = model.state_dict()
    missing = sorted(wanted.keys() - given.keys())
    reshaped = sorted(name for name in wanted.keys() & given.keys() if wanted[name].shape != given[name].shape)
    if missing or reshaped:
        name = (missing or reshaped)[0]
        found = f"{len(missing)} weights missing and {len(reshaped)} of another shape, first {name}"
        raise CheckpointError(where, found, "a codec of this model config", "Use the config that it was trained with.")
    model.load_state_dict({name: given[name] for name in wanted})
    return model.eval().requires_grad_(False)
