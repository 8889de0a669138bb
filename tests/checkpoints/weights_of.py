"""The weights that a checkpoint holds."""

from torch import Tensor

from snac_plugin.generation.snac_diffusion import SnacDiffusion


def own(model: SnacDiffusion) -> dict[str, Tensor]:
    """Copies of a model's weights, without its codec's."""
    return {name: value.clone() for name, value in model.state_dict().items() if not name.startswith("pretransform.")}
