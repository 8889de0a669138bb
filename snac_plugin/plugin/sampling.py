"""stable-audio-tools' sample_rf, which its generating functions call, for our models: see `generation.sample_rf`."""

import sys
from typing import Any

from snac_plugin.plugin.wrapping import Function, arguments_by_name


def wrap_sample_rf(original: Function) -> Function:
    """The function that samples our models by levels where samplers of the whole tensor would be wrong."""

    def sample_rf(*args: Any, **kwargs: Any) -> Any:
        arguments = arguments_by_name(original, args, kwargs)
        ours = sys.modules.get("snac_plugin.model.diffusion_model")  # before it is imported no model can be ours
        if ours is None or not isinstance(arguments.get("model_fn"), ours.SnacDiffusionModel):
            return original(*args, **kwargs)
        from snac_plugin.generation import sample_rf as levels

        more = arguments.pop("extra_args", {})
        return levels.sample_rf(original, **arguments, **more)

    return sample_rf
