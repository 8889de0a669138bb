"""Weights by name: whose prefixes they bear, which are the frozen codec's, and whether they are those that a model expects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from snac_plugin.errors import CheckpointError

CODEC = "pretransform."
WRAPPERS = (("diffusion.", "diffusion_ema.ema_model.", "model."), ("autoencoder.", "autoencoder_ema.ema_model.", ""))
"""Prefixes that stable-audio-tools' training wrappers put before weights and averaged ones, and what those are averages of."""


def is_codec_weight(name: str) -> bool:
    """Whether a weight of that name is the frozen codec's."""
    return name.startswith(CODEC)


def model_weights(state: Mapping[str, Tensor], ema: bool = True) -> dict[str, Tensor]:
    """Weights by the model's names, with or without the prefixes of a training wrapper, and without the codec's.

    Args:
        state: weights by name: those of the model, or of its training wrapper.
        ema: take the averaged weights where there are any.
    """
    weights = dict(state)
    for prefix, averaged, part in WRAPPERS:
        if any(name.startswith(prefix) for name in state):
            weights = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
            if ema:
                weights |= {part + n.removeprefix(averaged): v for n, v in state.items() if n.startswith(averaged)}
    return {name: value for name, value in weights.items() if not is_codec_weight(name)}


def check_weights(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    """Raise a CheckpointError unless the weights found have the names and shapes of the expected ones.

    Args:
        found: weights by name.
        expected: the model's weights by name.
        where: where they were found, for the message.
    """
    both = found.keys() & expected.keys()
    problems = {
        "missing": expected.keys() - found.keys(),
        "not in the model": found.keys() - expected.keys(),
        "of another shape": {name for name in both if found[name].shape != expected[name].shape},
    }
    counts = [f"{len(names)} weights {problem}, first {min(names)}" for problem, names in problems.items() if names]
    if counts:
        advice = "Use the config that the checkpoint was trained with."
        raise CheckpointError(where, "; ".join(counts), "the weights of this model config", advice)


def load_state(model: Any, state: Mapping[str, Tensor], where: str) -> None:
    """Load weights by the names of the model or of its training wrapper; the model keeps its codec.

    Raises:
        CheckpointError: see `check_weights`.
    """
    weights = model_weights(state)
    check_weights(weights, {name: value for name, value in model.state_dict().items() if not is_codec_weight(name)}, where)
    model.load_state_dict(weights, strict=False)
