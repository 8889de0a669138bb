"""Finding and loading SNAC codecs: from the hub, from a folder in the hub's format, or shipped with this package."""

import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from snac import SNAC
from torch import Tensor

from snac_plugin.checkpoints.opening import open_weights
from snac_plugin.checkpoints.weights import check_finite, check_weights, fingerprint
from snac_plugin.codec.places import locate, read_contents
from snac_plugin.config.shipped_codecs import same_codes
from snac_plugin.errors import CodecError
from snac_plugin.levels import Levels

CONFIG_KEYS: dict[str, Any] = {
    name: parameter.default for name, parameter in inspect.signature(SNAC.__init__).parameters.items() if name != "self"
}
"""SNAC's constructor arguments with their defaults: what a config.json may hold."""


@dataclass(frozen=True)
class Codec:
    """A SNAC model ready to use, in evaluation mode and without gradients."""

    name: str  # what it was loaded by
    model: SNAC
    levels: Levels
    config: dict[str, Any]  # the contents of its config.json, defaults filled in
    fingerprint: str  # `codes_fingerprint` of its weights

    @property
    def short_name(self) -> str:
        """The name without the folder or the account of the hub that it lies in."""
        return Path(self.name).name

    @cached_property
    def known_as(self) -> tuple[str, ...]:
        """The fingerprint, and those that earlier versions gave the same codes: they included the decoder's weights."""
        return (self.fingerprint, fingerprint(self.model.state_dict()), *same_codes(self.fingerprint))


def load_codec(name: str) -> Codec:
    """Load a codec by name: "snac_tiny_32khz" or another shipped codec, a folder with config.json and pytorch_model.bin or
    model.safetensors, or a hub id such as "hubertsiuzdak/snac_32khz".

    Raises:
        CodecError: there is no such codec, it cannot be fetched, or its files do not fit together.
    """
    config_file, weights_file = locate(name)
    config = read_config(config_file)
    try:
        model = SNAC(**config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CodecError(str(config_file), f"a config that SNAC does not take ({error})", "SNAC's own config.json") from error
    weights, advice = read_weights(weights_file), "Take both files from the same codec."
    check_weights(weights, model.state_dict(), str(weights_file), f"the weights of {config_file}", advice, CodecError)
    model.load_state_dict(weights)
    model.eval().requires_grad_(False)
    return Codec(name, model, Levels.from_snac_config(config), config, codes_fingerprint(model.state_dict()))


def codes_fingerprint(state: Mapping[str, Tensor]) -> str:
    """The fingerprint of a codec's encoder and quantisers: the decoder does not change what its codes mean."""
    return fingerprint({name: tensor for name, tensor in state.items() if not name.startswith("decoder.")})


def read_config(path: Path) -> dict[str, Any]:
    """The contents of a SNAC config.json with SNAC's defaults for missing keys; a CodecError if they make no codec."""
    contents = read_contents(path)
    if unknown := sorted(contents.keys() - CONFIG_KEYS):
        raise CodecError(str(path), f"unknown keys {', '.join(unknown)}", f"only {', '.join(CONFIG_KEYS)}")
    config = CONFIG_KEYS | contents
    for key, default in CONFIG_KEYS.items():
        numbers = config[key] if isinstance(default, list) else [config[key]]
        fits = isinstance(numbers, list) and numbers and all(type(n) is int and n > 0 for n in numbers)
        if type(default) in (int, list) and key != "attn_window_size" and not fits:
            expected = "a list of whole numbers above 0" if isinstance(default, list) else "a whole number above 0"
            raise CodecError(f"{path}: {key}", repr(config[key]), expected)
    rates = config["encoder_rates"], config["decoder_rates"]
    if math.prod(rates[0]) != math.prod(rates[1]):
        raise CodecError(f"{path}: encoder_rates, decoder_rates", rates, "the same product", "Or decoded audio has another length.")
    return config


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by the names of SNAC's state dict; a CodecError if it cannot be read."""
    state, _ = open_weights(path, CodecError, "weights of a SNAC codec", "Fetch it again.")
    if not isinstance(state, Mapping):
        raise CodecError(str(path), "something else than named tensors", "the state dict of a SNAC model")
    check_finite(state, str(path), "Take both files from the same codec.", CodecError)
    for number, former in enumerate((r"\.weight_g$", r"\.weight_v$")):  # names of weight norm before PyTorch 2.0
        state = {re.sub(former, f".parametrizations.weight.original{number}", name): tensor for name, tensor in state.items()}
    return dict(state)
