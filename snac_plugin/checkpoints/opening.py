"""Opening a file of weights, of a model or of a codec: the one place that tells each kind of damage in a sentence."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from snac_plugin.checkpoints.weights import fingerprint
from snac_plugin.errors import Mismatch
from snac_plugin.files import damage

CHECKSUM = "checksum"
"""In the metadata of a .safetensors file. A file of torch is a zip archive, each part of which has a checksum."""


def checksum(weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Of all that a .safetensors file holds, but for the checksum itself."""
    rest = sorted((key, value) for key, value in metadata.items() if key != CHECKSUM)
    return hashlib.sha256(f"{fingerprint(weights)} {rest}".encode()).hexdigest()


def open_weights(path: Path, error: type[Mismatch], expected: str, advice: str) -> tuple[Any, dict[str, str]]:
    """What a file holds, on disk until it is used, and the metadata of a .safetensors file.

    Raises:
        Mismatch: of the kind `error`, for a file that is empty, cut off, damaged, or holds objects that could run code.
    """
    if fault := damage(path):
        raise error(str(path), fault, expected, advice)
    try:
        if path.suffix == ".safetensors":
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
            content = load_file(str(path))
        else:  # files of torch before 1.6 are no archives, and cannot be mapped into memory
            metadata, content = {}, torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as reason:  # torch and safetensors raise whatever the damaged bytes happen to trigger
        text = (str(reason).strip() or type(reason).__name__).split("\n", maxsplit=1)[0]
        raise error(str(path), f"a file that cannot be read ({text})", expected, advice) from None
    if CHECKSUM in metadata and metadata[CHECKSUM] != checksum(content, metadata):
        raise error(str(path), "a damaged file: what it holds does not have its checksum", expected, advice)
    return content, metadata
