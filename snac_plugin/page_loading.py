"""stable-audio-tools' page for this package's models: what its `load_model` and `create_ui` do for them.

Its own loader copies only the weights whose names match exactly, so a training checkpoint would silently load nothing.
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

__all__ = ["WRAPPERS"]

_log = logging.getLogger(__name__)

Function = Callable[..., Any]


def _wrap_create_ui(pages: Mapping[str, Function], original: Function) -> Function:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def create_ui(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        path, name = given.get("model_config_path"), given.get("pretrained_name")
        config = json.loads(Path(path).read_text()) if path is not None else _hub_config(name)
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
        config = given.get("model_config") or _hub_config(name)
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
            _log.info("model_half has no effect on %s: the precision is picked for the device", config["model_type"])

        from stable_audio_tools.models.factory import create_model_from_config

        from snac_plugin.checkpoints import load_weights
        from snac_plugin.device import pick_device

        model = create_model_from_config(config)
        load_weights(model, path if path is not None else _hub_weights(name))
        return model.to(given.get("device", pick_device())).eval().requires_grad_(False), config

    return load_model


def _hub_config(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}  # stable-audio-tools says what is missing
    from huggingface_hub import hf_hub_download

    return json.loads(Path(hf_hub_download(name, filename="model_config.json")).read_text())


def _hub_weights(name: str | None) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    assert name is not None
    try:
        return hf_hub_download(name, filename="model.safetensors")
    except EntryNotFoundError:
        return hf_hub_download(name, filename="model.ckpt")


WRAPPERS: dict[str, Callable[[Mapping[str, Function], Function], Function]] = {
    "load_model": _wrap_load_model,
    "create_ui": _wrap_create_ui,
}
