"""What `choices.py` compares: a base, variants that change one setting of its training, and other ways to sample from these."""

import argparse
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from small_trainings import model_config

from snac_plugin.codec.pretransform import SnacPretransform
from snac_plugin.config import NetworkConfig
from snac_plugin.model.backbones import network_of

NETWORK = "model.diffusion.config"
BASE = {
    f"{NETWORK}.head": "logits",
    "model.diffusion.diffusion_objective": "rectified_flow",
    f"{NETWORK}.modulation": "adaln_sola",
    f"{NETWORK}.long_skips": False,
    "training.timestep_sampler": "uniform",
}
VARIANTS: dict[str, dict[str, Any]] = {
    # The most valuable first: what a token holds, and how codes are read out of it.
    "base": {},
    "patches": {f"{NETWORK}.patch": "frame"},
    "by_code": {f"{NETWORK}.read_out": "code"},
    "pairs_by_code": {f"{NETWORK}.patch": {"C": 2, "D": 4}, f"{NETWORK}.read_out": "code"},
    "patches_by_code": {f"{NETWORK}.patch": "frame", f"{NETWORK}.read_out": "code"},
    "patches_mixed": {f"{NETWORK}.patch": "frame", f"{NETWORK}.read_out": "mixed"},
    "masked": {"model.diffusion.diffusion_objective": "masked"},
    "velocity": {f"{NETWORK}.head": "velocity"},
    "posterior": {f"{NETWORK}.head": "posterior"},
    "v": {"model.diffusion.diffusion_objective": "v"},
    "uncertainty": {"training.uncertainty": True},
    "time_warp": {
        "training.uncertainty": True,
        "training.timestep_sampler": "time_warp",
        "training.timestep_sampler_options": {"warmup": 300},  # of the thousand or so steps that five minutes have
    },
    "adaptive": {
        f"{NETWORK}.head": "velocity",
        "training.uncertainty": True,
        "training.timestep_sampler": "adaptive",
        "training.timestep_sampler_options": {"warmup": 300},
    },
    "perturbed": {"training.input_perturbation": 0.1},
    "clipped": {"training.clip_grad_deviations": 6.0},
    "masked_pretraining": {
        "training.infill": {"gaps": {"spans": 1.0}, "span": 10, "length": [0.25, 1.0]},
        "training.curriculum": [
            {"name": "masked", "steps": 200, "context": {"0": 1.0}, "infill_share": 1.0},
            {"name": "plain", "context": {"2": 1.0}, "infill_share": 0.0},
        ],
    },
    "averages": {"training.ema_lengths": [0.05, 0.1]},
    "magnitude_preserving": {f"{NETWORK}.backbone": "magnitude-preserving"},
    # Which levels of the context does D need at all? And which the others?
    "d_sees_d_before": {f"{NETWORK}.visibility": {"context": {"D": ["D"]}}},
    "d_sees_none_before": {f"{NETWORK}.visibility": {"context": {"D": []}}},
    "d_sees_c_and_d_before": {f"{NETWORK}.visibility": {"within": {"D": ["C"]}, "context": {"D": ["C", "D"]}}},
    "same_level_before": {f"{NETWORK}.visibility": {"context": "same"}},
    "next_coarser_alone": {f"{NETWORK}.visibility": {"within": {"C": ["B"], "D": ["C"]}, "context": "same"}},
    "x_transformers": {f"{NETWORK}.backbone": "x-transformers"},
    "stable_audio_tools": {f"{NETWORK}.backbone": "stable-audio-tools"},
    "masked_cosine": {"model.diffusion.diffusion_objective": "masked", "training.timestep_sampler": "cosine"},
    "masked_spans": {"model.diffusion.diffusion_objective": "masked", "training.mask_spans": 3},
    "adaln_zero": {f"{NETWORK}.modulation": "adaln_zero"},
    "long_skips": {f"{NETWORK}.long_skips": True},
    "shift": {"training.timestep_sampler_options": {"shift": 2.0}},
}
"""By name, the keys that differ from the base, in the order in which `choices.py` runs them."""


@dataclass(frozen=True)
class Sampled:
    """Another way to sample from the weights of a variant.

    Args:
        trained: the variant.
        sampling: keys of `model.diffusion.config.sampling`.
        weaker: what the model that autoguidance leads away from was trained for, as a share of the training; 0: no autoguidance.
        average: length of the average of the weights, rebuilt from the snapshots of `training.ema_lengths`; None: the training's.
    """

    trained: str
    sampling: Mapping[str, Any] = field(default_factory=dict)
    weaker: float = 0.0
    average: float | None = None


SAMPLED = {
    "average_0.05": Sampled("averages", average=0.05),
    "average_0.1": Sampled("averages", average=0.1),
    "average_0.2": Sampled("averages", average=0.2),
    "less_noise_added": Sampled("base", {"sampler": "pingpong-codes", "added_noise": 0.5}),
    "added_noise": Sampled("base", {"sampler": "euler", "added_noise": 0.3}),
    "colder": Sampled("base", {"temperature": 0.9}),
    "nucleus": Sampled("base", {"top_p": 0.95}),
    "autoguidance": Sampled("base", weaker=0.125),
    "remasked": Sampled("masked", {"remask": 0.05}),
}
"""By name; these come after all trainings, each with the seeds of its own."""
TOKENS = ("base", "patches", "by_code", "pairs_by_code", "patches_by_code")
"""Those that are trained with several seeds."""


def trained_of(name: str) -> str:
    """The variant that is trained where this one is tested."""
    return SAMPLED[name].trained if name in SAMPLED else name


def config_of(name: str, args: argparse.Namespace, codec: SnacPretransform) -> dict[str, Any]:
    """The model config of a variant, or of that which it samples from."""
    name = trained_of(name)
    raw = copy.deepcopy(model_config(args, codec.levels, None))
    raw["model"]["diffusion"]["config"]["sampling"] = {}  # tests name their samplers, and not every one fits every variant
    for path, value in (BASE | VARIANTS[name]).items():
        *parents, key = path.split(".")
        section = raw
        for parent in parents:
            section = section[parent]
        section[key] = value
    return raw if f"{NETWORK}.backbone" not in VARIANTS[name] else _of_equal_weights(raw, config_of("base", args, codec), codec)


def weights_of(config: dict[str, Any], codec: SnacPretransform, **keys: float) -> int:
    """How many weights the network of a config has, with other `keys` of it."""
    section = config["model"]["diffusion"]["config"]
    return sum(p.numel() for p in network_of(NetworkConfig.model_validate(section | keys), codec.levels).parameters())


def _of_equal_weights(raw: dict[str, Any], base: dict[str, Any], codec: SnacPretransform) -> dict[str, Any]:
    """The config with the width of the feed-forward at which it has as many weights as the base, which they are linear in."""
    low, high = (weights_of(raw, codec, ff_mult=mult) for mult in (1.0, 9.0))
    wide = 1.0 + 8 * (weights_of(base, codec) - low) / (high - low)
    section = raw["model"]["diffusion"]["config"]
    section["ff_mult"] = round(wide * section["dim"]) / section["dim"]
    return raw
