"""stable-audio-tools' page for this package's models: what its `load_model`, `create_ui` and `copy_state_dict` do for them.

Its own `copy_state_dict` copies only the weights whose names match exactly, so a training checkpoint would silently load nothing.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from snac_plugin.errors import ConfigError

__all__ = ["WRAPPERS", "hub_config", "hub_weights", "wrap_copy_state_dict"]

_log = logging.getLogger(__name__)

Function = Callable[..., Any]


def _wrap_create_ui(pages: Mapping[str, Function], original: Function) -> Function:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def create_ui(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        path, name = given.get("model_config_path"), given.get("pretrained_name")
        config = _read_config(path, pages) if path is not None else hub_config(name)
        if config.get("model_type") not in pages:
            return original(*args, **kwargs)
        from snac_plugin.device import pick_device

        load = sys.modules[original.__module__].load_model
        model, config = load(
            config,
            given.get("ckpt_path"),
            pretrained_name=name,
            pretransform_ckpt_path=given.get("pretransform_ckpt_path"),
            device=pick_device(),
            model_half=given.get("model_half", False),
        )
        return pages[config["model_type"]](config, model, gradio_title=given.get("gradio_title"))

    return create_ui


def _wrap_load_model(pages: Mapping[str, Function], original: Function) -> Function:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def load_model(*args: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        given = signature.bind(*args, **kwargs).arguments
        name, path = given.get("pretrained_name"), given.get("model_ckpt_path")
        config = given.get("model_config") or hub_config(name)
        if config.get("model_type") not in pages:
            return original(*args, **kwargs)
        if given.get("pretransform_ckpt_path"):
            raise ConfigError(
                "--pretransform-ckpt-path",
                given["pretransform_ckpt_path"],
                "no checkpoint of a pretransform",
                "The codec is named in the model config: model.pretransform.config.codec.",
            )
        if path is None and name is None:
            raise ConfigError("--ckpt-path", "nothing", "a checkpoint", "Give a training checkpoint or an unwrapped one.")
        if given.get("model_half"):
            _log.info("%s models compute in float32; model_half has no effect", config["model_type"])

        from stable_audio_tools.models.factory import create_model_from_config

        from snac_plugin.checkpoints.reading import load_weights
        from snac_plugin.device import pick_device

        model = create_model_from_config(config)
        load_weights(model, path if path is not None else hub_weights(str(name)))
        return model.to(given.get("device", pick_device())).eval().requires_grad_(False), config

    return load_model


def wrap_copy_state_dict(original: Function) -> Function:
    """The function that loads weights of this package's models by whoever's names, or says why it cannot."""

    @functools.wraps(original)
    def copy_state_dict(model: Any, state_dict: Mapping[str, Any]) -> None:
        ours = sys.modules.get("snac_plugin.generation.snac_diffusion")  # until it is imported no model can be ours
        if ours is None or not isinstance(model, ours.SnacDiffusion):
            return original(model, state_dict)
        from snac_plugin.checkpoints.weights import load_state

        load_state(model, state_dict, "checkpoint")

    return copy_state_dict


def _read_config(path: str | Path, pages: Mapping[str, Function]) -> dict[str, Any]:
    """A config; one of another package's type need only be what stable-audio-tools reads."""
    from snac_plugin.config import load_json

    try:
        config = json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return load_json(path)  # which says what is wrong
    return config if isinstance(config, dict) and config.get("model_type") not in pages else load_json(path)


def hub_config(name: str | None) -> dict[str, Any]:
    """The model config of a model on the hub; empty without a name.

    Raises:
        ConfigError: it cannot be read.
    """
    if name is None:
        return {}  # stable-audio-tools says what is missing
    from huggingface_hub import hf_hub_download

    from snac_plugin.config import load_json

    return load_json(hf_hub_download(name, filename="model_config.json"))


def hub_weights(name: str) -> str:
    """Path of the weights of a model on the hub."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return hf_hub_download(name, filename="model.safetensors")
    except EntryNotFoundError:
        return hf_hub_download(name, filename="model.ckpt")


WRAPPERS: dict[str, Callable[[Mapping[str, Function], Function], Function]] = {
    "load_model": _wrap_load_model,
    "create_ui": _wrap_create_ui,
}
