"""Keys that stable-audio-tools documents, or that its own configs hold, and that models of this package have no use for."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class ForeignKey(NamedTuple):
    advice: str  # what to use in its place
    idle: tuple[Any, ...] = (None,)  # values that ask for nothing: a config may hold them


NETWORK, DEMO = "model.diffusion.config", "training.demo"
FOREIGN_KEYS: dict[str, ForeignKey] = {
    "training.log_loss_info": ForeignKey("Losses of each level are always logged, --val-every adds noise levels.", (False,)),
    "training.loss_configs": ForeignKey("Use training.level_weights.", (None, {})),
    "training.arc": ForeignKey("There is no adversarial distillation: few steps are what the sampler pingpong-codes is for."),
    "training.inpainting": ForeignKey("Use training.infill: known frames within the chunks."),
    f"{DEMO}.display_audio_cond": ForeignKey("Demos show what was made, not its conditions.", (False,)),
    f"{DEMO}.cond_display_configs": ForeignKey("Demos show what was made, not its conditions.", (None, [])),
    "model.diffusion.distribution_shift_options": ForeignKey(
        "Use training.timestep_sampler_options.shift and model.diffusion.config.sampling.shift."
    ),
    f"{NETWORK}.embed_dim": ForeignKey("It is called dim here.", ()),
    f"{NETWORK}.io_channels": ForeignKey("It is model.io_channels alone.", ()),
    f"{NETWORK}.project_cond_tokens": ForeignKey("Conditions always pass a projection of their own.", (True,)),
    f"{NETWORK}.project_global_cond": ForeignKey("Conditions always pass a projection of their own.", (True,)),
    f"{NETWORK}.transformer_type": ForeignKey("There is one transformer.", ("continuous_transformer",)),
    f"{NETWORK}.global_cond_type": ForeignKey("Global conditions join the modulation, prepend_cond_ids are tokens.", ("adaLN",)),
    f"{NETWORK}.timestep_cond_type": ForeignKey("Noise levels always join the modulation.", ("global",)),
    f"{NETWORK}.patch_size": ForeignKey("It is called patch here: the codes of a level that share a token.", (1,)),
    "model.pretransform.scale": ForeignKey("Latents are standardised with the codebooks' own statistics.", (1, 1.0)),
    "model.pretransform.chunked": ForeignKey("Long audio is always coded in pieces: config.piece_seconds.", (False, True)),
    "model.pretransform.model_half": ForeignKey("It is model.pretransform.config.model_half.", (False,)),
    "model.pretransform.enable_grad": ForeignKey("A codec stays as it is while a model trains on its codes.", (False,)),
    "model.in_channels": ForeignKey("SNAC is mono: model.io_channels is 1.", (1,)),
    "model.out_channels": ForeignKey("SNAC is mono: model.io_channels is 1.", (1,)),
    "model.pretransform": ForeignKey("A SNAC codec encodes the audio itself."),
    "training.force_input_mono": ForeignKey("SNAC is mono: its data always is.", (True, False)),
    "training.latent_mask_ratio": ForeignKey("Use model.bottleneck.config.level_dropout.", (0, 0.0)),
    "training.teacher_model": ForeignKey("Codecs train without a teacher: model.pretrained starts from a codec's weights."),
}
"""By JSON path. A path that a model of another type has as a key of its own stays that key there."""


def without_idle(data: Mapping[str, Any], path: str, idle: tuple[Any, ...]) -> dict[str, Any]:
    """A config without the key at a path if its value is one of `idle`; True is not 1."""
    first, _, rest = path.partition(".")
    inner = data.get(first)
    if rest:
        return {**data, first: without_idle(inner, rest, idle)} if isinstance(inner, Mapping) else dict(data)
    asks_nothing = any(inner == value and isinstance(inner, bool) == isinstance(value, bool) for value in idle)
    return {key: value for key, value in data.items() if key != first or not asks_nothing}
