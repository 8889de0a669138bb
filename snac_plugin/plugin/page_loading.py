"""stable-audio-tools' page for our models: wrappers of its `load_model`, `create_ui` and `copy_state_dict`, which copies only
weights whose names match exactly, so that a training checkpoint would silently load nothing.
"""

import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snac_plugin.errors import UsageError
from snac_plugin.plugin.wrapping import Function, arguments_by_name

_log = logging.getLogger(__name__)


def wrap_create_ui(pages: Mapping[str, Function], original: Function) -> Function:
    """The function that opens our page for our models; `pages`: by model type, the function that makes its page."""

    def create_ui(*args: Any, **kwargs: Any) -> Any:
        arguments = arguments_by_name(original, args, kwargs)
        path, name = arguments.get("model_config_path"), arguments.get("pretrained_name")
        config = _read_config(path, pages) if path is not None else _hub_config(name)
        if config.get("model_type") not in pages:
            return original(*args, **kwargs)
        from snac_plugin.device import pick_device

        model, config = sys.modules[original.__module__].load_model(
            config,
            arguments.get("ckpt_path"),
            pretrained_name=name,
            pretransform_ckpt_path=arguments.get("pretransform_ckpt_path"),
            device=pick_device(),
            model_half=arguments.get("model_half", False),
        )
        return pages[config["model_type"]](config, model, gradio_title=arguments.get("gradio_title") or "")

    return create_ui


def wrap_load_model(pages: Mapping[str, Function], original: Function) -> Function:
    """The function that loads our models, whose types are the keys of `pages`, with all their weights."""

    def load_model(*args: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        arguments = arguments_by_name(original, args, kwargs)
        name, path = arguments.get("pretrained_name"), arguments.get("model_ckpt_path")
        config = arguments.get("model_config") or _hub_config(name)
        if config.get("model_type") not in pages:
            return original(*args, **kwargs)
        if arguments.get("pretransform_ckpt_path"):
            found, advice = arguments["pretransform_ckpt_path"], "The model config names it: model.pretransform.config.codec."
            raise UsageError("--pretransform-ckpt-path", found, "no checkpoint of a pretransform", advice)
        if path is None and name is None:
            raise UsageError("--ckpt-path", "nothing", "a checkpoint", "Give a training checkpoint or an unwrapped one.")
        if arguments.get("model_half"):
            _log.info("%s models compute in float32; model_half has no effect", config["model_type"])

        from stable_audio_tools.models.factory import create_model_from_config

        from snac_plugin.checkpoints.places import hub_weights
        from snac_plugin.checkpoints.reading import load_weights, read_checkpoint
        from snac_plugin.device import pick_device

        checkpoint = read_checkpoint(path if path is not None else hub_weights(str(name)))
        config = checkpoint.config_for(config)
        model = create_model_from_config(config)
        load_weights(model, checkpoint)
        return model.to(arguments.get("device", pick_device())).eval().requires_grad_(False), config

    return load_model


def wrap_copy_state_dict(original: Function) -> Function:
    """The function that loads weights of our models by the names of model or training wrapper, or says why it cannot."""

    def copy_state_dict(model: Any, state_dict: Mapping[str, Any]) -> None:
        ours = sys.modules.get("snac_plugin.generation.snac_diffusion")  # before it is imported no model can be ours
        if ours is None or not isinstance(model, ours.SnacDiffusion):
            return original(model, state_dict)
        from snac_plugin.checkpoints.new_parts import with_new_parts
        from snac_plugin.checkpoints.weights import load_state, model_weights

        load_state(model, with_new_parts(model, model_weights(state_dict), None, "checkpoint"), "checkpoint")

    return copy_state_dict


def wrap_get_pretrained_model(pages: Mapping[str, Function], original: Function) -> Function:
    """The function that takes a folder of this machine where the hub's name of a model is expected, for our models."""

    def get_pretrained_model(name: str) -> tuple[Any, dict[str, Any]]:
        beside = Path(name) / "model_config.json"
        if not beside.is_file() or _read_config(beside, pages).get("model_type") not in pages:
            return original(name)
        from snac_plugin.checkpoints.reading import read_checkpoint
        from snac_plugin.plugin.loading import load_model

        checkpoint = read_checkpoint(name)
        config = checkpoint.config_for()
        return load_model(checkpoint, config), config

    return get_pretrained_model


def wrap_remove_weight_norm(original: Function) -> Function:
    """The function that `--remove-pretransform-weight-norm` calls, which knows torch's former weight norm only."""

    def remove_weight_norm_from_model(model: Any) -> Any:
        if not hasattr(model, "remove_weight_norm"):
            return original(model)
        model.remove_weight_norm()
        return model

    return remove_weight_norm_from_model


def _read_config(path: str | Path, pages: Mapping[str, Function]) -> dict[str, Any]:
    """A config file; our own checks are for our model types alone, or for a file that is not JSON."""
    from snac_plugin.config import load_json

    try:
        config = json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return load_json(path)  # which says what is wrong
    return config if isinstance(config, dict) and config.get("model_type") not in pages else load_json(path)


def _hub_config(name: str | None) -> dict[str, Any]:
    from snac_plugin.checkpoints.places import hub_config

    return hub_config(name)
