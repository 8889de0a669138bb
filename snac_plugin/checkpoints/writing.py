"""Writing checkpoints: of a training, and of a trained model for inference. A file appears whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from safetensors.torch import save_file
from torch import Tensor, nn

from snac_plugin.checkpoints import notes
from snac_plugin.checkpoints.opening import CHECKSUM, checksum
from snac_plugin.checkpoints.weights import model_weights
from snac_plugin.files import make_folder, write_whole


class WholeCheckpoints(TorchCheckpointIO):
    """How Lightning writes the checkpoints of a training; its own way leaves half a file when the disk is full or it is killed."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; the one that had the name is there until the new one is on the disk."""
        make_folder("checkpoints", Path(path).parent)
        write_torch(path, checkpoint)


def write_torch(path: str | Path, content: dict[str, Any]) -> None:
    """Write what torch.load reads; the file appears whole."""

    def write(part: Path) -> None:
        with part.open("wb") as file:  # by its path, torch would write the name of the hidden file into it, and hide what failed
            torch.save(content, file)

    write_whole(path, write, sync=True)


def write_safetensors(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write weights, and metadata with a checksum of all that the file holds; the file appears whole."""
    whole = {**metadata, CHECKSUM: checksum(weights, metadata)}
    write_whole(path, lambda part: save_file(dict(weights), str(part), metadata=whole), sync=True)
    path.chmod(0o644)  # safetensors lets only the owner read it


def save_unwrapped(
    model: nn.Module, path: Path, model_config: dict[str, Any], codec: dict[str, str] | None, half: bool = False
) -> None:
    """Write a model's weights, without the codec's, as .safetensors or .ckpt; both hold the config and the codec's note.

    `codec` is {"name", "fingerprint"}; `half` stores float16, at half the size.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in model_weights(model.state_dict()).items()}
    if half:
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    make_folder("folder", path.parent)
    content: dict[str, Any] = {notes.CODEC_NOTE: codec}
    notes.put_config(content, model_config)
    if path.suffix == ".safetensors":
        metadata = {key: json.dumps(value) for key, value in content.items() if value is not None}
        write_safetensors(path, state, metadata)
    else:
        write_torch(path, {"state_dict": state} | content)
